//! A machine whose request is held says on its own console why the approver holds it.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::{Host, issued_keys};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, approver_kubeconfig, config_with};
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::json;

const REASON: &str = "rollcall.dev/reason";
const MESSAGE: &str = "rollcall.dev/message";

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The annotation's way: the approver may write nothing of a request but its approval, and metadata go along with that.
#[tokio::test]
async fn the_right_to_approve_lets_a_reason_be_written_and_nothing_else_changes() {
    let control_plane = ControlPlane::start().await.unwrap();
    let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
    let approver = control_plane.client_from(&kubeconfig).await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    let admin = control_plane.admin();

    let mut request = NodeRequest::client("worker-0").unwrap().object().unwrap();
    request
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(REASON.to_owned(), "Forged".to_owned());
    request
        .metadata
        .labels
        .get_or_insert_default()
        .insert("kept".to_owned(), "yes".to_owned());
    let created = requests::api(&bootstrapper)
        .create(&PostParams::default(), &request)
        .await
        .unwrap();
    let name = created.metadata.name.clone().unwrap();

    let mut body = created.clone();
    body.metadata
        .annotations
        .get_or_insert_default()
        .insert(REASON.to_owned(), "MachineNotFound".to_owned());
    let write = async |client: &Client| {
        requests::api(client)
            .replace_subresource("approval", &name, &PostParams::default(), &body)
            .await
    };
    let code = |error: kube::Error| {
        let kube::Error::Api(status) = error else {
            panic!("{error:?}")
        };
        status.code
    };
    assert_eq!(code(write(&bootstrapper).await.unwrap_err()), 403);
    write(&approver).await.unwrap();
    let after = requests::api(&admin).get(&name).await.unwrap();
    assert_eq!(after.metadata.annotations, body.metadata.annotations);
    assert_eq!(after.metadata.labels, created.metadata.labels);
    assert_eq!(
        (&after.spec, &after.status),
        (&created.spec, &created.status)
    );
    // What has changed meanwhile is not overwritten.
    assert_eq!(code(write(&approver).await.unwrap_err()), 409);
}

/// The annotations of the one request of that name.
async fn annotations(admin: &Client, name: &str) -> BTreeMap<String, String> {
    let request = requests::api(admin).get(name).await.unwrap();
    request.metadata.annotations.unwrap_or_default()
}

/// The name of the request that an agent filed.
async fn submitted(agent: &Program) -> String {
    let line = agent.line(&["submitted as"], TIMEOUT).await.unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_that_nobody_expects_says_so_and_joins_once_it_is_expected() {
    let control_plane = ControlPlane::start().await.unwrap();
    // However busy this host is, the Machine comes in time.
    let config = config_with(&control_plane, "bootstrap: {clockSkew: 5m}").unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let host = Host::create(&control_plane, "worker-0").unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let name = submitted(&agent).await;

    let message = "no Machine owns the node name worker-0";
    let line = format!("{name} is held: MachineNotFound: {message}");
    agent.line(&["] waiting ", &line], TIMEOUT).await.unwrap();
    let told = annotations(&admin, &name).await;
    assert_eq!(told[REASON], "MachineNotFound");
    assert!(told[MESSAGE].starts_with(message), "{told:?}");

    let status = MachineStatus::provisioned("worker-0", "192.0.2.10");
    machines::create_machine(&admin, "machine-0", &status)
        .await
        .unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    // Now its condition is what counts.
    assert_eq!(annotations(&admin, &name).await, BTreeMap::new());
    let log = approver.log();
    for trouble in ["forbidden", "right is missing", "ERROR", "WARN"] {
        assert!(!log.contains(trouble), "{trouble} in:\n{log}");
    }
}

#[tokio::test]
async fn a_second_machine_with_the_credential_and_name_of_another_says_why_it_waits() {
    let control_plane = ControlPlane::start().await.unwrap();
    let _approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let status = MachineStatus::provisioned("worker-0", "192.0.2.10");
    machines::create_machine(&admin, "machine-0", &status)
        .await
        .unwrap();
    let host = Host::create(&control_plane, "worker-0").unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    let kubelet = control_plane.client_from(&host.kubeconfig()).await.unwrap();
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "worker-0"}})).unwrap();
    let nodes: Api<Node> = Api::all(kubelet);
    let node = nodes.create(&PostParams::default(), &node).await.unwrap();
    machines::bind(&admin, "machine-0", "worker-0", &node.uid().unwrap())
        .await
        .unwrap();

    let elsewhere = control_plane.dir().join("elsewhere");
    let thief = Host::create_in(&elsewhere, "worker-0").unwrap();
    let agent = thief.start(&bootstrap, &[]).unwrap();
    let name = submitted(&agent).await;
    let line = format!("{name} is held: NodeExists: ");
    agent.line(&["] waiting ", &line], TIMEOUT).await.unwrap();
    assert_eq!(annotations(&admin, &name).await[REASON], "NodeExists");
    let keys = issued_keys(&admin, "worker-0").await.unwrap();
    assert_eq!(keys, [host.public_key().unwrap()]);
}
