//! Events: their content for a request, and that a failed write of one stops nothing.

use k8s_openapi::api::core::v1::ObjectReference;

use super::*;
use crate::fixtures::{Server, server};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn announcement(name: &str, note: &str) -> Announcement {
    Announcement {
        place: Place::Cluster,
        about: ObjectReference {
            api_version: Some("certificates.k8s.io/v1".to_owned()),
            kind: Some("CertificateSigningRequest".to_owned()),
            name: Some(name.to_owned()),
            uid: Some(name.to_owned()),
            ..ObjectReference::default()
        },
        warning: true,
        reason: "NodeExists",
        action: "Hold",
        note: note.to_owned(),
    }
}

/// The leadership of a replica that always leads.
fn leads() -> watch::Receiver<Leadership> {
    watch::channel(Leadership::forever()).1
}

/// An announcer with one cluster for both roles.
fn announcer() -> (Announcer, Server) {
    let (client, server) = server();
    let (announcer, publishing) = Announcer::new(client.clone(), client, leads(), Metrics::new());
    tokio::spawn(publishing);
    (announcer, server)
}

/// Takes an Event that has to be written, and returns it.
async fn expect_event(server: &mut Server, path: &str) -> serde_json::Value {
    let call = server.expect("POST", path).await;
    let body = call.body.clone();
    call.answer(&body);
    body
}

#[tokio::test(start_paused = true)]
async fn an_event_says_what_where_and_why() {
    let (announcer, mut server) = announcer();
    announcer.tell("alice", announcement("csr-0", &"long ".repeat(1000)));
    let call = server.expect("POST", EVENTS).await;
    let body = call.body.clone();
    assert_eq!(body["type"], "Warning");
    assert_eq!(body["reason"], "NodeExists");
    assert_eq!(body["action"], "Hold");
    assert_eq!(body["note"].as_str().unwrap().len(), 1000);
    assert_eq!(body["reportingController"], "rollcall-approver");
    assert_eq!(body["regarding"]["name"], "csr-0");
    assert_eq!(body["regarding"]["uid"], "csr-0");
    call.answer(&body);
    server.expect_none(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_does_not_stop_the_next() {
    let (announcer, mut server) = announcer();
    announcer.tell("alice", announcement("csr-0", "a"));
    announcer.tell("alice", announcement("csr-1", "b"));
    server.expect("POST", EVENTS).await.fail(403, "forbidden");
    let call = server.expect("POST", EVENTS).await;
    assert_eq!(call.body["regarding"]["name"], "csr-1");
}

#[tokio::test(start_paused = true)]
async fn too_many_events_are_left_out_and_counted() {
    let (client, _server) = server();
    let metrics = Metrics::new();
    // No task takes them out of the queue.
    let (announcer, _publishing) = Announcer::new(client.clone(), client, leads(), metrics.clone());
    for number in 0..PER_REQUESTOR + 3 {
        announcer.tell("mallory", announcement(&format!("csr-{number}"), "a"));
    }
    assert_eq!(metrics.events_dropped.get(), 3);
    for number in PER_REQUESTOR..QUEUE + 2 {
        let requestor = format!("requestor-{number}");
        announcer.tell(&requestor, announcement(&format!("csr-{number}"), "a"));
    }
    assert_eq!(metrics.events_dropped.get(), 5);
}

#[tokio::test(start_paused = true)]
async fn very_many_events_of_one_requestor_leave_room_for_those_of_another() {
    let (announcer, mut server) = announcer();
    for number in 0..2 * QUEUE {
        announcer.tell("mallory", announcement(&format!("junk-{number}"), "a"));
    }
    announcer.tell("alice", announcement("csr-0", "a"));
    let event = expect_event(&mut server, EVENTS).await;
    assert_eq!(event["regarding"]["name"], "csr-0");
    let event = expect_event(&mut server, EVENTS).await;
    assert_eq!(event["regarding"]["name"], "junk-0");
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_comes_and_goes_is_one_event_of_an_object_for_a_while() {
    let (announcer, mut server) = announcer();
    let other = || Announcement {
        reason: "FactsStale",
        ..announcement("csr-0", "b")
    };
    announcer.tell("alice", announcement("csr-0", "a"));
    announcer.tell("alice", other());
    for reason in ["NodeExists", "FactsStale"] {
        assert_eq!(expect_event(&mut server, EVENTS).await["reason"], reason);
    }
    for _ in 0..20 {
        announcer.tell("alice", announcement("csr-0", "a"));
        announcer.tell("alice", other());
        server.expect_none(Duration::from_secs(10)).await;
    }
    announcer.tell("alice", announcement("csr-1", "a"));
    let event = expect_event(&mut server, EVENTS).await;
    assert_eq!(event["regarding"]["name"], "csr-1");
    server.expect_none(REPEAT).await;
    // An Event expires, so the reason is reported again later.
    announcer.tell("alice", announcement("csr-0", "a"));
    expect_event(&mut server, EVENTS).await;
}

#[tokio::test(start_paused = true)]
async fn many_events_are_spread_over_time() {
    let (announcer, mut server) = announcer();
    for number in 0..100 {
        announcer.tell("alice", announcement(&format!("csr-{number}"), "a"));
    }
    let started = Instant::now();
    for _ in 0..100 {
        expect_event(&mut server, EVENTS).await;
    }
    assert!(started.elapsed() >= PACE * 99, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_told_in_its_own_namespace_of_the_cluster_that_keeps_it() {
    let (client, mut cluster) = server();
    let (management_client, mut management) = server();
    let (announcer, publishing) =
        Announcer::new(client, management_client, leads(), Metrics::new());
    tokio::spawn(publishing);
    let source = crate::sources::of(rollcall_approver_core::Source::OpenShift).unwrap();
    let record = (source.read)(crate::fixtures::machine("m-0", "worker-0"));
    announcer.tell(
        "alice",
        Announcement {
            place: Place::Management,
            about: crate::sources::to_reference(&record.unwrap()),
            ..announcement("m-0", "a")
        },
    );
    let path = "/apis/events.k8s.io/v1/namespaces/openshift-machine-api/events";
    let event = expect_event(&mut management, path).await;
    let expected = serde_json::json!({
        "apiVersion": "machine.openshift.io/v1beta1", "kind": "Machine", "name": "m-0",
        "namespace": "openshift-machine-api", "uid": "m-0",
    });
    assert_eq!(event["regarding"], expected);
    cluster.expect_none(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_the_announcer_is_silent() {
    let (announcer, mut server) = announcer();
    announcer.tell("alice", announcement("csr-0", "a"));
    announcer.set_silent(true);
    server.expect_none(Duration::from_secs(60)).await;
    announcer.set_silent(false);
    announcer.tell("alice", announcement("csr-0", "a"));
    expect_event(&mut server, EVENTS).await;
}

#[test]
fn a_request_with_capitals_in_its_name_gets_a_valid_event() {
    let about = ObjectReference {
        name: Some("node-csr-AbC_1".to_owned()),
        uid: Some("0b5c-1".to_owned()),
        ..ObjectReference::default()
    };
    let announcement = Announcement {
        place: Place::Cluster,
        about,
        warning: true,
        reason: "NodeExists",
        action: "Hold",
        note: "n".repeat(2000),
    };
    let event = to_event(announcement, "host", Timestamp::from_second(1).unwrap());
    let name = event.metadata.name.unwrap();
    assert!(name.starts_with("rollcall-0b5c-1."), "{name}");
    assert!(
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c)),
        "{name}"
    );
    assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(event.note.unwrap().len(), 1000);
}
