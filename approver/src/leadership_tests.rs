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
    told: mpsc::Receiver<Input>,
}

fn start() -> Following {
    let (client, server) = server();
    let (lease, held) = watch::channel(Leadership::default());
    let (leads, leadership) = watch::channel(Leadership::default());
    let (news, told) = mpsc::channel(10);
    let record = ClaimsRecord::new(client, "rollcall");
    tokio::spawn(follow(held, leads, record, news, Metrics::new()));
    Following {
        server,
        lease,
        leadership,
        told,
    }
}

async fn leads(leadership: &mut watch::Receiver<Leadership>) {
    let leads = leadership.wait_for(|leadership| leadership.holds());
    tokio::time::timeout(Duration::from_secs(1), leads)
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
    following
        .server
        .expect("GET", RECORD)
        .await
        .fail(404, "not found");
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
        following
            .leadership
            .wait_for(|now| *now == lease)
            .await
            .unwrap();
    }
}
