//! The calls for each kind of object, and the conversion of the objects.

use rollcall_approver_core::{Scope, Source};
use serde_json::{Value, json};

use super::tests::{
    MACHINES, assert_told, event, expect_list, expect_watch, list, machines, start,
};
use super::*;
use crate::feeds::Nodes;
use crate::fixtures::{Server, machine, server};
use crate::sources;

#[tokio::test(start_paused = true)]
async fn nodes_are_told_with_whether_they_are_ready() {
    let (mut server, mut told) = start(Nodes { conditions: false });
    let node = |name: &str, ready: &str| {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-11-01T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    };
    let call = expect_list(&mut server, "/api/v1/nodes").await;
    call.answer(&list(&[node("worker-0", "True")], "1"));
    let call = expect_watch(&mut server, "/api/v1/nodes", "1").await;
    let events = [
        event("ADDED", node("worker-1", "Unknown"), "2"),
        event("MODIFIED", node("worker-1", "True"), "3"),
        event("DELETED", node("worker-0", "True"), "4"),
    ];
    call.events(&events, false);
    let expected = [
        "ready node worker-0",
        "all [worker-0]",
        "synced",
        "node worker-1",
        "ready node worker-1",
        "gone worker-0",
    ];
    assert_told(&mut told, &expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_cannot_be_believed_is_taken_off_the_roll() {
    let (mut server, mut told) = machines(Source::OpenShift, "openshift-machine-api");
    let answer = list(
        &[machine("m-0", "worker-0"), machine("m-1", "worker-1")],
        "1",
    );
    expect_list(&mut server, MACHINES).await.answer(&answer);
    let mut bound = machine("m-0", "worker-0");
    bound["status"]["nodeRef"] = json!({"kind": "Node", "name": "not a node"});
    let mut malformed = machine("m-1", "worker-1");
    malformed["status"]["addresses"] = json!("10.0.0.1");
    let events = [
        event("MODIFIED", bound, "2"),
        event("MODIFIED", malformed, "3"),
    ];
    expect_watch(&mut server, MACHINES, "1")
        .await
        .events(&events, false);
    let expected = [
        "machine openshift-machine-api/m-0",
        "machine openshift-machine-api/m-1",
        "all (openshift in openshift-machine-api) [m-0 m-1]",
        "synced",
        "gone m-0",
        "gone m-1",
    ];
    assert_told(&mut told, &expected).await;
}

#[tokio::test(start_paused = true)]
async fn the_machines_of_other_clusters_are_not_asked_for() {
    let (client, mut server) = server();
    let (sink, _told) = mpsc::channel(100);
    let scope = Scope {
        label: Some(("k".to_owned(), "prod".to_owned())),
        ..Scope::new(Source::OpenShift, "openshift-machine-api")
    };
    let source = sources::of(Source::OpenShift).unwrap();
    tokio::spawn((source.follow)(client, scope, sink));
    let call = expect_list(&mut server, MACHINES).await;
    assert!(
        call.query.contains("labelSelector=k%3Dprod"),
        "{}",
        call.query
    );
    call.answer(&list(&[], "1"));
    let call = expect_watch(&mut server, MACHINES, "1").await;
    assert!(
        call.query.contains("labelSelector=k%3Dprod"),
        "{}",
        call.query
    );
}

/// Answers a discovery of a version of Cluster API with these resources; without any, the version does not exist.
async fn discover(server: &mut Server, resources: &[&str]) {
    let call = server.expect("GET", "/apis/cluster.x-k8s.io/v1beta2").await;
    if resources.is_empty() {
        return call.fail(404, "the server could not find the requested resource");
    }
    let each = |name: &&str| json!({"name": name, "namespaced": true, "kind": name, "singularName": "", "verbs": []});
    let resources: Vec<Value> = resources.iter().map(each).collect();
    let version = "cluster.x-k8s.io/v1beta2";
    call.answer(
        &json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources}),
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_comes_later_is_found_in_the_version_that_it_has_then() {
    let (mut server, mut told) = machines(Source::ClusterApi, "");
    let [old, new] =
        ["v1beta1", "v1beta2"].map(|version| format!("/apis/cluster.x-k8s.io/{version}/machines"));
    // Not installed at all.
    discover(&mut server, &[]).await;
    expect_list(&mut server, &old)
        .await
        .fail(404, "the server could not find the requested resource");
    assert_told(&mut told, &["lost"]).await;
    // Installed, but another kind of its group has the newer version only.
    discover(&mut server, &["clusters"]).await;
    expect_list(&mut server, &old).await.answer(&list(&[], "1"));
    // The older version disappears while it is watched.
    expect_watch(&mut server, &old, "1").await.events(&[], true);
    assert_told(&mut told, &["all (clusterAPI) []", "synced"]).await;
    let gone = "the server could not find the requested resource";
    expect_watch(&mut server, &old, "1").await.fail(404, gone);
    assert_told(&mut told, &["lost"]).await;
    discover(&mut server, &["machines", "clusters"]).await;
    expect_list(&mut server, &new).await.answer(&list(&[], "5"));
    expect_watch(&mut server, &new, "5")
        .await
        .events(&[], false);
    assert_told(&mut told, &["all (clusterAPI) []", "synced"]).await;
}
