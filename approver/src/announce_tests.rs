//! Events: what is written about a request, and that a failure to write one stops nothing.

use k8s_openapi::api::core::v1::ObjectReference;

use super::*;
use crate::fixtures::server;

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn announcement(name: &str, note: &str) -> Announcement {
    Announcement {
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

#[tokio::test(start_paused = true)]
async fn an_event_says_what_where_and_why() {
    let (client, mut server) = server();
    let (announcer, publishing) = Announcer::new(client, Metrics::new());
    tokio::spawn(publishing);
    announcer.tell(announcement("csr-0", &"long ".repeat(1000)));
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
    let (client, mut server) = server();
    let (announcer, publishing) = Announcer::new(client, Metrics::new());
    tokio::spawn(publishing);
    announcer.tell(announcement("csr-0", "a"));
    announcer.tell(announcement("csr-1", "b"));
    server.expect("POST", EVENTS).await.fail(403, "forbidden");
    let call = server.expect("POST", EVENTS).await;
    assert_eq!(call.body["regarding"]["name"], "csr-1");
}

#[tokio::test(start_paused = true)]
async fn too_many_events_are_left_out_and_counted() {
    let (client, _server) = server();
    let metrics = Metrics::new();
    // Nothing takes them out of the queue.
    let (announcer, _publishing) = Announcer::new(client, metrics.clone());
    for number in 0..QUEUE + 3 {
        announcer.tell(announcement(&format!("csr-{number}"), "a"));
    }
    assert_eq!(metrics.events_dropped.get(), 3);
}

#[test]
fn a_request_with_capitals_in_its_name_gets_a_valid_event() {
    let about = ObjectReference {
        name: Some("node-csr-AbC_1".to_owned()),
        uid: Some("0b5c-1".to_owned()),
        ..ObjectReference::default()
    };
    let announcement = Announcement {
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
