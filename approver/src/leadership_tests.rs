//! The read of the claims that outlived their requests, in each term.

use rollcall_csr::KeyHash;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::fixtures::{Server, server};

const RECORD: &str = "/api/v1/namespaces/rollcall/configmaps/rollcall-claims";

struct Following {
    server: Server,
    lease: watch::Sender<Leadership>,
    leadership: watch::Receiver<Leadership>,
    _mode: watch::Sender<Mode>,
    told: mpsc::Receiver<Input>,
    metrics: Metrics,
}

fn start() -> Following {
    let (client, server) = server();
    let (lease, held) = watch::channel(Leadership::default());
    let (leads, leadership) = watch::channel(Leadership::default());
    let (news, told) = mpsc::channel(10);
    let record = ClaimsRecord::new(client, "rollcall");
    let (mode, modes) = watch::channel(Mode::Enforce);
    let metrics = Metrics::new();
    let following = follow((held, modes), leads, record, news, metrics.clone());
    tokio::spawn(following);
    Following {
        metrics,
        server,
        lease,
        leadership,
        _mode: mode,
        told,
    }
}

impl Following {
    /// Answers that the other parts of the record are empty.
    async fn nothing_more(&mut self) {
        for number in 1..=7 {
            let path = format!("{RECORD}-{number}");
            self.server
                .expect("GET", &path)
                .await
                .fail(404, "not found");
        }
    }

    /// Accepts the write that proves that the record can be written.
    async fn writable(&mut self) {
        self.server
            .expect("GET", RECORD)
            .await
            .fail(404, "not found");
        let all = RECORD.trim_end_matches("/rollcall-claims");
        let call = self.server.expect("POST", all).await;
        let body = call.body.clone();
        call.answer(&body);
    }
}

async fn leads(leadership: &mut watch::Receiver<Leadership>) {
    let leads = leadership.wait_for(|leadership| leadership.holds());
    timeout(Duration::from_secs(1), leads)
        .await
        .unwrap()
        .unwrap();
}

