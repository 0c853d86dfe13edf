//! Lists and watches over a real client: the inputs of the engine, and the resume point of a broken watch.

use rollcall_approver_core::{Scope, Source};
use rollcall_csr::Signer;
use serde_json::{Value, json};

use super::*;
use crate::feeds::{Nodes, Requests};
use crate::fixtures::{Call, Lines, Server, csr, server};
use crate::sources;

const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
pub(super) const MACHINES: &str =
    "/apis/machine.openshift.io/v1beta1/namespaces/openshift-machine-api/machines";

/// A running feed, the server it calls, and its inputs to the engine.
pub(super) fn start<W: Watched>(watched: W) -> (Server, mpsc::Receiver<Input>) {
    let (client, server) = server();
    let (sink, told) = mpsc::channel(100);
    tokio::spawn(run(watched, client, sink));
    (server, told)
}

fn requests() -> (Server, mpsc::Receiver<Input>) {
    start(Requests(Signer::KubeApiserverClientKubelet))
}

/// The Machines of a source in all namespaces, or in one.
pub(super) fn machines(source: Source, namespace: &str) -> (Server, mpsc::Receiver<Input>) {
    let (client, server) = server();
    let (sink, told) = mpsc::channel(100);
    let known = sources::of(source).unwrap();
    let scope = Scope::new(source, namespace);
    tokio::spawn((known.follow)(client, scope, sink));
    (server, told)
}

/// The next input, in short form.
async fn next(told: &mut mpsc::Receiver<Input>) -> String {
    let input = timeout(Duration::from_secs(60), told.recv()).await;
    let names = |mut names: Vec<String>| {
        names.sort();
        names.join(" ")
    };
    match input.expect("news have to come").expect("the feed lives") {
        Input::Request(news) => format!("request {}", news.0.name),
        Input::Change(Change::Lost(_, _)) => "lost".to_owned(),
        Input::Change(Change::Synced(_)) => "synced".to_owned(),
        Input::Change(Change::RequestGone(uid)) => format!("gone {}", uid.0),
        Input::Change(Change::RequestList(_, uids)) => {
            format!(
                "all [{}]",
                names(uids.into_iter().map(|uid| uid.0).collect())
            )
        }
        Input::Change(Change::Node(name, node)) if node.ready => format!("ready node {name}"),
        Input::Change(Change::Node(name, _)) => format!("node {name}"),
        Input::Change(Change::NodeGone(name)) => format!("gone {name}"),
        Input::Change(Change::NodeList(all)) => {
            format!(
                "all [{}]",
                names(all.iter().map(ToString::to_string).collect())
            )
        }
        Input::Change(Change::Machine(machine)) => format!("machine {}", machine.reference),
        Input::Change(Change::MachineGone(uid)) => format!("gone {}", uid.0),
        Input::Change(Change::MachineList(scope, uids)) => {
            let uids = names(uids.into_iter().map(|uid| uid.0).collect());
            format!("all ({scope}) [{uids}]")
        }
        input @ (Input::Complete(_, _)
        | Input::Config(_)
        | Input::Change(
            Change::Claimed(_)
            | Change::HealthCheck(_)
            | Change::HealthCheckGone(_, _)
            | Change::HealthCheckList(_, _)
            | Change::KubeadmConfig(_)
            | Change::KubeadmConfigGone(_)
            | Change::KubeadmConfigList(_, _)
            | Change::ClusterAddresses(_, _)
            | Change::KubeletCa(_, _)
            | Change::NodeLease(_, _)
            | Change::Request(_)
            | Change::Served(_, _),
        )) => panic!("none of these feeds tells this: {input:?}"),
    }
}

pub(super) async fn assert_told(told: &mut mpsc::Receiver<Input>, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(told).await, *expected);
    }
}

pub(super) fn list(items: &[Value], version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version}, "items": items})
}

pub(super) fn event(type_: &str, mut object: Value, version: &str) -> Value {
    object["metadata"]["resourceVersion"] = json!(version);
    json!({"type": type_, "object": object})
}

fn expired() -> Value {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": "Expired", "message": "too old resource version: 10 (99)", "code": 410,
    });
    json!({"type": "ERROR", "object": status})
}

/// Expects a list.
pub(super) async fn expect_list(server: &mut Server, path: &str) -> Call {
    let call = server.expect("GET", path).await;
    assert!(!call.query.contains("watch"), "no list: {}", call.query);
    call
}

