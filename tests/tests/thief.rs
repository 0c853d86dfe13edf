//! The holder of a bootstrap credential, and perhaps of an old key of a node, gets no Machine more often than the rules say, and
//! none with a request or a key whose time is over.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, config_with};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::setting::Setting;
use rollcall_e2e::{CertificateProfile, IssuedCertificate};
use serde_json::json;

/// Far more than anything takes that waits here; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const NAME: &str = "worker-0";
/// `bootstrap.resume.maxExpired` of these tests.
const MAX_EXPIRED: Duration = Duration::from_secs(120);

/// An approver whose configuration differs from the defaults by this.
async fn start(bootstrap: &str) -> (Setting, Program) {
    let setting = Setting::new().await;
    let config = configure(&setting, bootstrap);
    let flags = ["--config", config.as_str()];
    let approver = setting.approver_with("one", &setting.kubeconfig, &flags);
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    (setting, approver)
}

fn configure(setting: &Setting, bootstrap: &str) -> String {
    config_with(
        &setting.control_plane,
        &format!("bootstrap: {{{bootstrap}}}"),
    )
    .unwrap()
}

/// The certificate that was issued for a request.
async fn issued(setting: &Setting, name: &str, request: &NodeRequest) -> IssuedCertificate {
    let certificate = requests::wait_certificate(&setting.admin, name, TIMEOUT).await;
    IssuedCertificate {
        certificate_pem: certificate.unwrap(),
        key_pem: request.key_pem().to_owned(),
    }
}

/// A new key that shows this certificate.
fn shows(setting: &Setting, identity: &IssuedCertificate) -> NodeRequest {
    let request = NodeRequest::client(NAME).unwrap();
    let ca = setting.control_plane.ca_pem();
    request.previous(identity, ca).unwrap()
}

#[tokio::test]
async fn a_chain_of_certificates_has_a_machine_no_more_often_than_max_issues() {
    for (bootstrap, most) in [
        ("maxIssues: 1, reissueAfter: 1s", 1),
        ("maxIssues: 3, reissueAfter: 1s", 3),
    ] {
        let (setting, _approver) = start(bootstrap).await;
        setting.machine(NAME).await;
        let mut request = NodeRequest::client(NAME).unwrap();
        for number in 0..most {
            let name = setting.file(&request).await;
            setting.approved(std::slice::from_ref(&name)).await;
            let identity = issued(&setting, &name, &request).await;
            println!("{bootstrap}: certificate {number} issued");
            request = shows(&setting, &identity);
        }
        let name = setting.file(&request).await;
        let message = setting.held(&name, "AlreadyIssued").await;
        let words = format!("{most} of at most {most}");
        assert!(message.contains(&words), "{message}");
        assert_eq!(setting.all_approved().await.len(), most);
    }
}

#[tokio::test]
async fn one_key_has_one_live_approval_whatever_the_number_of_its_requests() {
    let (setting, _approver) = start("maxIssues: 1, clockSkew: 1m").await;
    // Of a crowd not all are looked at: it waits for a person.
    for (node, number, most) in [("few", 50, 1), ("crowd", 200, 0)] {
        let key = NodeRequest::client(node).unwrap();
        let filed = futures::stream::iter(0..number).map(|number| {
            let request = key.clone().named(&format!("{node}-{number}"));
            let setting = &setting;
            async move { anyhow::Ok(setting.file(&request).await) }
        });
        let names: Vec<String> = filed.buffer_unordered(8).try_collect().await.unwrap();
        setting.machine(node).await;
        // A request that comes after these is judged after them.
        let after = setting.join(&format!("after-{node}")).await;
        setting.approved(&[after]).await;
        let again = setting
            .file(&key.clone().named(&format!("{node}-again")))
            .await;
        // Another key asks for the same Machine.
        let rival = setting.ask(node).await;
        let reason = if most == 0 {
            "Contested"
        } else {
            "AlreadyIssued"
        };
        for name in [again, rival] {
            setting.held(&name, reason).await;
        }
        let names: Vec<&String> = names.iter().collect();
        assert_eq!(setting.are_approved(&names).await, most, "{node}");
    }
}

