//! The record of claims: its reads, its writes, and the parts that stay unchanged.

use std::sync::Mutex;
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
    entries["writable"] = json!("2026-11-01T00:00:00Z");
    server
        .expect("GET", ONE)
        .await
        .answer(&config_map(&entries));
    others(&mut server, &json!({})).await;
    let loaded = loading.await.unwrap();
    assert_eq!(loaded.get(..2).unwrap(), [claim("a"), claim("b")]);
    // The Machine is spent, although the key is unknown.
    let [unknown] = loaded.get(2..).unwrap() else {
        panic!("{loaded:?}");
    };
    let known = claim("c");
    assert_eq!(
        (&unknown.machine, &unknown.request),
        (&known.machine, &known.request)
    );
    assert_ne!(unknown.key, known.key);
}

#[tokio::test(start_paused = true)]
async fn no_record_is_no_claim_and_a_failure_is_not() {
    let (client, mut server) = server();
    let record = ClaimsRecord::new(client, "rollcall");
    let loading = tokio::spawn(async move { (record.load().await, record.load().await) });
    server.expect("GET", ONE).await.fail(404, "not found");
    others(&mut server, &Value::Null).await;
    server.expect("GET", ONE).await.fail(403, "forbidden");
    let (absent, forbidden) = loading.await.unwrap();
    assert_eq!(absent.unwrap(), []);
    assert_eq!(classify(&forbidden.unwrap_err()), Failure::Forbidden);
}

/// Answers the reads of the other parts with this data, or that they do not exist.
async fn others(server: &mut crate::fixtures::Server, data: &Value) {
    for number in 1..=7 {
        let call = server.expect("GET", &format!("{ONE}-{number}")).await;
        if data.is_null() {
            call.fail(404, "not found");
        } else {
            call.answer(&config_map(data));
        }
    }
}

/// A simulated namespace that keeps ConfigMaps, and refuses those that etcd would.
async fn keep(mut server: crate::fixtures::Server, kept: Arc<Mutex<BTreeMap<String, Value>>>) {
    while let Some(call) = server.next().await {
        let name = call
            .path
            .strip_prefix(ALL)
            .unwrap()
            .trim_start_matches('/')
            .to_owned();
        let known = kept.lock().unwrap().get(&name).cloned();
        match (call.method.as_str(), known) {
            ("GET", Some(known)) => call.answer(&known),
            ("GET", None) => call.fail(404, "not found"),
            _ => {
                let body = call.body.clone();
                assert!(body.to_string().len() < 1_500_000, "too large for etcd");
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                kept.lock().unwrap().insert(name, body.clone());
                call.answer(&body);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn very_many_claims_are_stored_and_read_and_few_stand_where_they_always_did() {
    let many: Vec<Claim> = (0..20_000_u64)
        .map(|number| Claim {
            key: KeyHash::of_spki(&number.to_be_bytes()),
            // In the form of the uids that the API server makes.
            machine: MachineUid(format!(
                "{:032x}",
                u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            )),
            ..claim("77b0c2d4-5a6b-4c7d-8e9f-0a1b2c3d4e5f")
        })
        .collect();
    let (client, server) = server();
    let kept = Arc::default();
    tokio::spawn(keep(server, Arc::clone(&kept)));
    let record = ClaimsRecord::new(client, "rollcall");
    let by_machine = |mut claims: Vec<Claim>| {
        claims.sort_by(|one, other| one.machine.cmp(&other.machine));
        claims
    };
    for count in [20_000, 5000, 0, 5001, 1] {
        let some = many.get(..count).unwrap().to_vec();
        assert!(record.store(some.clone()).await, "{count}");
        // Another approver, which knows only the content of the record.
        assert_eq!(
            by_machine(record.load().await.unwrap()),
            by_machine(some),
            "{count}"
        );
        let first = kept.lock().unwrap().get("rollcall-claims").cloned();
        let first = first.map_or(0, |first| {
            first["data"].as_object().map_or(0, serde_json::Map::len)
        });
        assert_eq!(
            first == count,
            count <= 5000,
            "{count}: {first} in the first"
        );
    }
    // More claims than fit: the stored ones stay, and the caller gets an error.
    let too_many = many
        .iter()
        .cycle()
        .zip(0..60_000)
        .map(|(claim, number)| Claim {
            request: RequestUid(number.to_string()),
            ..claim.clone()
        });
    assert!(!record.store(too_many.collect()).await);
    assert_eq!(record.load().await.unwrap().len(), 1);
}

/// Stores these claims over the content that `answer` serves, and returns true if that worked.
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
