//! A node that asks for itself: the renewal of its client certificate, and its serving certificate.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use rollcall_csr::{NODES_GROUP, Signer};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::node::{Network, Node, identity};
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::wait::{self, poll};
use rollcall_e2e::{ControlPlane, Options};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const NAME: &str = "worker-0.example.internal";

#[tokio::test]
async fn a_real_kubelet_renews_and_serves_and_logs_can_be_read() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let network = Network::create().await.unwrap();
    let options = Options::default().reachable_at(network.host_address());
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let ip = network.node_address().to_string();
    machines::create_machine(&admin, NAME, &MachineStatus::provisioned(NAME, &ip))
        .await
        .unwrap();
    let settings = identity::nearly_expired(&control_plane, &network, NAME).unwrap();
    let current = settings.pki_dir.join("kubelet-client-current.pem");
    let first = std::fs::read_to_string(&current).unwrap();
    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let registered = node.wait_registered(&control_plane, TIMEOUT).await.unwrap();
    for signer in Signer::ALL {
        let asked = wait_request(&admin, signer, "a request", |_| true).await;
        let message = "it waits for the Machine to be bound";
        assert!(requests::is_pending(&asked), "{message}: {asked:?}");
    }
    let uid = registered.uid().unwrap();
    machines::bind(&admin, NAME, NAME, &uid).await.unwrap();

    let renewal = wait_reason(&admin, Signer::KubeApiserverClientKubelet).await;
    assert_eq!(renewal, "Renewal");
    let serving = wait_reason(&admin, Signer::KubeletServing).await;
    assert_eq!(serving, "ServingCertificate");
    poll("the kubelet's next certificate", TIMEOUT, || async {
        ensure!(
            std::fs::read_to_string(&current)? != first,
            "it is the first one still"
        );
        Ok(())
    })
    .await
    .unwrap();
    // The API server knows the cluster's authority only, and is given no flag that turns its checks off.
    poll("the kubelet through the API server", TIMEOUT, || async {
        let path = format!("/api/v1/nodes/{NAME}/proxy/healthz");
        let answer = admin
            .request_text(http::Request::get(path).body(Vec::new())?)
            .await?;
        ensure!(answer == "ok", "it answers {answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    check_rights(&approver);
}

#[tokio::test]
async fn a_node_gets_what_its_machine_vouches_for_and_no_more() {
    let control_plane = ControlPlane::start().await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let kubelet = control_plane
        .client_as(&format!("system:node:{NAME}"), &[NODES_GROUP])
        .await
        .unwrap();
    let ip: IpAddr = "192.0.2.10".parse().unwrap();
    machines::create_machine(
        &admin,
        NAME,
        &MachineStatus::provisioned(NAME, "192.0.2.99"),
    )
    .await
    .unwrap();

    // Nobody may renew before the Node is there and bound.
    let renewal = submit(&kubelet, NodeRequest::client(NAME)).await;
    wait_held(&admin, &renewal, "NodeNotFound").await;
    let uid = register(&kubelet).await.unwrap();
    wait_held(&admin, &renewal, "MachineNotBound").await;
    machines::bind(&admin, NAME, NAME, &uid).await.unwrap();
    assert_eq!(reason(&admin, &renewal).await, "Renewal");
    requests::wait_certificate(&admin, &renewal, TIMEOUT)
        .await
        .unwrap();

    // The Machine's address comes late.
    let serving = submit(&kubelet, NodeRequest::serving(NAME, &[NAME], &[ip])).await;
    wait_held(&admin, &serving, "NameNotOwned").await;
    let addresses = [("Hostname", NAME), ("InternalIP", "192.0.2.10")];
    machines::set_addresses(&admin, NAME, &addresses)
        .await
        .unwrap();
    assert_eq!(reason(&admin, &serving).await, "ServingCertificate");
    requests::wait_certificate(&admin, &serving, TIMEOUT)
        .await
        .unwrap();

    // Another Machine says it has the same address: nobody can tell whose it is, until it says so no longer.
    let twin = MachineStatus::provisioned("worker-1", "192.0.2.10");
    machines::create_machine(&admin, "worker-1", &twin)
        .await
        .unwrap();
    let serving = submit(&kubelet, NodeRequest::serving(NAME, &[NAME], &[ip])).await;
    wait_held(&admin, &serving, "MachineAmbiguous").await;
    machines::set_addresses(&admin, "worker-1", &[("InternalIP", "192.0.2.11")])
        .await
        .unwrap();
    assert_eq!(reason(&admin, &serving).await, "ServingCertificate");

    // The name of the API server is no node's, even if the Machine has it.
    let addresses = [("Hostname", "kubernetes.default.svc")];
    machines::set_addresses(&admin, NAME, &addresses)
        .await
        .unwrap();
    let reserved = NodeRequest::serving(NAME, &["kubernetes.default.svc"], &[]);
    let reserved = submit(&kubelet, reserved).await;
    assert_eq!(denial(&admin, &reserved).await, "NameReserved");

    // What leaves gets nothing any more.
    machines::delete(&admin, NAME).await.unwrap();
    let late = submit(&kubelet, NodeRequest::client(NAME)).await;
    wait_held(&admin, &late, "MachineDeleting").await;
    check_rights(&approver);
}

/// Registers the Node as its kubelet does.
async fn register(kubelet: &Client) -> Result<String> {
    let node = serde_json::from_value(json!({"metadata": {"name": NAME}}))?;
    let nodes: Api<NodeObject> = Api::all(kubelet.clone());
    let node = nodes.create(&PostParams::default(), &node).await?;
    node.uid().context("the Node has no uid")
}

async fn submit(client: &Client, request: Result<NodeRequest>) -> String {
    request.unwrap().submit(client).await.unwrap()
}

/// Waits until a request is approved. Returns the reason.
async fn reason(admin: &Client, name: &str) -> String {
    let approved = requests::wait_approved(admin, name, TIMEOUT).await.unwrap();
    requests::condition(&approved, "Approved")
        .unwrap()
        .0
        .to_owned()
}

/// Waits until a request is denied. Returns the reason.
async fn denial(admin: &Client, name: &str) -> String {
    let all = requests::api(admin);
    let denied = wait::object(&all, name, "the denial", TIMEOUT, |request| {
        requests::condition(request, "Denied").is_some()
    });
    let denied = denied.await.unwrap();
    requests::condition(&denied, "Denied").unwrap().0.to_owned()
}

/// Waits until a request was told why it waits, and sees that it does.
async fn wait_held(admin: &Client, name: &str, reason: &str) {
    requests::wait_event(admin, name, reason, TIMEOUT)
        .await
        .unwrap();
    let request = requests::api(admin).get(name).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
}

/// Waits for a request to a signer that is like this.
async fn wait_request(
    admin: &Client,
    signer: Signer,
    what: &str,
    condition: fn(&CertificateSigningRequest) -> bool,
) -> CertificateSigningRequest {
    let config = watcher::Config::default().fields(&format!("spec.signerName={}", signer.name()));
    let what = format!("{what} to {}", signer.name());
    wait::any(&requests::api(admin), config, &what, TIMEOUT, condition)
        .await
        .unwrap()
}

/// Waits until a request to a signer is approved. Returns the reason.
async fn wait_reason(admin: &Client, signer: Signer) -> String {
    let request = wait_request(admin, signer, "an approved request", |request| {
        requests::condition(request, "Approved").is_some()
    });
    let request = request.await;
    requests::condition(&request, "Approved")
        .unwrap()
        .0
        .to_owned()
}

fn check_rights(approver: &Program) {
    let log = approver.log();
    // The right to ask who else approves is a component of its own, which is not applied here.
    let lacks = |line: &str| line.contains("forbidden") || line.contains("right is missing");
    let mut lines = log.lines().filter(|line| lacks(line));
    assert!(lines.all(|line| line.contains("other-approvers")), "{log}");
}
