//! The commands for people on a real cluster: who may decide what, and what stands in the cluster afterwards.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::process::Output;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{apply_deploy, binary};
use rollcall_e2e::published::{CLUSTER_API_HEALTH_CHECKS, CLUSTER_API_MACHINES};
use rollcall_e2e::records::Records;
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::{Value, json};

/// A cluster, and a person who asks it things.
struct Desk {
    control_plane: ControlPlane,
    admin: kube::Client,
    bootstrapper: kube::Client,
    kubeconfig: PathBuf,
}

impl Desk {
    async fn open() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        apply_deploy(&control_plane).await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            kubeconfig: control_plane
                .kubeconfig_as("ada", &["system:masters"])
                .unwrap(),
            control_plane,
        }
    }

    async fn machine(&self, name: &str) {
        let status = MachineStatus::provisioned(name, "10.0.0.10");
        machines::create_machine(&self.admin, name, &status)
            .await
            .unwrap();
    }

    async fn ask(&self, request: NodeRequest) -> String {
        request.submit(&self.bootstrapper).await.unwrap()
    }

    async fn client_request(&self, node: &str) -> String {
        self.ask(NodeRequest::client(node).unwrap()).await
    }

    /// Runs the program as the person.
    async fn run(&self, arguments: &[&str]) -> Output {
        self.run_as(&self.kubeconfig, arguments).await
    }

    async fn run_as(&self, kubeconfig: &PathBuf, arguments: &[&str]) -> Output {
        tokio::process::Command::new(binary("rollcall-approver").unwrap())
            .args(arguments)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .output()
            .await
            .unwrap()
    }

    /// What the program answers as JSON, and its exit code.
    async fn json(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let all: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
        let done = self.run(&all).await;
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        let answer = serde_json::from_slice(&done.stdout);
        (
            answer.unwrap_or_else(|error| Value::String(format!("{error}: {stderr}"))),
            done.status.code(),
        )
    }

    async fn get(&self, name: &str) -> CertificateSigningRequest {
        requests::api(&self.admin).get(name).await.unwrap()
    }

    async fn is_pending(&self, name: &str) -> bool {
        requests::is_pending(&self.get(name).await)
    }

    /// The Events that regard a request.
    async fn events(&self, name: &str) -> Vec<Event> {
        let events: Api<Event> = Api::all(self.admin.clone());
        let list = events.list(&ListParams::default()).await.unwrap();
        list.items
            .into_iter()
            .filter(|event| {
                let regarding = event.regarding.as_ref();
                regarding.and_then(|about| about.name.as_deref()) == Some(name)
            })
            .collect()
    }
}