#[tokio::test]
async fn a_request_that_is_being_deleted_or_is_too_old_is_not_approved_when_the_facts_come() {
    let (setting, _approver) = start("joinWindow: 6s, clockSkew: 1m, contested: newest").await;
    let nameless = ["deleted", "old"];
    for name in nameless {
        let status = MachineStatus::provisioning();
        let made = machines::create_machine(&setting.admin, name, &status).await;
        made.unwrap();
    }
    let mut kept = NodeRequest::client("deleted").unwrap().object().unwrap();
    kept.metadata.finalizers = Some(vec!["thief.example/keep".to_owned()]);
    let api = requests::api(&setting.bootstrapper);
    let kept = api.create(&PostParams::default(), &kept).await.unwrap();
    let kept = kept.name_any();
    setting.held(&kept, "MachineNotFound").await;
    let api = requests::api(&setting.admin);
    api.delete(&kept, &DeleteParams::default()).await.unwrap();
    let old = setting.ask("old").await;
    setting.held(&old, "MachineNotFound").await;
    // A Machine that is younger than the window, and a request that is older.
    tokio::time::sleep(Duration::from_secs(7)).await;
    for name in nameless {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        let set = machines::set_status(&setting.admin, name, &status).await;
        set.unwrap();
    }
    let message = setting.held(&old, "OutsideJoinWindow").await;
    assert!(message.contains("has to ask anew"), "{message}");
    let good = setting.join("good").await;
    setting.approved(&[good]).await;
    let request = setting.request(&kept).await;
    assert!(request.metadata.deletion_timestamp.is_some());
    assert!(requests::is_pending(&request), "{request:?}");
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let freed = api.patch(&kept, &PatchParams::default(), &patch).await;
    freed.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_of_an_earlier_machine_is_no_evidence_for_a_new_one() {
    let (setting, _approver) = start("evidence: bound").await;
    setting.machine(NAME).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // Newer than the record, and of the right authority, name and kind: but this Machine never gave it to anybody.
    let renewed = CertificateProfile::node(NAME);
    let renewed = setting.control_plane.issue_certificate(&renewed).unwrap();
    let name = setting.file(&shows(&setting, &renewed)).await;
    let message = setting.held(&name, "EvidenceMissing").await;
    assert!(message.contains("that was not approved for"), "{message}");
}

/// A Machine and its Node, which is Ready.
async fn running(setting: &Setting) -> Api<Node> {
    let nodes: Api<Node> = Api::all(setting.admin.clone());
    setting.machine(NAME).await;
    let node = serde_json::from_value(json!({"metadata": {"name": NAME}})).unwrap();
    let node: Node = nodes.create(&PostParams::default(), &node).await.unwrap();
    let bound = machines::bind(&setting.admin, NAME, NAME, &node.uid().unwrap()).await;
    bound.unwrap();
    set_ready(&nodes, "True").await;
    nodes
}

async fn set_ready(nodes: &Api<Node>, status: &str) {
    let patch =
        Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": status}]}}));
    nodes
        .patch_status(NAME, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// A certificate of the node that is issued now and expired so long ago.
fn expired(setting: &Setting, ago: Duration) -> IssuedCertificate {
    /// The time by which kube-controller-manager sets the beginning of a certificate back (Kubernetes `pkg/controller/certificates/signer`).
    const BACKDATE: Duration = Duration::from_secs(300);
    let before = |ago| SystemTime::now().checked_sub(ago).unwrap();
    let lifetime = CertificateProfile::node(NAME).valid(before(BACKDATE), before(ago));
    setting.control_plane.issue_certificate(&lifetime).unwrap()
}

#[tokio::test]
async fn an_old_key_of_a_node_comes_back_within_limits_and_only_while_the_node_is_off() {
    let (setting, approver) = start("clockSkew: 1s, resume: {maxIssues: 2, maxExpired: 2m}").await;
    let nodes = running(&setting).await;
    let old = expired(&setting, Duration::from_secs(2));
    let name = setting.file(&shows(&setting, &old)).await;
    let message = setting.held(&name, "NodeExists").await;
    assert!(message.contains("Ready"), "{message}");
    let deleted = DeleteParams::default();
    let api = requests::api(&setting.admin);
    api.delete(&name, &deleted).await.unwrap();
    set_ready(&nodes, "False").await;
    let ancient = setting
        .file(&shows(&setting, &expired(&setting, MAX_EXPIRED)))
        .await;
    let message = setting.held(&ancient, "EvidenceInvalid").await;
    assert!(message.contains("maxExpired"), "{message}");
    // A second is allowed for clocks: what is approved from here on is newer than the certificate that is shown.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut request = shows(&setting, &old);
    let mut name = setting.file(&request).await;
    for _ in 0..2 {
        setting.approved(std::slice::from_ref(&name)).await;
        let warned = requests::wait_event(&setting.admin, &name, "Resume", TIMEOUT).await;
        assert_eq!(warned.unwrap().type_.as_deref(), Some("Warning"));
        let identity = issued(&setting, &name, &request).await;
        // The older certificate is worth nothing from here on.
        let copy = setting.file(&shows(&setting, &old)).await;
        let message = setting.held(&copy, "EvidenceInvalid").await;
        assert!(message.contains("not the newest one"), "{message}");
        request = shows(&setting, &identity);
        name = setting.file(&request).await;
    }
    let message = setting.held(&name, "AlreadyIssued").await;
    assert!(message.contains("bootstrap.resume.maxIssues"), "{message}");
    approver.stop();

    // What is switched off is what it is without Rollcall's evidence: a name that a Node has.
    let config = configure(&setting, "resume: {enabled: false}");
    let _approver = setting.approver_again("one", &["--config", &config]);
    let name = setting.file(&shows(&setting, &old)).await;
    setting.held(&name, "NodeExists").await;
}
