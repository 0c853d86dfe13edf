//! Mode `audit` beside an approver that approves everything: it says where it would have decided otherwise, and writes
//! nothing, which the API server's own audit log proves.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{APPROVER, Program, binary};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, Options, wait};
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The API server keeps who wrote what, and nothing else.
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

#[tokio::test]
async fn an_audit_says_where_others_decided_otherwise_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (control_plane, written) = audited_control_plane(folder.path()).await;
    let arguments = ["--mode", "audit", "--metrics-addr", "127.0.0.1:0"];
    let approver = Program::approver(&control_plane, &arguments).await.unwrap();
    approver.line(&["deciding"], TIMEOUT).await.unwrap();
    let admin = control_plane.admin();
    let _everything = loop_that_approves_everything(&control_plane).await;

    let status = MachineStatus::provisioned("worker-0", "192.0.2.10");
    machines::create_machine(&admin, "worker-0", &status)
        .await
        .unwrap();
    approver
        .metric("rollcall_machines 1", TIMEOUT)
        .await
        .unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    let mut names = Vec::new();
    for node in ["worker-0", "stranger"] {
        let request = NodeRequest::client(node).unwrap();
        names.push(request.submit(&bootstrapper).await.unwrap());
    }
    for name in &names {
        let approved = requests::wait_approved(&admin, name, TIMEOUT).await;
        let approved = approved.unwrap();
        let (reason, _) = requests::condition(&approved, "Approved").unwrap();
        assert_eq!(reason, "BareLoop");
    }

    let report = report(&approver, 2).await;
    assert_eq!(
        (&report["agreements"], &report["differences"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    let difference = &report["last"][0];
    assert_eq!(difference["csr"], json!(names.last()));
    assert_eq!(difference["others"]["reason"], "BareLoop");
    assert_eq!(difference["rollcall"]["verdict"], "hold");
    assert_eq!(difference["rollcall"]["reason"], "MachineNotFound");
    // What `expect --from-audit` adopts.
    let unknown = &report["unknown"];
    assert_eq!(unknown.as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(unknown[0]["node"], "stranger");
    let line = ["differs", "stranger", "BareLoop", "MachineNotFound"];
    approver.line(&line, TIMEOUT).await.unwrap();
    for labels in [
        "verdict=\"approve\",others=\"approved\",agrees=\"true\"",
        "verdict=\"hold\",others=\"approved\",agrees=\"false\"",
    ] {
        let metric = format!("rollcall_audit_decisions_total{{{labels}}} 1");
        approver.metric(&metric, TIMEOUT).await.unwrap();
    }
    assert_nothing_is_there(&admin).await;
    // Stopping gives nothing back that was never taken.
    approver.stop();
    assert_nothing_was_written(&written);
}

/// A control plane whose API server writes down who changed what.
async fn audited_control_plane(folder: &Path) -> (ControlPlane, PathBuf) {
    let (policy, log) = (folder.join("policy.yaml"), folder.join("audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let options = Options::default()
        .api_server_flag(format!("--audit-policy-file={}", policy.display()))
        .api_server_flag(format!("--audit-log-path={}", log.display()));
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    (control_plane, log)
}

async fn loop_that_approves_everything(control_plane: &ControlPlane) -> Program {
    let kubeconfig = control_plane.admin_kubeconfig();
    let arguments = [kubeconfig.to_str().unwrap()];
    binary("rollcall-bare-loop").unwrap();
    let everything =
        Program::start("rollcall-bare-loop", &control_plane.logs_dir(), &arguments).unwrap();
    everything.line(&["watching"], TIMEOUT).await.unwrap();
    everything
}

/// The report, once it counts so many requests.
async fn report(approver: &Program, count: u64) -> Value {
    wait::poll("the report of the audit", TIMEOUT, || async {
        let text = approver.served("/audit").await?;
        let report: Value = serde_json::from_str(&text)?;
        let fields = ["agreements", "differences"].iter();
        let sum: u64 = fields.filter_map(|field| report[*field].as_u64()).sum();
        anyhow::ensure!(sum == count, "{text}");
        Ok(report)
    })
    .await
    .unwrap_or_else(|error| panic!("{error:?}\n{}", approver.log()))
}

/// No Event, no Lease, no record of claims.
async fn assert_nothing_is_there(admin: &Client) {
    let events: Api<Event> = Api::all(admin.clone());
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let reporter = |event: &&Event| event.reporting_controller.as_deref() == Some(APPROVER.1);
    assert_eq!(events.iter().filter(reporter).count(), 0, "{events:?}");
    let leases: Api<Lease> = Api::namespaced(admin.clone(), APPROVER.0);
    assert_eq!(leases.get_opt(APPROVER.1).await.unwrap(), None);
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), APPROVER.0);
    assert_eq!(maps.get_opt("rollcall-claims").await.unwrap(), None);
}

/// The API server saw the approver ask which rights it has, and nothing else that is not reading.
fn assert_nothing_was_written(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap();
    let user = format!("system:serviceaccount:{}:{}", APPROVER.0, APPROVER.1);
    let entries = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let by_approver: Vec<Value> = entries
        .filter(|entry| entry["user"]["username"] == json!(user))
        .collect();
    assert!(
        !by_approver.is_empty(),
        "the audit log knows nothing of {user}"
    );
    for entry in by_approver {
        // Questions to the API server about rights, which keep nothing.
        let reviews = ["selfsubjectaccessreviews", "subjectaccessreviews"];
        let resource = entry["objectRef"]["resource"].as_str().unwrap();
        assert!(reviews.contains(&resource), "{entry}");
    }
}