/// Makes a Node that has not been ready for an hour.
async fn sick_node(admin: &kube::Client, name: &str) {
    let nodes: Api<Node> = Api::all(admin.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let since = jiff::Timestamp::now().as_second().saturating_sub(3600);
    let since = jiff::Timestamp::from_second(since).unwrap().to_string();
    let sick = json!({"type": "Ready", "status": "Unknown", "lastTransitionTime": since});
    let patch = Patch::Strategic(json!({"status": {"conditions": [sick]}}));
    let params = PatchParams::default();
    nodes.patch_status(name, &params, &patch).await.unwrap();
}

#[tokio::test]
async fn list_and_explain_say_what_a_health_check_will_do() {
    let desk = Desk::open().await;
    for kind in [CLUSTER_API_MACHINES, CLUSTER_API_HEALTH_CHECKS] {
        desk.control_plane
            .apply(&kind.text().unwrap())
            .await
            .unwrap();
    }
    let config = desk.control_plane.dir().join("config.yaml");
    let head = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";
    let source = "machines: [{clusterAPI: {namespace: default}}]\n";
    std::fs::write(&config, format!("{head}{source}")).unwrap();
    let config = config.to_str().unwrap();
    let records = |kind, plural| {
        let version = "cluster.x-k8s.io/v1beta2";
        Records::new(desk.admin.clone(), version, kind, plural, Some("default")).unwrap()
    };
    let machines = records("Machine", "machines");
    let labels = json!({"cluster.x-k8s.io/cluster-name": "c"});
    let infrastructure = json!({"apiGroup": "example.com", "kind": "Host", "name": "h"});
    let spec = json!({
        "clusterName": "c", "bootstrap": {"dataSecretName": "s"}, "infrastructureRef": infrastructure,
    });
    for name in ["worker-0", "worker-1"] {
        machines.create(name, &labels, &spec).await.unwrap();
    }
    let joined = json!({"nodeRef": {"name": "worker-1"}});
    machines.set_status("worker-1", &joined).await.unwrap();
    sick_node(&desk.admin, "worker-1").await;
    let request = desk.client_request("worker-0").await;
    let assert_said = async |words: &str| {
        for command in ["list", "explain"] {
            let (answer, code) = desk.json(&[command, "--config", config]).await;
            assert_eq!(code, Some(0), "{answer}");
            assert_eq!(answer[0]["csr"], request.as_str());
            let message = answer[0]["message"].to_string();
            assert!(message.contains(words), "{command}: {message}");
        }
    };

    let checks = records("MachineHealthCheck", "machinehealthchecks");
    let unhealthy = json!([{"type": "Ready", "status": "Unknown", "timeoutSeconds": 300}]);
    let check = |most: &str| {
        json!({
            "clusterName": "c", "selector": {"matchLabels": labels},
            "checks": {"nodeStartupTimeoutSeconds": 3540, "unhealthyNodeConditions": unhealthy},
            "remediation": {"triggerIf": {"unhealthyLessThanOrEqualTo": most}},
        })
    };
    checks
        .create("mhc", &json!({}), &check("100%"))
        .await
        .unwrap();
    assert_said("Machine default/worker-0: will be remediated in 5").await;
    let fewer = json!({"spec": check("60%")});
    checks.change("mhc", &fewer).await.unwrap();
    assert_said("remediates nothing: 2 of 2 Machines have no healthy Node, 1 may").await;
}

#[tokio::test]
async fn explain_and_list_say_what_would_be_decided() {
    let desk = Desk::open().await;
    desk.machine("worker-0").await;
    let expected = desk.client_request("worker-0").await;
    let stranger = desk.client_request("stranger").await;

    let (answer, code) = desk.json(&["explain"]).await;
    assert_eq!(code, Some(0), "{answer}");
    let find = |answer: &Value, name: &str| {
        let answers = answer.as_array().unwrap();
        answers
            .iter()
            .find(|one| one["csr"] == name)
            .unwrap()
            .clone()
    };
    let approve = find(&answer, &expected);
    assert_eq!(approve["verdict"], "approve");
    assert_eq!(approve["machine"]["name"], "worker-0");
    let hold = find(&answer, &stranger);
    assert_eq!(
        (&hold["verdict"], &hold["reason"]),
        (&"hold".into(), &"MachineNotFound".into())
    );

    let (answer, code) = desk.json(&["list"]).await;
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(answer.as_array().unwrap().len(), 2);
    assert_eq!(find(&answer, &stranger)["decision"], "hold");

    requests::approve(&desk.admin, &expected).await.unwrap();
    let (answer, _) = desk.json(&["list"]).await;
    assert_eq!(answer.as_array().unwrap().len(), 1, "{answer}");
    let (answer, _) = desk.json(&["list", "--all"]).await;
    let decided = find(&answer, &expected);
    assert_eq!(decided["decision"], "approved");
    assert_eq!(decided["reason"], "ApprovedByTest");
    // What others did stands beside what policy says of it.
    assert_eq!(decided["policy"]["reason"], "FirstCertificate");
    requests::approve(&desk.admin, &stranger).await.unwrap();
    let (answer, _) = desk.json(&["list", "--all"]).await;
    let differs = find(&answer, &stranger);
    assert_eq!(differs["decision"], "approved");
    assert_eq!(differs["policy"]["verdict"], "hold");
    assert_eq!(differs["policy"]["reason"], "MachineNotFound");
    let table = desk.run(&["list", "--all"]).await;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.lines().next().unwrap().ends_with("POLICY"), "{table}");
    assert!(
        table.lines().all(|line| line.chars().count() <= 100),
        "{table}"
    );

    let (_, code) = desk.json(&["explain", "csr-nowhere"]).await;
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn approve_refuses_what_policy_would_not_and_an_override_is_remembered() {
    let desk = Desk::open().await;
    let stranger = desk.client_request("stranger").await;

    let done = desk.run(&["approve", &stranger]).await;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(
        told.contains("MachineNotFound") && told.contains("--override"),
        "{told}"
    );
    assert!(desk.is_pending(&stranger).await);
    assert!(desk.events(&stranger).await.is_empty());

    let (answer, code) = desk
        .json(&[
            "approve",
            &stranger,
            "--override",
            "--reason",
            "spare part, ticket 17",
        ])
        .await;
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(answer[0]["outcome"], "approved");
    let request = desk.get(&stranger).await;
    let (reason, message) = requests::condition(&request, "Approved").unwrap();
    assert_eq!(reason, "ManualApproval");
    for part in ["ada", "spare part, ticket 17", "MachineNotFound"] {
        assert!(message.contains(part), "{message}");
    }
    let events = desk.events(&stranger).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].reason.as_deref(), Some("ManualApproval"));
    assert_eq!(events[0].note.as_deref(), Some(message));
    assert_eq!(events[0].type_.as_deref(), Some("Warning"));

    let (answer, code) = desk.json(&["approve", &stranger]).await;
    assert_eq!(
        (&answer[0]["outcome"], code),
        (&"unchanged".into(), Some(0))
    );
}

