//! The kubelet CA from a ConfigMap and from a file: the inputs of the engine.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{Server, server};
use crate::kubelet_fixtures::KubeletAuthority;
use crate::kubelets::Kubelets;

const MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";

fn start() -> (Server, mpsc::Receiver<Input>) {
    let (client, server) = server();
    let (sink, told) = mpsc::channel(100);
    let watched = CaMap::of(&Kubelets::default().ca[0]).unwrap();
    tokio::spawn(feed::run(watched, client, sink));
    (server, told)
}

fn map(data: &Value, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {
            "name": "extension-apiserver-authentication", "namespace": "kube-system", "resourceVersion": version,
        },
    })
}

/// The number of authorities reported for a source; `None` if it is reported as live or lost.
async fn next(told: &mut mpsc::Receiver<Input>) -> Option<usize> {
    match told.recv().await.unwrap() {
        Input::Change(Change::KubeletCa(source, authorities)) => {
            assert!(!source.is_empty());
            Some(authorities.len())
        }
        Input::Change(Change::Synced(_) | Change::Lost(_, _)) => None,
        input @ (Input::Change(_)
        | Input::Complete(_, _)
        | Input::Config(_)
        | Input::Request(_)) => panic!("{input:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_config_map_is_watched_and_each_of_its_ca_certificates_counts() {
    let (mut server, mut told) = start();
    let list = server.expect("GET", MAPS).await;
    let name = "metadata.name%3Dextension-apiserver-authentication";
    assert!(list.query.contains(name), "{}", list.query);
    let (old, new) = (KubeletAuthority::new("ca"), KubeletAuthority::new("ca"));
    // During a rotation both are present; a block that is not a CA is left out and does not hide the others.
    let leaf = old.issue("worker-0", &[]);
    let leaf = pem_of(&leaf.der);
    let both = [old.pem(), leaf, new.pem()].concat();
    let data = json!({"client-ca-file": both, "requestheader-client-ca-file": new.pem()});
    list.answer(&json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [map(&data, "6")],
    }));
    assert_eq!(next(&mut told).await, Some(2));
    assert_eq!(next(&mut told).await, Some(2), "and these are all");
    let watch = server.expect("GET", MAPS).await;
    assert!(
        watch.query.contains(name) && watch.query.contains("watch=true"),
        "{}",
        watch.query
    );
    let one = map(&json!({"client-ca-file": new.pem()}), "8");
    let none = map(&json!({"other": new.pem()}), "9");
    let events = [
        json!({"type": "MODIFIED", "object": one}),
        json!({"type": "MODIFIED", "object": none.clone()}),
        json!({"type": "DELETED", "object": none}),
    ];
    watch.events(&events, false);
    assert_eq!(next(&mut told).await, None);
    for expected in [1, 0, 0] {
        assert_eq!(next(&mut told).await, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_is_missing_is_no_error_and_holds_nothing() {
    let (mut server, mut told) = start();
    let list = server.expect("GET", MAPS).await;
    list.answer(&json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [],
    }));
    assert_eq!(next(&mut told).await, Some(0));
    server.expect("GET", MAPS).await.events(&[], false);
    assert_eq!(next(&mut told).await, None);
}

fn pem_of(der: &[u8]) -> String {
    use std::fmt::Write as _;
    let base64 = serde_json::to_value(k8s_openapi::ByteString(der.to_vec())).unwrap();
    let mut pem = String::new();
    writeln!(pem, "-----BEGIN CERTIFICATE-----").unwrap();
    writeln!(pem, "{}", base64.as_str().unwrap()).unwrap();
    writeln!(pem, "-----END CERTIFICATE-----").unwrap();
    pem
}

#[tokio::test]
async fn only_openshift_is_asked_for_what_only_openshift_has() {
    for (groups, expected) in [("apps", false), ("config.openshift.io", true)] {
        let (client, mut server) = server();
        let asked = tokio::spawn(async move { is_openshift(&client).await });
        let call = server.expect("GET", "/apis").await;
        call.answer(&json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": [{"name": groups, "versions": [{"groupVersion": "g/v1", "version": "v1"}]}],
        }));
        assert_eq!(asked.await.unwrap(), expected);
    }
    let [cluster, openshift] = Kubelets::default().ca.try_into().unwrap();
    assert!(!cluster.is_openshifts() && openshift.is_openshifts());
}

#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let (sink, mut told) = mpsc::channel(1);
    let source = CaSource::File(path.clone()).to_string();
    tokio::spawn(follow_file(path.clone(), source.clone(), sink));
    let lost = told.recv().await.unwrap();
    assert!(
        matches!(lost, Input::Change(Change::Lost(_, _))),
        "{lost:?}"
    );
    std::fs::write(&path, KubeletAuthority::new("ca").pem()).unwrap();
    while next(&mut told).await != Some(1) {}
    std::fs::write(&path, "nothing").unwrap();
    while next(&mut told).await != Some(0) {}
    assert_eq!(source, format!("file {}", path.display()));
}
