//! The holder of a bootstrap credential who files much does not delay other requestors.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use rollcall_e2e::programs::config_with;
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::setting::Setting;
use rollcall_e2e::{Authority, CertificateProfile, machines};
use serde_json::json;

/// Far more than anything takes that waits here; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The Machine that the thief asks for.
const VICTIM: &str = "victim";

/// The time from the answer to a request to its approval, for twenty machines in ascending order.
async fn waits(setting: &Setting, what: &str, trouble: impl AsyncFn(usize)) -> Vec<Duration> {
    let groups = ["system:bootstrappers"];
    let other = setting.control_plane.client_as("somebody", &groups).await;
    let other = other.unwrap();
    let mut waits = Vec::new();
    for number in 0..20 {
        let node = format!("{what}-{number}");
        setting.machine(&node).await;
        trouble(number).await;
        let name = NodeRequest::client(&node).unwrap().submit(&other).await;
        let begin = Instant::now();
        requests::wait_approved(&setting.admin, &name.unwrap(), TIMEOUT)
            .await
            .unwrap();
        waits.push(begin.elapsed());
    }
    waits.sort();
    waits
}

/// Sixty requests that wait, with well-signed certificates of the thief's own authority, and one more of them, and a change of
/// their Machine, just before each machine asks. The number that is demanded is of the build that is deployed; this only sees
/// that nobody waits for seconds.
#[tokio::test]
async fn worthless_evidence_makes_no_other_requestor_wait() {
    let setting = Setting::new().await;
    let bootstrappers = json!({
        "kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io",
    });
    setting
        .control_plane
        .bind_cluster_role("bootstrappers", "system:node-bootstrapper", &bootstrappers)
        .await
        .unwrap();
    let fields = "bootstrap: {clockSkew: 1m, pools: [{pool: strict, evidence: bound}]}";
    let config = config_with(&setting.control_plane, fields).unwrap();
    let flags = ["--config", config.as_str()];
    let _approver = setting.approver_with("one", &setting.kubeconfig, &flags);
    setting.machine(VICTIM).await;
    let api = machines::api(setting.admin.clone());
    let change = async |patch| {
        let patch = Patch::Merge(json!({"metadata": patch}));
        api.patch(VICTIM, &PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    change(json!({"labels": {"machine.openshift.io/cluster-api-machineset": "strict"}})).await;
    let without = waits(&setting, "without", async |_| {}).await;

    let own = Authority::generate("kubernetes").unwrap();
    let identities: Vec<_> = (0..8)
        .map(|_| own.issue(&CertificateProfile::node(VICTIM)).unwrap())
        .collect();
    // One with as many certificates as evidence holds, and others with the one that is allowed.
    let worthless = |number: usize| {
        let most = if number.is_multiple_of(2) { 1 } else { 8 };
        let request = NodeRequest::client(VICTIM).unwrap();
        let ca = setting.control_plane.ca_pem();
        identities
            .iter()
            .take(most)
            .fold(request, |request, one| request.previous(one, ca).unwrap())
    };
    for number in 0..60 {
        setting.file(&worthless(number)).await;
    }
    let with = waits(&setting, "with", async |number| {
        setting.file(&worthless(number)).await;
        change(json!({"annotations": {"changed": number.to_string()}})).await;
    })
    .await;
    for (what, waits) in [("without", &without), ("with", &with)] {
        let (median, longest) = (waits.get(10), waits.last());
        println!("{what}: median {median:?}, longest {longest:?}");
    }
    let longest = with.last().unwrap();
    assert!(*longest < Duration::from_secs(2), "{with:?}");
}