#[tokio::test]
async fn all_pending_approves_each_machine_once_and_leaves_the_rest() {
    let desk = Desk::open().await;
    desk.machine("worker-0").await;
    desk.machine("worker-1").await;
    let first = desk.client_request("worker-0").await;
    let second = desk.client_request("worker-1").await;
    let stranger = desk.client_request("stranger").await;
    // Two keys for one Machine: neither gets it before one of them has fallen silent (contested: settle).
    let rivals = ["rival-a", "rival-b"];
    desk.machine("worker-2").await;
    for name in rivals {
        desk.ask(NodeRequest::client("worker-2").unwrap().named(name))
            .await;
    }
    let (answer, code) = desk.json(&["approve", "--all-pending"]).await;
    assert_eq!(code, Some(0), "{answer}");
    for name in [&first, &second] {
        let request = desk.get(name).await;
        let (reason, message) = requests::condition(&request, "Approved").unwrap();
        assert_eq!(reason, "ManualApproval");
        assert!(
            message.contains("ada") && message.contains("FirstCertificate"),
            "{message}"
        );
    }
    assert!(desk.is_pending(&stranger).await);
    let mut pending = 0;
    for name in rivals {
        pending += usize::from(desk.is_pending(name).await);
    }
    assert_eq!(pending, rivals.len(), "{answer}");
}

#[tokio::test]
async fn deny_is_final_and_says_who_and_why() {
    let desk = Desk::open().await;
    desk.machine("worker-0").await;
    let name = desk.client_request("worker-0").await;
    let (answer, code) = desk
        .json(&["deny", &name, "csr-nowhere", "--reason", "stolen"])
        .await;
    // One of the two is not there, and the other is denied all the same.
    assert_eq!(code, Some(1), "{answer}");
    assert_eq!(answer[0]["outcome"], "denied");
    assert_eq!(answer[1]["outcome"], "failed");
    let request = desk.get(&name).await;
    let (reason, message) = requests::condition(&request, "Denied").unwrap();
    assert_eq!((reason, message), ("ManualDenial", "denied by ada: stolen"));
    let events = desk.events(&name).await;
    assert_eq!(events[0].reason.as_deref(), Some("ManualDenial"));
    let (answer, code) = desk
        .json(&["approve", &name, "--override", "--reason", "found again"])
        .await;
    assert_eq!((&answer[0]["outcome"], code), (&"failed".into(), Some(1)));
    assert!(
        answer[0]["message"]
            .as_str()
            .unwrap()
            .contains("that is final"),
        "{answer}"
    );
}

#[tokio::test]
async fn without_rights_nothing_is_done_and_the_missing_right_is_named() {
    let desk = Desk::open().await;
    let name = desk.client_request("worker-0").await;
    let nobody = desk.control_plane.kubeconfig_as("bob", &[]).unwrap();
    for arguments in [
        ["explain", "-o", "json"].as_slice(),
        &["list"],
        &["approve", &name, "--override", "--reason", "r"],
        &["deny", &name, "--reason", "r"],
    ] {
        let done = desk.run_as(&nobody, arguments).await;
        let told = [done.stdout, done.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(done.status.code(), Some(1), "{told}");
        let named = told.contains("a right is missing") && told.contains("\"bob\"");
        assert!(named, "{told}");
    }
    assert!(desk.is_pending(&name).await);
}
