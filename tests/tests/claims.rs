//! A Machine is spent once: across restarts of the approver, the deletion of the approved request, and two replicas.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use rollcall_e2e::programs::APPROVER;
use rollcall_e2e::requests;
use rollcall_e2e::setting::Setting;
use rollcall_e2e::wait;
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request with a new key waits because the Machine is spent.
async fn assert_spent(setting: &Setting, node: &str) {
    let second = setting.ask(node).await;
    setting.held(&second, "AlreadyIssued").await;
}

#[tokio::test]
async fn a_machine_is_spent_once_across_restarts_and_the_deletion_of_its_request() {
    let setting = Setting::new().await;
    let first = setting.approver("one");
    setting.machine("worker-0").await;
    let uid = setting.machine("worker-1").await;
    let (kept, deleted) = (setting.ask("worker-0").await, setting.ask("worker-1").await);
    setting.approved(std::slice::from_ref(&kept)).await;
    setting.approved(std::slice::from_ref(&deleted)).await;

    // The cleaner of kube-controller-manager deletes an approved request in this way after an hour.
    requests::api(&setting.admin)
        .delete(&deleted, &DeleteParams::default())
        .await
        .unwrap();
    let records: Api<ConfigMap> = Api::namespaced(setting.admin.clone(), APPROVER.0);
    let begin = Instant::now();
    let recorded = |record: &ConfigMap| {
        let data = record.data.iter().flatten();
        data.into_iter().any(|(key, _)| key.starts_with(&uid))
    };
    let what = "the claim";
    wait::object(&records, "rollcall-claims", what, TIMEOUT, recorded)
        .await
        .unwrap();
    println!("recorded {:?} after the deletion", begin.elapsed());

    first.kill();
    let second = setting.approver_again("one", &[]);
    assert_spent(&setting, "worker-0").await;
    assert_spent(&setting, "worker-1").await;
    // The approver decides: what is not spent is approved.
    setting.machine("worker-2").await;
    let other = setting.ask("worker-2").await;
    setting.approved(std::slice::from_ref(&other)).await;
    assert!(!second.log().contains("ERROR"), "{}", second.log());
}

#[tokio::test]
async fn of_two_replicas_one_writes_and_the_other_takes_over() {
    /// The last renewal is seen up to 2 s late, the Lease lasts 15 s from then, and the next look is up to 2 s later.
    const TAKE_OVER: Duration = Duration::from_secs(20);
    let setting = Setting::new().await;
    let leader = setting.approver("one");
    leader.line(&["leading=true"], TIMEOUT).await.unwrap();
    let standby = setting.approver("two");
    standby.line(&["watching"], TIMEOUT).await.unwrap();
    setting.machine("worker-0").await;
    let name = setting.ask("worker-0").await;
    setting.approved(std::slice::from_ref(&name)).await;
    assert_eq!(holder(&setting.admin).await, "one");
    for (replica, writes) in [(&leader, true), (&standby, false)] {
        let log = replica.log();
        let approved = log.lines().any(|line| {
            line.contains(&name) && line.contains("approved") && line.contains("FirstCertificate")
        });
        assert_eq!(approved, writes, "{log}");
    }

    setting.machine("worker-1").await;
    let begin = Instant::now();
    leader.kill();
    let orphan = setting.ask("worker-1").await;
    let took_over = requests::wait_approved(&setting.admin, &orphan, TIMEOUT).await;
    took_over.unwrap_or_else(|error| panic!("{error:?}\n{}", standby.log()));
    let took = begin.elapsed();
    println!("the second replica took over after {took:?}");
    assert!(took < TAKE_OVER, "only after {took:?}");
    assert_eq!(holder(&setting.admin).await, "two");
    // The new leader knows what the old one approved.
    assert_spent(&setting, "worker-0").await;
}

async fn holder(admin: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(admin.clone(), APPROVER.0);
    let lease = leases.get(APPROVER.1).await.unwrap();
    lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default()
}

#[tokio::test]
async fn a_machine_whose_claim_is_spoilt_stays_spent() {
    let setting = Setting::new().await;
    let approver = setting.approver("one");
    let uid = setting.machine("worker-0").await;
    let other = setting.join("worker-1").await;
    setting.approved(&[other]).await;
    approver.stop();
    let records: Api<ConfigMap> = Api::namespaced(setting.admin.clone(), APPROVER.0);
    let spoilt = Patch::Merge(json!({"data": {format!("{uid}_gone"): "2026-13-99 sha256:?"}}));
    records
        .patch("rollcall-claims", &PatchParams::default(), &spoilt)
        .await
        .unwrap();
    let again = setting.approver_again("one", &[]);
    assert_spent(&setting, "worker-0").await;
    let words = ["cannot be read", "gone", "spent=true"];
    again.line(&words, TIMEOUT).await.unwrap();
    let good = setting.join("worker-2").await;
    setting.approved(&[good]).await;
}