/// Expects a watch from a version on.
pub(super) async fn expect_watch(server: &mut Server, path: &str, version: &str) -> Call {
    let call = server.expect("GET", path).await;
    let parts: Vec<&str> = call.query.split('&').collect();
    for part in [
        "watch=true",
        "allowWatchBookmarks=true",
        &format!("resourceVersion={version}"),
    ] {
        assert!(parts.contains(&part), "{part}: {}", call.query);
    }
    call
}

/// Answers the first list with one request of version 10.
async fn listed(server: &mut Server, told: &mut mpsc::Receiver<Input>) {
    let answer = list(&[csr("csr-0", "worker-0")], "10");
    expect_list(server, CSRS).await.answer(&answer);
    assert_told(told, &["request csr-0", "all [csr-0]"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_is_complete_at_its_end() {
    let (mut server, mut told) = requests();
    let call = expect_list(&mut server, CSRS).await;
    let selector = "fieldSelector=spec.signerName%3Dkubernetes.io%2Fkube-apiserver-client-kubelet";
    assert!(call.query.contains(selector), "{}", call.query);
    assert!(call.query.contains("limit=32"), "{}", call.query);
    let mut page = list(&[csr("csr-0", "worker-0")], "10");
    page["metadata"]["continue"] = json!("token");
    call.answer(&page);
    assert_told(&mut told, &["request csr-0"]).await;
    let call = expect_list(&mut server, CSRS).await;
    assert!(call.query.contains("continue=token"), "{}", call.query);
    let mut page = list(&[csr("csr-1", "worker-1")], "10");
    page["metadata"]["continue"] = json!("");
    call.answer(&page);
    assert_told(&mut told, &["request csr-1", "all [csr-0 csr-1]"]).await;
    let call = expect_watch(&mut server, CSRS, "10").await;
    assert!(call.query.contains(selector), "{}", call.query);
    call.events(&[], false);
    assert_told(&mut told, &["synced"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_expired_starts_the_list_anew() {
    let (mut server, mut told) = requests();
    let mut page = list(&[csr("csr-0", "worker-0")], "10");
    page["metadata"]["continue"] = json!("token");
    expect_list(&mut server, CSRS).await.answer(&page);
    let expired = "the provided continue parameter is too old";
    expect_list(&mut server, CSRS).await.fail(410, expired);
    assert_told(&mut told, &["request csr-0", "lost"]).await;
    let call = expect_list(&mut server, CSRS).await;
    assert!(!call.query.contains("continue"), "{}", call.query);
    call.answer(&list(&[], "11"));
    assert_told(&mut told, &["all []"]).await;
    expect_watch(&mut server, CSRS, "11")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let (mut server, mut told) = requests();
    let mut malformed = csr("csr-0", "worker-0");
    malformed["spec"]["usages"] = json!("all of them");
    let mut foreign = csr("csr-1", "worker-1");
    foreign["spec"]["signerName"] = json!("example.com/other");
    let items = [malformed.clone(), foreign, csr("csr-2", "worker-2")];
    let answer = list(&items, "10");
    expect_list(&mut server, CSRS).await.answer(&answer);
    assert_told(&mut told, &["request csr-2", "all [csr-2]"]).await;
    let events = [
        event("ADDED", malformed, "11"),
        event("ADDED", csr("csr-3", "worker-3"), "12"),
    ];
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&events, false);
    assert_told(&mut told, &["synced", "request csr-3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ended_goes_on_where_it_was() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    let events = [
        event("MODIFIED", csr("csr-0", "worker-0"), "11"),
        event("DELETED", csr("csr-0", "worker-0"), "12"),
    ];
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&events, true);
    assert_told(&mut told, &["synced", "request csr-0", "gone csr-0"]).await;
    let bookmark = json!({
        "type": "BOOKMARK",
        "object": {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                   "metadata": {"resourceVersion": "20", "creationTimestamp": null}},
    });
    expect_watch(&mut server, CSRS, "12")
        .await
        .events(&[bookmark], true);
    expect_watch(&mut server, CSRS, "20").await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_is_listed_anew() {
    // The API server reports it in the stream, or instead of one.
    for in_stream in [true, false] {
        let (mut server, mut told) = requests();
        listed(&mut server, &mut told).await;
        let first = expect_watch(&mut server, CSRS, "10").await;
        first.events(&[], true);
        assert_told(&mut told, &["synced"]).await;
        let call = expect_watch(&mut server, CSRS, "10").await;
        // The known facts were complete when they were listed, and this answer makes them no newer.
        tokio::time::sleep(Duration::from_secs(20)).await;
        if in_stream {
            call.events(&[expired()], false);
        } else {
            call.fail(410, "too old resource version: 10 (99)");
        }
        let Some(Input::Change(Change::Lost(_, since))) = told.recv().await else {
            panic!("the watch is lost");
        };
        let ago = Timestamp::now().duration_since(since);
        assert!(ago >= SignedDuration::from_secs(20), "{ago}");
        let answer = list(&[csr("csr-1", "worker-1")], "99");
        expect_list(&mut server, CSRS).await.answer(&answer);
        assert_told(&mut told, &["request csr-1", "all [csr-1]"]).await;
        expect_watch(&mut server, CSRS, "99")
            .await
            .events(&[], false);
        assert_told(&mut told, &["synced"]).await;
    }
}

fn bookmark(version: &str) -> Value {
    json!({
        "type": "BOOKMARK",
        "object": {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                   "metadata": {"resourceVersion": version, "creationTimestamp": null}},
    })
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_is_lost_until_it_is_back_and_misses_nothing() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    let events = [event("ADDED", csr("csr-1", "worker-1"), "11")];
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&events, true);
    assert_told(&mut told, &["synced", "request csr-1"]).await;
    expect_watch(&mut server, CSRS, "11").await.break_off();
    assert_told(&mut told, &["lost"]).await;
    expect_watch(&mut server, CSRS, "11")
        .await
        .fail(500, "etcdserver: leader changed");
    assert_told(&mut told, &["lost"]).await;
    // It resumes where it was, and counts only when all missed events have certainly arrived.
    let missed = event("ADDED", csr("csr-2", "worker-2"), "12");
    expect_watch(&mut server, CSRS, "11")
        .await
        .events(&[missed, bookmark("13")], false);
    assert_told(&mut told, &["request csr-2", "synced"]).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_longer_break_the_answer_to_a_watch_proves_nothing_and_all_is_listed() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced", "lost"]).await;
    let answer = list(&[csr("csr-1", "worker-1")], "20");
    expect_list(&mut server, CSRS).await.answer(&answer);
    assert_told(&mut told, &["request csr-1", "all [csr-1]"]).await;
    expect_watch(&mut server, CSRS, "20")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced"]).await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_before_they_prove_anything_make_what_is_known_old() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    let started = Instant::now();
    let calls = tokio::spawn(async move {
        loop {
            let call = server.expect("GET", CSRS).await;
            if !call.query.contains("watch") {
                break;
            }
            call.events(&[], true);
        }
    });
    assert_told(&mut told, &["synced", "lost"]).await;
    assert!(started.elapsed() <= SILENCE.saturating_add(Duration::from_secs(2)));
    calls.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_is_listed_anew_when_this_replica_begins_to_lead() {
    let (client, mut server) = server();
    let (sink, mut told) = mpsc::channel(100);
    let (leadership, leads) = watch::channel(Leadership::None);
    let watched = Requests(Signer::KubeApiserverClientKubelet);
    tokio::spawn(run_in_terms(watched, client, sink, leads));
    listed(&mut server, &mut told).await;
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced"]).await;
    leadership.send_replace(Leadership::forever());
    let mut page = list(&[csr("csr-0", "worker-0")], "20");
    page["metadata"]["continue"] = json!("token");
    expect_list(&mut server, CSRS).await.answer(&page);
    assert_told(&mut told, &["request csr-0"]).await;
    // A list from before the term is not sufficient for it.
    let call = expect_list(&mut server, CSRS).await;
    let later = Instant::now()
        .checked_add(Duration::from_secs(100))
        .unwrap();
    leadership.send_replace(Leadership::Until(later, 2));
    call.answer(&list(&[], "20"));
    let call = expect_list(&mut server, CSRS).await;
    assert!(!call.query.contains("continue"), "{}", call.query);
    call.answer(&list(&[], "21"));
    assert_told(&mut told, &["all []"]).await;
    expect_watch(&mut server, CSRS, "21")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced"]).await;
    let next = told.recv().await;
    assert!(
        matches!(next, Some(Input::Complete(_, Some(2)))),
        "{next:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_denied_before_it_was_seen_is_left_alone_and_one_that_was_seen_is_told()
{
    let denied = |name: &str| {
        let mut object = csr(name, "worker-0");
        object["status"] = json!({"conditions": [{"type": "Denied", "status": "True"}]});
        object
    };
    let (mut server, mut told) = requests();
    let answer = list(&[csr("csr-0", "worker-0"), denied("csr-1")], "10");
    expect_list(&mut server, CSRS).await.answer(&answer);
    assert_told(&mut told, &["request csr-0", "all [csr-0]"]).await;
    let news = [
        event("ADDED", denied("csr-2"), "11"),
        event("MODIFIED", denied("csr-0"), "12"),
    ];
    let watch = expect_watch(&mut server, CSRS, "10").await;
    watch.events(&news, false);
    assert_told(&mut told, &["synced", "request csr-0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_lost() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    let started = Instant::now();
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced", "lost"]).await;
    assert_eq!(started.elapsed().as_secs(), SILENCE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_without_pause() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let started = Instant::now();
    for _ in 0..20 {
        expect_watch(&mut server, CSRS, "10")
            .await
            .events(&[], true);
    }
    assert!(started.elapsed() > Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ended_after_changes_goes_on_at_once() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    let started = Instant::now();
    let changes = [event("ADDED", csr("csr-5", "worker-5"), "11")];
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&changes, true);
    expect_watch(&mut server, CSRS, "11").await;
    assert!(started.elapsed() < SHORTEST_WATCH);
}

#[tokio::test(start_paused = true)]
async fn one_silent_end_costs_no_time_and_a_second_in_a_row_does() {
    let (mut server, mut told) = requests();
    listed(&mut server, &mut told).await;
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    let started = Instant::now();
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&[], true);
    let changes = [event("ADDED", csr("csr-5", "worker-5"), "11")];
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&changes, true);
    // The changes in between make the next silent end the first one again.
    for _ in 0..2 {
        let call = expect_watch(&mut server, CSRS, "11").await;
        assert!(started.elapsed() < SHORTEST_WATCH);
        call.events(&[], true);
    }
    expect_watch(&mut server, CSRS, "11").await;
    assert!(started.elapsed() >= SHORTEST_WATCH);
}

#[test]
fn what_a_request_asks_for_is_read_once_and_forgotten_when_its_way_ends() {
    let requests = Requests(Signer::KubeApiserverClientKubelet);
    let mut memory = <Requests as Watched>::Memory::default();
    let mut content_of = |object: &Value| {
        let object = serde_json::from_value(object.clone()).unwrap();
        match requests.put(&mut memory, object) {
            Some((_, Input::Request(news))) => (news.0.content, memory.len()),
            _ => panic!("a request is told"),
        }
    };
    let mut object = csr("csr-0", "worker-0");
    let (content, kept) = content_of(&object);
    assert!(content.is_ok());
    assert_eq!(kept, 1);
    // The spec cannot change. A server that changes it nevertheless shows here that it was not parsed again.
    object["spec"]["request"] = json!("");
    assert_eq!(content_of(&object), (content.clone(), 1));
    object["status"] = json!({"certificate": "AAAA"});
    assert_eq!(content_of(&object), (content, 0));
    assert!(content_of(&object).0.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_same_error_is_told_once_and_its_end_too() {
    let lines = Lines::default();
    let _logging = lines.subscribe();
    let (mut server, mut told) = requests();
    let forbidden = "certificatesigningrequests is forbidden: User \"u\" cannot list resource";
    for _ in 0..5 {
        expect_list(&mut server, CSRS).await.fail(403, forbidden);
        assert_told(&mut told, &["lost"]).await;
    }
    listed(&mut server, &mut told).await;
    expect_watch(&mut server, CSRS, "10")
        .await
        .events(&[], false);
    assert_told(&mut told, &["synced"]).await;
    let text = lines.text();
    let count = |words: &str| text.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("cannot list resource"), 1, "{text}");
    assert_eq!(count("a right is missing"), 1, "{text}");
    assert_eq!(count("the watch is back"), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_when_nobody_listens() {
    let (client, mut server) = server();
    let (sink, told) = mpsc::channel(1);
    let feed = tokio::spawn(run(Nodes { conditions: false }, client, sink));
    drop(told);
    expect_list(&mut server, "/api/v1/nodes")
        .await
        .answer(&list(&[], "1"));
    timeout(Duration::from_secs(60), feed)
        .await
        .unwrap()
        .unwrap();
}
