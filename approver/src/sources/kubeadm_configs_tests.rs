//! Conversion and watches of KubeadmConfigs, and that their secrets are never passed on.

use rollcall_approver_core::Source;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::fixtures::{Lines, server};
use crate::{feed, listing};

const SECRET: &str = "0123456789abcdef";

fn config(name: &str, join: &Value) -> Value {
    json!({
        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta2", "kind": "KubeadmConfig",
        "metadata": {"name": name, "namespace": "fleet", "uid": name, "resourceVersion": "5"},
        "spec": {
            "files": [{"path": "/etc/secret", "content": SECRET}],
            "joinConfiguration": join,
        },
    })
}

fn with_token(name: &str, token: &Value) -> Value {
    let discovery =
        json!({"bootstrapToken": {"token": token, "apiServerEndpoint": "10.0.0.1:6443"}});
    config(name, &json!({"discovery": discovery}))
}

fn token(discovery: &Value) -> Result<JoinToken, String> {
    let config = read_value(config("c", &json!({"discovery": discovery})))?;
    assert_eq!(config.reference.to_string(), "fleet/c");
    Ok(config.token)
}

fn id(id: &str) -> Result<JoinToken, String> {
    Ok(JoinToken::Id(id.to_owned()))
}

#[test]
fn the_token_is_that_which_the_kubelet_asks_with() {
    let discovery = |id: &str| json!({"token": format!("{id}.{SECRET}")});
    let own = |id: &str| format!("{id}.{SECRET}");
    assert_eq!(
        token(&json!({"bootstrapToken": discovery("abc123")})),
        id("abc123")
    );
    let both = json!({"bootstrapToken": discovery("abc123"), "tlsBootstrapToken": own("fedcba")});
    assert_eq!(token(&both), id("fedcba"));
    let file = json!({"file": {"kubeConfigPath": "/etc/kubernetes/discovery.conf"}});
    assert_eq!(token(&file), Ok(JoinToken::Unused));
    let mut both = file;
    both["tlsBootstrapToken"] = json!(own("fedcba"));
    assert_eq!(token(&both), id("fedcba"));
}

#[test]
fn a_token_that_is_still_to_be_made_is_awaited() {
    for discovery in [
        json!(null),
        json!({}),
        json!({"bootstrapToken": {"caCertHashes": ["sha256:00"]}}),
        json!({"bootstrapToken": {"token": null}}),
    ] {
        assert_eq!(token(&discovery), Ok(JoinToken::Awaited), "{discovery}");
    }
    for spec in [json!(null), json!({}), json!({"initConfiguration": {}})] {
        let object = json!({"metadata": {"name": "c", "namespace": "fleet"}, "spec": spec});
        assert_eq!(read_value(object).unwrap().token, JoinToken::Awaited);
    }
}

#[test]
fn what_is_no_token_is_refused_without_being_told() {
    for odd in [
        json!(SECRET),
        json!(format!("ABC123.{SECRET}")),
        json!(format!("abc12.{SECRET}")),
        json!(5_550_123),
        json!({"a": SECRET}),
    ] {
        let error = token(&json!({"bootstrapToken": {"token": odd}})).unwrap_err();
        assert!(
            !error.contains(SECRET) && !error.contains("5550123"),
            "{error}"
        );
    }
}

fn scope() -> Scope {
    let cluster = (
        "cluster.x-k8s.io/cluster-name".to_owned(),
        "prod".to_owned(),
    );
    Scope {
        label: Some(cluster),
        ..Scope::new(Source::ClusterApi, "fleet")
    }
}

const PATH: &str = "/apis/bootstrap.cluster.x-k8s.io/v1beta2/namespaces/fleet/kubeadmconfigs";

fn resources(names: &[&str]) -> Value {
    let resources: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": []}))
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": resources})
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
}

#[tokio::test(start_paused = true)]
async fn they_are_listed_and_watched_and_no_secret_is_kept_or_told() {
    let lines = Lines::default();
    let _guard = lines.subscribe();
    let (client, mut api) = server();
    let (news, mut told) = mpsc::channel(100);
    let feed = tokio::spawn(feed::run(KubeadmConfigs(scope()), client, news));
    let version = "/apis/bootstrap.cluster.x-k8s.io/v1beta2";
    api.expect("GET", version)
        .await
        .answer(&resources(&["kubeadmconfigs"]));
    let call = api.expect("GET", PATH).await;
    assert!(
        call.query.contains("labelSelector=cluster.x-k8s.io"),
        "{}",
        call.query
    );
    let good = json!(format!("abc123.{SECRET}"));
    let items = [with_token("c-0", &good), with_token("c-1", &json!(SECRET))];
    call.answer(&list(&items));
    let event = |kind: &str, object: Value| json!({"type": kind, "object": object});
    api.expect("GET", PATH).await.events(
        &[
            event("MODIFIED", with_token("c-1", &good)),
            event("MODIFIED", with_token("c-1", &json!(7_070_707))),
            event("DELETED", with_token("c-0", &good)),
        ],
        false,
    );
    let mut seen = Vec::new();
    for _ in 0..7 {
        let input = told.recv().await.unwrap();
        seen.push(format!("{input:?}"));
    }
    feed.abort();
    let expect = |index: usize, words: &[&str]| {
        let said: &String = &seen[index];
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{index}: {said}"
        );
    };
    expect(0, &["KubeadmConfig(", "c-0", "Id(\"abc123\")"]);
    // An unreadable object is no longer known, but still exists.
    expect(1, &["KubeadmConfigGone(", "c-1"]);
    expect(2, &["KubeadmConfigList(", "c-0", "c-1"]);
    expect(3, &["Synced(KubeadmConfigs("]);
    expect(4, &["KubeadmConfig(", "c-1", "Id(\"abc123\")"]);
    expect(5, &["KubeadmConfigGone(", "c-1"]);
    expect(6, &["KubeadmConfigGone(", "c-0"]);
    let log = lines.text();
    assert!(
        log.contains("fleet/c-1") && log.contains("cannot be read"),
        "{log}"
    );
    for text in seen.iter().chain([&log]) {
        assert!(
            !text.contains(SECRET) && !text.contains("7070707"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_older_version_will_do() {
    let (client, mut api) = server();
    let scope = Scope::new(Source::ClusterApi, "");
    let all =
        tokio::spawn(async move { listing::everything(&KubeadmConfigs(scope), &client).await });
    let version = "/apis/bootstrap.cluster.x-k8s.io/v1beta2";
    api.expect("GET", version).await.fail(404, "not found");
    let path = "/apis/bootstrap.cluster.x-k8s.io/v1beta1/kubeadmconfigs";
    let good = json!(format!("abc123.{SECRET}"));
    api.expect("GET", path)
        .await
        .answer(&list(&[with_token("c-0", &good)]));
    let changes = all.await.unwrap().unwrap();
    let told = format!("{changes:?}");
    assert!(told.contains("abc123") && told.contains("Synced"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}
