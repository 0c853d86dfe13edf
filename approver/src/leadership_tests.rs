//! A replica writes only after it has read the claims that outlived their requests.

use rollcall_csr::KeyHash;
use serde_json::json;

use super::*;
use crate::fixtures::{Server, server};

const RECORD: &str = "/api/v1/namespaces/rollcall/configmaps/rollcall-claims";

struct Following {
    server: Server,
    lease: watch::Sender<Leadership>,
    leadership: watch::Receiver<Leadership>,
    _mode: watch::Sender<Mode>,
    told: mpsc::Receiver<Input>,
}

fn start() -> Following {
    let (client, server) = server();
    let (lease, held) = watch::channel(Leadership::default());
    let (leads, leadership) = watch::channel(Leadership::default());
    let (news, told) = mpsc::channel(10);
    let record = ClaimsRecord::new(client, "rollcall");
    let (mode, modes) = watch::channel(Mode::Enforce);
    tokio::spawn(follow((held, modes), leads, record, news, Metrics::new()));
    Following {
        server,
        lease,
        leadership,
        _mode: mode,
        told,
    }
}

impl Following {
    /// Says that there is nothing in the other parts of the record.
    async fn nothing_more(&mut self) {
        for number in 1..=7 {
            let path = format!("{RECORD}-{number}");
            self.server
                .expect("GET", &path)
                .await
                .fail(404, "not found");
        }
    }

    /// Takes the write that shows that the record can be written.
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

#[tokio::test(start_paused = true)]
async fn the_claims_are_read_before_anything_is_written() {
    let mut following = start();
    following.server.expect_none(Duration::from_secs(60)).await;
    following.lease.send_replace(Leadership::forever());
    let call = following.server.expect("GET", RECORD).await;
    assert!(!following.leadership.borrow().holds());
    let key = KeyHash::of_spki(b"key");
    call.answer(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rollcall-claims"},
        "data": {"m-0_csr-0": format!("2026-11-01T00:00:00Z {key}")},
    }));
    following.nothing_more().await;
    assert!(!following.leadership.borrow().holds());
    following.writable().await;
    let Some(Input::Change(Change::Claimed(claim))) = following.told.recv().await else {
        panic!("the claim comes first");
    };
    assert_eq!((claim.machine.0.as_str(), claim.key), ("m-0", key));
    let next = following.told.recv().await;
    assert!(
        matches!(next, Some(Input::Change(Change::Synced(Feed::Claims)))),
        "{next:?}"
    );
    leads(&mut following.leadership).await;
    // A renewal reads nothing.
    following.lease.send_replace(Leadership::forever());
    following.server.expect_none(Duration::from_secs(1)).await;
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
async fn a_record_that_cannot_be_read_is_read_again_and_nothing_is_written_before() {
    let mut following = start();
    following.lease.send_replace(Leadership::forever());
    for code in [403, 500] {
        following
            .server
            .expect("GET", RECORD)
            .await
            .fail(code, "no");
        assert!(!following.leadership.borrow().holds());
    }
    // Nor before it can be written.
    for written in [false, true] {
        following
            .server
            .expect("GET", RECORD)
            .await
            .fail(404, "not found");
        following.nothing_more().await;
        assert!(!following.leadership.borrow().holds());
        if written {
            following.writable().await;
        } else {
            following.server.expect("GET", RECORD).await.fail(403, "no");
        }
    }
    let next = following.told.recv().await;
    assert!(
        matches!(next, Some(Input::Change(Change::Synced(Feed::Claims)))),
        "{next:?}"
    );
    leads(&mut following.leadership).await;
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
    for lease in [Leadership::Observes, Leadership::forever()] {
        following.lease.send_replace(lease);
        let read = following.server.expect("GET", RECORD).await;
        assert!(!following.leadership.borrow().holds());
        read.fail(404, "not found");
        following.nothing_more().await;
        // Who only observes writes nothing.
        if lease.holds() {
            following.writable().await;
        }
        following
            .leadership
            .wait_for(|now| *now == lease)
            .await
            .unwrap();
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
    // It tries again by itself, and tells each change once.
    server.expect("GET", RECORD).await.fail(500, "no");
    server.expect("GET", RECORD).await.fail(404, "not found");
    let live = told.recv().await;
    assert!(
        matches!(live, Some(Input::Change(Change::Synced(Feed::Claims)))),
        "{live:?}"
    );
    server.expect_none(Duration::from_secs(60)).await;
    // Who leads no more writes no more.
    record.send_replace(Vec::new());
    server.expect("GET", RECORD).await.fail(403, "no");
    held.send_replace(Leadership::default());
    server.expect_none(Duration::from_secs(60)).await;
}
