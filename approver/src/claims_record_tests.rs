//! The record of claims: what is read, written and left alone.

use std::time::Duration;

use jiff::Timestamp;
use rollcall_csr::KeyHash;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::server;

const ALL: &str = "/api/v1/namespaces/rollcall/configmaps";
const ONE: &str = "/api/v1/namespaces/rollcall/configmaps/rollcall-claims";

fn claim(request: &str) -> Claim {
    Claim {
        approved_at: Timestamp::from_second(1_795_000_000).unwrap(),
        key: KeyHash::of_spki(b"key"),
        machine: MachineUid("0b5c2c5e-1".to_owned()),
        request: RequestUid(request.to_owned()),
    }
}

fn data(claims: &[Claim]) -> Value {
    json!(claims.iter().map(to_entry).collect::<BTreeMap<_, _>>())
}

fn config_map(data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "rollcall-claims", "namespace": "rollcall", "resourceVersion": "3", "labels": {"kept": "yes"}},
    })
}

#[test]
fn claims_survive_the_record() {
    let claim = claim("77b0-2");
    let (key, value) = to_entry(&claim);
    assert!(
        key.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
        "{key}"
    );
    assert_eq!(to_claim(&key, &value), Some(claim));
    assert_eq!(to_claim("m", &value), None);
    assert_eq!(to_claim(&key, "yesterday sha256:00"), None);
}

#[tokio::test(start_paused = true)]
async fn claims_are_read_and_an_unreadable_entry_does_not_hide_the_others() {
    let (client, mut server) = server();
    let record = ClaimsRecord::new(client, "rollcall");
    let loading = tokio::spawn(async move { record.load().await.unwrap() });
    let mut entries = data(&[claim("a"), claim("b")]);
    entries["0b5c2c5e-1_c"] = json!("yesterday");
    entries["note"] = json!("by hand");
    server
        .expect("GET", ONE)
        .await
        .answer(&config_map(&entries));
    assert_eq!(loading.await.unwrap(), [claim("a"), claim("b")]);
}

#[tokio::test(start_paused = true)]
async fn no_record_is_no_claim_and_a_failure_is_not() {
    let (client, mut server) = server();
    let record = ClaimsRecord::new(client, "rollcall");
    let loading = tokio::spawn(async move { (record.load().await, record.load().await) });
    server.expect("GET", ONE).await.fail(404, "not found");
    server.expect("GET", ONE).await.fail(403, "forbidden");
    let (absent, forbidden) = loading.await.unwrap();
    assert_eq!(absent.unwrap(), []);
    assert_eq!(classify(&forbidden.unwrap_err()), Failure::Forbidden);
}

/// Stores these claims over what `answer` says is there, and returns whether that worked.
async fn store(claims: Vec<Claim>, answer: impl AsyncFnOnce(&mut crate::fixtures::Server)) -> bool {
    let (client, mut server) = server();
    let record = ClaimsRecord::new(client, "rollcall");
    let storing = tokio::spawn(async move { record.store(claims).await });
    answer(&mut server).await;
    let stored = storing.await.unwrap();
    server.expect_none(Duration::from_secs(1)).await;
    stored
}

#[tokio::test(start_paused = true)]
async fn a_first_record_is_created() {
    let stored = store(vec![claim("a")], async |server| {
        server.expect("GET", ONE).await.fail(404, "not found");
        let call = server.expect("POST", ALL).await;
        assert_eq!(call.body["metadata"]["name"], "rollcall-claims");
        assert_eq!(call.body["data"], data(&[claim("a")]));
        let created = config_map(&data(&[claim("a")]));
        call.answer(&created);
    });
    assert!(stored.await);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changed_is_replaced_under_its_version() {
    let stored = store(vec![claim("a"), claim("b")], async |server| {
        let before = config_map(&data(&[claim("a")]));
        server.expect("GET", ONE).await.answer(&before);
        let call = server.expect("PUT", ONE).await;
        assert_eq!(call.body["data"], data(&[claim("a"), claim("b")]));
        assert_eq!(call.body["metadata"]["resourceVersion"], "3");
        assert_eq!(call.body["metadata"]["labels"]["kept"], "yes");
        call.answer(&before);
    });
    assert!(stored.await);
}

#[tokio::test(start_paused = true)]
async fn an_equal_record_is_not_written() {
    let same = store(vec![claim("a")], async |server| {
        let same = config_map(&data(&[claim("a")]));
        server.expect("GET", ONE).await.answer(&same);
    });
    assert!(same.await);
    let nothing = store(Vec::new(), async |server| {
        server.expect("GET", ONE).await.fail(404, "not found");
    });
    assert!(nothing.await);
    let empty = store(Vec::new(), async |server| {
        let empty = config_map(&Value::Null);
        server.expect("GET", ONE).await.answer(&empty);
    });
    assert!(empty.await);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_is_told() {
    for code in [403, 409, 500] {
        let stored = store(vec![claim("a")], async |server| {
            let before = config_map(&json!({}));
            server.expect("GET", ONE).await.answer(&before);
            server.expect("PUT", ONE).await.fail(code, "no");
        });
        assert!(!stored.await, "{code}");
    }
    let unread = store(vec![claim("a")], async |server| {
        server.expect("GET", ONE).await.break_off();
    });
    assert!(!unread.await);
}
