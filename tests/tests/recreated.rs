//! Records that are made anew while their Nodes run, and records that get nothing: neither gives a node to somebody else.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rollcall_csr::NODES_GROUP;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::expected;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, apply_component};
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONFIG: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nbootstrap:\n  leftoverNodes: replace\n\
                      machines:\n- expectedMachines: {}\n";
const NAME: &str = "rack-0";
const INSTANCE: &str = "metal3://a2b7c8d9-1111-4222-8333-444455556666";

#[tokio::test]
async fn a_record_made_anew_gives_its_running_node_to_nobody_and_goes_on_with_it() {
    let control_plane = ControlPlane::start().await.unwrap();
    apply_component(&control_plane, "expected-machines")
        .await
        .unwrap();
    let config = control_plane.dir().join("approver.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let approver = Program::approver(&control_plane, &arguments).await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    let user = format!("system:node:{NAME}");
    let kubelet = control_plane
        .client_as(&user, &[NODES_GROUP])
        .await
        .unwrap();

    // The Node has run for longer than its record is old; at first nothing says whose it is.
    register(&kubelet, &json!({})).await;
    set_ready(&kubelet, "True").await;
    // The API server keeps times in whole seconds, and the record has to be the younger one.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    expected::create(&admin, NAME, &json!({"nodeName": NAME}))
        .await
        .unwrap();
    let thief = submit(&bootstrapper, &NodeRequest::client(NAME).unwrap()).await;
    held(&admin, &thief, "NodeExists", "it is Ready").await;
    let renewal = submit(&kubelet, &NodeRequest::client(NAME).unwrap()).await;
    held(&admin, &renewal, "MachineNotBound", "was made anew").await;
    // That it is not Ready any more helps the thief no more than that.
    set_ready(&kubelet, "False").await;
    let again = submit(&bootstrapper, &NodeRequest::client(NAME).unwrap()).await;
    held(&admin, &again, "NodeExists", "it was Ready until").await;

    // The record is made anew with its instance, which is the Node's.
    set_instance(&admin).await;
    expected::delete(&admin, NAME).await.unwrap();
    let spec = json!({"nodeName": NAME, "providerID": INSTANCE});
    expected::create(&admin, NAME, &spec).await.unwrap();
    let approved = requests::wait_approved(&admin, &renewal, TIMEOUT)
        .await
        .unwrap();
    let (reason, _) = requests::condition(&approved, "Approved").unwrap();
    assert_eq!(reason, "Renewal");
    let thief = submit(&bootstrapper, &NodeRequest::client(NAME).unwrap()).await;
    held(&admin, &thief, "NodeExists", "has become it").await;
    let log = approver.log();
    assert!(!log.contains(" ERROR "), "{log}");
}

#[tokio::test]
async fn a_failed_twin_contests_nothing_and_one_that_could_be_approved_does() {
    let control_plane = ControlPlane::start().await.unwrap();
    let _approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    for name in ["twin-0", "twin-1"] {
        machines::create_machine(
            &admin,
            name,
            &MachineStatus::provisioned(NAME, "192.0.2.10"),
        )
        .await
        .unwrap();
    }
    let request = submit(&bootstrapper, &NodeRequest::client(NAME).unwrap()).await;
    held(&admin, &request, "MachineAmbiguous", "twin-1").await;
    let api = machines::api(admin.clone());
    let failed = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    api.patch_status("twin-0", &PatchParams::default(), &failed)
        .await
        .unwrap();
    let approved = requests::wait_approved(&admin, &request, TIMEOUT)
        .await
        .unwrap();
    let (reason, message) = requests::condition(&approved, "Approved").unwrap();
    assert_eq!(reason, "FirstCertificate");
    assert!(message.contains("twin-1"), "{message}");
}

async fn register(kubelet: &Client, spec: &Value) {
    let node = json!({"metadata": {"name": NAME}, "spec": spec});
    let node: Node = serde_json::from_value(node).unwrap();
    let nodes: Api<Node> = Api::all(kubelet.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

async fn set_ready(kubelet: &Client, status: &str) {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let ready = json!({"type": "Ready", "status": status, "lastTransitionTime": now});
    let patch = Patch::Strategic(json!({"status": {"conditions": [ready]}}));
    let nodes: Api<Node> = Api::all(kubelet.clone());
    nodes
        .patch_status(NAME, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn set_instance(admin: &Client) {
    let patch = Patch::Merge(json!({"spec": {"providerID": INSTANCE}}));
    let nodes: Api<Node> = Api::all(admin.clone());
    nodes
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

async fn submit(client: &Client, request: &NodeRequest) -> String {
    request.submit(client).await.unwrap()
}

/// Waits until a request was told why it waits, and sees that it does.
async fn held(admin: &Client, name: &str, reason: &str, words: &str) {
    let event = requests::wait_event(admin, name, reason, TIMEOUT)
        .await
        .unwrap();
    let message = event.message.unwrap();
    assert!(message.contains(words), "{message}");
    let request = requests::api(admin).get(name).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
}