/// Asserts that the claims were read for this term.
fn assert_read(next: &Option<Input>, term: Option<u64>) {
    let complete = matches!(next, Some(Input::Complete(Feed::Claims, of)) if *of == term);
    assert!(complete, "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn the_claims_are_read_in_each_term() {
    let mut following = start();
    following.server.expect_none(Duration::from_secs(60)).await;
    following.lease.send_replace(Leadership::forever());
    let call = following.server.expect("GET", RECORD).await;
    leads(&mut following.leadership).await;
    // A renewal reads nothing, and waits for nothing.
    following.lease.send_replace(Leadership::forever());
    following.server.expect_none(Duration::from_secs(1)).await;
    let key = KeyHash::of_spki(b"key");
    call.answer(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rollcall-claims"},
        "data": {"m-0_csr-0": format!("2026-11-01T00:00:00Z {key}")},
    }));
    following.nothing_more().await;
    following.writable().await;
    let Some(Input::Change(Change::Claimed(claim))) = following.told.recv().await else {
        panic!("the claim comes first");
    };
    assert_eq!((claim.machine.0.as_str(), claim.key), ("m-0", key));
    assert_read(&following.told.recv().await, Some(1));
    // Another replica may have recorded claims while it led.
    following.lease.send_replace(Leadership::default());
    let lost = following
        .leadership
        .wait_for(|leadership| !leadership.holds());
    lost.await.unwrap();
    following.lease.send_replace(Leadership::forever());
    following.server.expect("GET", RECORD).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_or_is_not_answered_is_read_again() {
    let mut following = start();
    following.lease.send_replace(Leadership::forever());
    for code in [403, 500] {
        let call = following.server.expect("GET", RECORD).await;
        call.fail(code, "no");
    }
    let asked = Instant::now();
    let _unanswered = following.server.expect("GET", RECORD).await;
    // A readable record is not sufficient either.
    for written in [false, true] {
        let call = following.server.expect("GET", RECORD).await;
        assert!(written || asked.elapsed() < Duration::from_secs(15));
        call.fail(404, "not found");
        following.nothing_more().await;
        if written {
            following.writable().await;
        } else {
            following.server.expect("GET", RECORD).await.fail(403, "no");
        }
    }
    assert_read(&following.told.recv().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_runs_out_is_told_when_it_does() {
    let mut following = start();
    let metrics = following.metrics.clone();
    let end = Instant::now().checked_add(Duration::from_secs(10)).unwrap();
    following.lease.send_replace(Leadership::Until(end, 1));
    leads(&mut following.leadership).await;
    assert_eq!(metrics.leader.get(), 1);
    let lost = following
        .leadership
        .wait_for(|now| *now == Leadership::None);
    lost.await.unwrap();
    assert!(Instant::now() >= end);
    assert_eq!(metrics.leader.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_audit_mode_the_lease_is_left_alone_and_given_back_when_the_mode_changes_to_it() {
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/rollcall/leases/rollcall-approver";
    let (client, mut server) = server();
    let (held, mut lease) = watch::channel(Leadership::default());
    let (mode, modes) = watch::channel(Mode::Audit);
    let candidate = Candidate::new(client, "rollcall", "me".to_owned());
    tokio::spawn(elect(candidate, held, modes));
    let observes = lease.wait_for(|lease| *lease == Leadership::Observes);
    observes.await.unwrap();
    assert!(!lease.borrow().holds());
    server.expect_none(Duration::from_secs(60)).await;

    mode.send_replace(Mode::Enforce);
    server.expect("GET", LEASE).await.fail(404, "not found");
    let created = server.call().await;
    let body = created.body.clone();
    assert!(!lease.borrow().holds(), "not before the answer");
    created.answer(&body);
    lease.wait_for(|lease| lease.holds()).await.unwrap();

    mode.send_replace(Mode::Audit);
    let mut ours = body;
    ours["metadata"]["resourceVersion"] = json!("1");
    server.expect("GET", LEASE).await.answer(&ours);
    let released = server.expect("PUT", LEASE).await;
    assert_eq!(released.body["spec"]["holderIdentity"], "");
    released.answer(&ours);
    let observes = lease.wait_for(|lease| *lease == Leadership::Observes);
    observes.await.unwrap();
    server.expect_none(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn who_only_observed_reads_the_claims_again_before_it_leads() {
    let mut following = start();
    for (lease, term) in [
        (Leadership::Observes, None),
        (Leadership::forever(), Some(1)),
    ] {
        following.lease.send_replace(lease);
        let read = following.server.expect("GET", RECORD).await;
        read.fail(404, "not found");
        following.nothing_more().await;
        // A replica that only observes writes nothing.
        if lease.holds() {
            following.writable().await;
        }
        assert_read(&following.told.recv().await, term);
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_learns_that_claims_cannot_be_recorded_and_when_they_can_be_again() {
    let (client, mut server) = server();
    let (held, leadership) = watch::channel(Leadership::forever());
    let (record, to_record) = watch::channel(Vec::new());
    let (news, mut told) = mpsc::channel(10);
    let recording = record_claims(
        ClaimsRecord::new(client, "rollcall"),
        to_record,
        leadership,
        news,
        Metrics::new(),
    );
    tokio::spawn(recording);
    record.send_replace(Vec::new());
    server.expect("GET", RECORD).await.fail(403, "no");
    let lost = told.recv().await;
    assert!(
        matches!(lost, Some(Input::Change(Change::Lost(Feed::Claims, _)))),
        "{lost:?}"
    );
    // It retries automatically, and reports each change once.
    server.expect("GET", RECORD).await.fail(500, "no");
    server.expect("GET", RECORD).await.fail(404, "not found");
    let live = told.recv().await;
    assert!(
        matches!(live, Some(Input::Change(Change::Synced(Feed::Claims)))),
        "{live:?}"
    );
    server.expect_none(Duration::from_secs(60)).await;
    // A former leader writes no more.
    record.send_replace(Vec::new());
    server.expect("GET", RECORD).await.fail(403, "no");
    held.send_replace(Leadership::default());
    server.expect_none(Duration::from_secs(60)).await;
}
