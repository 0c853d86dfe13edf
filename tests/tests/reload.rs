//! The approver's configuration changes while it runs, in a ConfigMap as kubelet mounts it: requests that wait are judged
//! anew, sources of Machines come and go, and what is invalid changes nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use kube::Client;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::config_map::MountedConfigMap;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{APPROVER, Program, config_text};
use rollcall_e2e::requests::{self, NodeRequest};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Nobody joins so soon after its Machine was created.
const NO_WINDOW: &str = "bootstrap: {joinWindow: 0s}";

/// A running approver, its configuration, and who asks.
struct Setting {
    admin: Client,
    bootstrapper: Client,
    mounted: MountedConfigMap,
    approver: Program,
    control_plane: ControlPlane,
}

impl Setting {
    async fn new(fields: &str) -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let folder = control_plane.dir().join("config");
        let text = config_text(fields);
        let mounted = MountedConfigMap::mount(&folder, "approver.yaml", &text).unwrap();
        let file = mounted.file().display().to_string();
        let arguments = ["--config", &file, "--metrics-addr", "127.0.0.1:0"];
        let approver = Program::approver(&control_plane, &arguments).await.unwrap();
        approver.line(&["deciding"], TIMEOUT).await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            mounted,
            approver,
            control_plane,
        }
    }

    fn configure(&mut self, fields: &str) {
        self.mounted.update(&config_text(fields)).unwrap();
    }

    /// A Machine, and the request it is there for.
    async fn ask(&self, name: &str) -> String {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        machines::create_machine(&self.admin, name, &status)
            .await
            .unwrap();
        self.ask_only(name).await
    }

    async fn ask_only(&self, name: &str) -> String {
        let request = NodeRequest::client(name).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }

    async fn assert_held(&self, request: &str, reason: &str) {
        requests::wait_event(&self.admin, request, reason, TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.approver.log()));
        self.assert_pending(request).await;
    }

    async fn assert_pending(&self, request: &str) {
        let request = requests::api(&self.admin).get(request).await.unwrap();
        assert!(requests::is_pending(&request), "{request:?}");
    }

    async fn assert_approved(&self, request: &str) {
        requests::wait_approved(&self.admin, request, TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.approver.log()));
    }

    async fn assert_metric(&self, line: &str) {
        self.approver.metric(line, TIMEOUT).await.unwrap();
    }

    async fn assert_says(&self, texts: &[&str]) {
        self.approver.line(texts, TIMEOUT).await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_is_judged_by_the_changed_file_and_a_broken_one_changes_nothing() {
    let mut setting = Setting::new(NO_WINDOW).await;
    let held = setting.ask("worker-0").await;
    setting.assert_held(&held, "OutsideJoinWindow").await;
    setting.configure("");
    setting.assert_approved(&held).await;
    setting
        .assert_says(&["the changed configuration is in force"])
        .await;

    setting.configure("bootstrap: {joinWindow: soon}");
    setting.assert_metric("rollcall_config_valid 0").await;
    let file = setting.mounted.file().display().to_string();
    setting
        .assert_says(&[
            "ERROR",
            &file,
            "line 3",
            "soon",
            "the one before stays in force",
        ])
        .await;
    let by_the_old_one = setting.ask("worker-1").await;
    setting.assert_approved(&by_the_old_one).await;
    let stranger = setting.ask_only("stranger").await;
    setting.assert_held(&stranger, "MachineNotFound").await;

    setting.configure("mode: manual");
    setting.assert_metric("rollcall_config_valid 1").await;
    setting
        .assert_says(&["the configuration is valid again"])
        .await;
    setting
        .assert_says(&["the changed configuration is in force", "mode=Manual"])
        .await;
    let manual = setting.ask("worker-2").await;
    setting.assert_says(&["approve: ", &manual]).await;
    setting.assert_pending(&manual).await;
    setting.configure("mode: enforce");
    setting.assert_approved(&manual).await;

    let log = setting.approver.log();
    let told = log.matches("the changed configuration is not valid");
    assert_eq!(told.count(), 1, "{log}");
    assert_eq!(
        log.matches("connecting").count(),
        1,
        "it was restarted: {log}"
    );
    assert_eq!(setting.approver.ended(), None, "{log}");
}

#[tokio::test]
async fn sources_of_machines_come_and_go() {
    const ELSEWHERE: &str = "machines: [{openshift: {namespace: elsewhere}}]";
    let mut setting = Setting::new("").await;
    allow_elsewhere(&setting.control_plane).await;
    let first = setting.ask("worker-0").await;
    setting.assert_approved(&first).await;
    setting.assert_metric("rollcall_machines 1").await;

    setting.configure(ELSEWHERE);
    setting.assert_metric("rollcall_machines 0").await;
    let waiting = setting.ask("worker-1").await;
    setting.assert_held(&waiting, "MachineNotFound").await;
    setting.configure("");
    setting.assert_approved(&waiting).await;
    // A Machine that was spent before its source went away is still spent.
    let second_key = setting.ask_only("worker-0").await;
    setting.assert_held(&second_key, "AlreadyIssued").await;
    // A source that gives nothing holds up whom only it could know, and says which one it is.
    setting.configure("machines: [{openshift: {}}, {openshift: {namespace: forbidden}}]");
    setting
        .assert_says(&["openshift in forbidden", "a right is missing"])
        .await;
    let known = setting.ask("worker-2").await;
    setting.assert_approved(&known).await;
    let unknown = setting.ask_only("worker-3").await;
    setting.assert_held(&unknown, "FactsStale").await;
    let event = requests::wait_event(&setting.admin, &unknown, "FactsStale", TIMEOUT);
    let note = event.await.unwrap().message.unwrap();
    assert!(note.contains("openshift in forbidden"), "{note}");
    setting.configure("");
    // Every source has been heard now, and none knows it.
    let event = requests::wait_event(&setting.admin, &unknown, "MachineNotFound", TIMEOUT);
    let note = event.await.unwrap().message.unwrap();
    assert!(!note.contains("forbidden"), "{note}");
    setting.assert_pending(&unknown).await;
}

/// Lets the approver read Machines in another namespace.
async fn allow_elsewhere(control_plane: &ControlPlane) {
    control_plane.ensure_namespace("elsewhere").await.unwrap();
    let role = rollcall_e2e::programs::deploy().join("role-machines.yaml");
    let binding = rollcall_e2e::programs::deploy().join("role-binding-machines.yaml");
    for file in [role, binding] {
        let manifest = elsewhere(&file);
        control_plane.apply(&manifest).await.unwrap();
    }
}

/// A manifest of the default namespace of Machines, for another one.
fn elsewhere(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("openshift-machine-api", "elsewhere");
    assert!(text.contains(APPROVER.1), "{text}");
    text
}
