//! A MachineSet that is scaled 3, 4, 3: the new node joins, and once its Machine goes, it gets nothing any more.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use rollcall_csr::NODES_GROUP;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::Host;
use rollcall_e2e::machine_set::MachineSet;
use rollcall_e2e::machines;
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_set_that_grows_and_shrinks_lets_in_the_new_and_keeps_out_the_gone() {
    let control_plane = ControlPlane::start().await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let mut set = MachineSet::new(admin.clone(), "workers");
    let first = set.scale_up(3).await.unwrap();
    for (index, machine) in first.iter().enumerate() {
        let ip = format!("192.0.2.{}", index.saturating_add(10));
        set.provision(machine, machine, &ip).await.unwrap();
        join(&control_plane, &bootstrap, machine).await;
    }

    // 3 to 4: the machine asks before its addresses are known.
    let new = set.scale_up(4).await.unwrap();
    let new = new.first().unwrap();
    let host = Host::create(&control_plane, new).unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    agent.line(&["waiting"], TIMEOUT).await.unwrap();
    set.provision(new, new, "192.0.2.20").await.unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    let kubelet = register(&control_plane, &host, new).await;

    // 4 to 3: the annotated Machine goes, though another is newer.
    let gone = first.first().unwrap();
    set.mark(gone).await.unwrap();
    let other = control_plane
        .client_as(&format!("system:node:{gone}"), &[NODES_GROUP])
        .await
        .unwrap();
    assert_eq!(&set.scale_down().await.unwrap(), gone);
    assert_held(&admin, &other, gone, "MachineDeleting").await;
    set.terminate(gone).await.unwrap();
    assert_held(&admin, &other, gone, "MachineNotFound").await;
    assert_eq!(set.machines().await.unwrap().len(), 3);

    // Then the new one goes too: its renewal and a replay of its bootstrap are refused, before and after its Node goes.
    assert_eq!(&set.scale_down().await.unwrap(), new);
    assert_held(&admin, &kubelet, new, "MachineDeleting").await;
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    assert_held(&admin, &bootstrapper, new, "NodeExists").await;
    set.terminate(new).await.unwrap();
    let nodes: Api<Node> = Api::all(admin.clone());
    nodes.delete(new, &DeleteParams::default()).await.unwrap();
    assert_held(&admin, &bootstrapper, new, "MachineNotFound").await;
    assert_held(&admin, &kubelet, new, "NodeNotFound").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

/// The machine of a Machine joins by itself, and its Node is bound.
async fn join(control_plane: &ControlPlane, bootstrap: &Path, machine: &str) {
    let host = Host::create(control_plane, machine).unwrap();
    let mut agent = host.start(bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    register(control_plane, &host, machine).await;
}

/// Registers the Node as its kubelet does, and binds its Machine as the nodelink controller does.
async fn register(control_plane: &ControlPlane, host: &Host, machine: &str) -> Client {
    let kubelet = control_plane.client_from(&host.kubeconfig()).await.unwrap();
    let node: Node = serde_json::from_value(json!({"metadata": {"name": machine}})).unwrap();
    let nodes: Api<Node> = Api::all(kubelet.clone());
    let node = nodes.create(&PostParams::default(), &node).await.unwrap();
    let uid = node.uid().unwrap();
    machines::bind(&control_plane.admin(), machine, machine, &uid)
        .await
        .unwrap();
    kubelet
}

/// Asks for a client certificate with a new key, and sees that it is held for this reason.
async fn assert_held(admin: &Client, requestor: &Client, node: &str, reason: &str) {
    let request = NodeRequest::client(node).unwrap();
    let name = request.submit(requestor).await.unwrap();
    requests::wait_event(admin, &name, reason, TIMEOUT)
        .await
        .unwrap();
    let request = requests::api(admin).get(&name).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
}
