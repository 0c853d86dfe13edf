//! Acquiring, keeping, refusing and releasing the Lease.

use serde_json::{Value, json};

use tokio::time::timeout;

use super::*;
use crate::fixtures::{Lines, Server, server};

const ALL: &str = "/apis/coordination.k8s.io/v1/namespaces/rollcall/leases";
const ONE: &str = "/apis/coordination.k8s.io/v1/namespaces/rollcall/leases/rollcall-approver";

fn lease(holder: &str, version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "rollcall-approver", "namespace": "rollcall", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
            "acquireTime": "2026-11-01T00:00:00.000000Z", "renewTime": "2026-11-01T00:00:00.000000Z",
        },
    })
}

/// A running candidate named `me`, and its state.
fn candidate() -> (Server, watch::Receiver<Leadership>) {
    let (client, server) = server();
    let (held, leadership) = watch::channel(Leadership::default());
    let mut candidate = Candidate::new(client, "rollcall", "me".to_owned());
    tokio::spawn(async move { candidate.run(&held).await });
    (server, leadership)
}

async fn leads(leadership: &mut watch::Receiver<Leadership>) {
    let holds = leadership.wait_for(|leadership| leadership.holds());
    timeout(Duration::from_secs(1), holds)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_there_is_created() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.fail(404, "not found");
    let call = server.expect("POST", ALL).await;
    assert_eq!(call.body["metadata"]["name"], "rollcall-approver");
    assert_eq!(call.body["spec"]["holderIdentity"], "me");
    assert_eq!(call.body["spec"]["leaseDurationSeconds"], 13);
    assert!(!leadership.borrow().holds(), "not before the answer");
    call.answer(&lease("me", "1"));
    leads(&mut leadership).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_back_is_taken_at_once() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("", "8"));
    let call = server.expect("PUT", ONE).await;
    assert_eq!(call.body["metadata"]["resourceVersion"], "8");
    assert_eq!(call.body["spec"]["holderIdentity"], "me");
    assert_eq!(call.body["spec"]["leaseTransitions"], 5);
    assert_ne!(
        call.body["spec"]["acquireTime"],
        "2026-11-01T00:00:00.000000Z"
    );
    call.answer(&lease("me", "9"));
    leads(&mut leadership).await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_our_own_is_renewed_by_one_call_before_its_time_is_over() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("me", "8"));
    for _ in 0..20 {
        let call = server.expect("PUT", ONE).await;
        assert_eq!(call.body["spec"]["leaseTransitions"], 4);
        assert_eq!(
            call.body["spec"]["acquireTime"],
            "2026-11-01T00:00:00.000000Z"
        );
        assert_ne!(
            call.body["spec"]["renewTime"],
            "2026-11-01T00:00:00.000000Z"
        );
        call.answer(&lease("me", "9"));
        leads(&mut leadership).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_s_lease_is_refused_while_it_moves() {
    let (mut server, leadership) = candidate();
    for version in 0..20 {
        let held = lease("other", &version.to_string());
        server.expect("GET", ONE).await.answer(&held);
    }
    assert!(!leadership.borrow().holds());
}

#[tokio::test(start_paused = true)]
async fn another_s_lease_is_taken_when_it_has_stood_still_for_its_duration() {
    let (mut server, mut leadership) = candidate();
    let started = Instant::now();
    let taken = loop {
        let call = server.call().await;
        if call.method == http::Method::PUT {
            break call;
        }
        call.answer(&lease("other", "8"));
    };
    let waited = started.elapsed();
    assert!(
        waited >= DURATION && waited <= DURATION.saturating_add(Duration::from_millis(10)),
        "{waited:?}"
    );
    assert_eq!(taken.body["spec"]["holderIdentity"], "me");
    assert_eq!(taken.body["metadata"]["resourceVersion"], "8");
    taken.answer(&lease("me", "9"));
    leads(&mut leadership).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_no_leadership() {
    let (mut server, leadership) = candidate();
    server.expect("GET", ONE).await.fail(404, "not found");
    server.expect("POST", ALL).await.fail(409, "already exists");
    server.expect("GET", ONE).await.answer(&lease("", "8"));
    server.expect("PUT", ONE).await.fail(409, "modified");
    server.expect("GET", ONE).await.fail(404, "not found");
    server.expect("POST", ALL).await.fail(409, "already exists");
    server.expect("GET", ONE).await.answer(&lease("other", "9"));
    assert!(!leadership.borrow().holds());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_stops_before_another_may_begin() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("me", "8"));
    let call = server.expect("PUT", ONE).await;
    let renewed = Instant::now();
    call.answer(&lease("me", "9"));
    leads(&mut leadership).await;
    // Calls are not answered any more.
    let lines = Lines::default();
    let guard = lines.subscribe();
    let mut unanswered = Vec::new();
    while leadership.borrow().holds() {
        if let Ok(call) = timeout(Duration::from_secs(1), server.next()).await {
            unanswered.push(call);
        }
    }
    assert!(renewed.elapsed() >= TRUST && renewed.elapsed() < DURATION);
    drop(guard);
    let text = lines.text();
    assert_eq!(text.matches("no answer for 5 s").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn calls_of_almost_half_the_trust_lose_nothing_and_one_without_an_answer_neither() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("me", "8"));
    server.expect("PUT", ONE).await.answer(&lease("me", "9"));
    leads(&mut leadership).await;
    let first = leadership.borrow().term();
    for _ in 0..20 {
        let call = server.expect("PUT", ONE).await;
        tokio::time::sleep(Duration::from_millis(4400)).await;
        assert_eq!(leadership.borrow().term(), first);
        call.answer(&lease("me", "9"));
    }
    let _unanswered = server.expect("PUT", ONE).await;
    let again = server.expect("PUT", ONE).await;
    assert_eq!(leadership.borrow().term(), first);
    again.answer(&lease("me", "9"));
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(leadership.borrow().term(), first);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_interrupted_goes_on_in_another_term() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("me", "8"));
    server.expect("PUT", ONE).await.answer(&lease("me", "9"));
    leads(&mut leadership).await;
    let first = leadership.borrow().term();
    // As if this process, or the API server, did nothing for a while.
    tokio::time::sleep(TRUST).await;
    assert_eq!(leadership.borrow().term(), None);
    while leadership.borrow().term().is_none() {
        if let Ok(Some(call)) = timeout(Duration::from_millis(10), server.next()).await {
            call.answer(&lease("me", "9"));
        }
    }
    assert_ne!(leadership.borrow().term(), first);
}

#[tokio::test(start_paused = true)]
async fn who_reads_another_s_name_holds_nothing_from_then_on() {
    let (mut server, mut leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("me", "8"));
    server.expect("PUT", ONE).await.answer(&lease("me", "9"));
    leads(&mut leadership).await;
    server.expect("PUT", ONE).await.fail(409, "modified");
    assert!(
        leadership.borrow().holds(),
        "only something else changed, perhaps"
    );
    server
        .expect("GET", ONE)
        .await
        .answer(&lease("other", "11"));
    timeout(
        Duration::from_millis(10),
        leadership.wait_for(|now| !now.holds()),
    )
    .await
    .unwrap()
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_still_its_holder_s_for_a_while() {
    let (mut server, leadership) = candidate();
    server.expect("GET", ONE).await.answer(&lease("other", "8"));
    let seen = Instant::now();
    let made = loop {
        let call = server.call().await;
        if call.method == http::Method::POST {
            break call;
        }
        call.fail(404, "not found");
    };
    assert!(seen.elapsed() >= TRUST, "{:?}", seen.elapsed());
    assert!(!leadership.borrow().holds());
    made.answer(&lease("me", "12"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_back_only_by_its_holder() {
    for (holder, gives) in [("me", true), ("other", false)] {
        let (client, mut server) = server();
        let releasing = tokio::spawn(async move {
            Candidate::new(client, "rollcall", "me".to_owned())
                .release()
                .await;
        });
        server.expect("GET", ONE).await.answer(&lease(holder, "8"));
        if gives {
            let call = server.expect("PUT", ONE).await;
            assert_eq!(call.body["spec"]["holderIdentity"], "");
            assert_eq!(call.body["metadata"]["resourceVersion"], "8");
            call.answer(&lease("", "9"));
        }
        releasing.await.unwrap();
        server.expect_none(Duration::from_secs(1)).await;
    }
}
