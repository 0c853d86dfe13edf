//! A node that was off until its certificate expired comes back with nobody watching; whoever only claims its name does not.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::ListParams;
use kube::{Client, ResourceExt as _};
use rollcall_csr::Signer;
use rollcall_e2e::agent::Host;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::node::{Network, Node, NodeSettings};
use rollcall_e2e::programs::Program;
use rollcall_e2e::{CertificateProfile, ControlPlane, Options, requests};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(120);
const NAME: &str = "worker-0";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_node_that_was_off_too_long_comes_back_and_nobody_else_does() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let network = Network::create().await.unwrap();
    let options = Options::default().reachable_at(network.host_address());
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let ip = network.node_address().to_string();
    machines::create_machine(&admin, NAME, &MachineStatus::provisioned(NAME, &ip))
        .await
        .unwrap();

    // It joins as any machine does, and becomes a Node.
    let host = Host::create(&control_plane, NAME).unwrap();
    join(&host, &bootstrap).await;
    let settings = NodeSettings {
        name: NAME.to_owned(),
        kubeconfig: host.kubeconfig(),
        pki_dir: host.cert_dir(),
        serving_certificate: true,
    };
    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let registered = node.wait_ready(&control_plane, TIMEOUT).await.unwrap();
    let uid = registered.uid().unwrap();
    machines::bind(&admin, NAME, NAME, &uid).await.unwrap();

    // It is switched off, and comes back when its certificate has expired.
    node.stop_kubelet();
    expire(&control_plane, &host);
    impostor(&control_plane, &admin, &bootstrap).await;
    let agent = join(&host, &bootstrap).await;
    assert!(agent.contains("its previous certificate"), "{agent}");
    let approvals = approver.log();
    assert!(approvals.contains("reason=\"Resume\""), "{approvals}");

    node.restart_kubelet(&control_plane, &settings).unwrap();
    let back = node.wait_ready(&control_plane, TIMEOUT).await.unwrap();
    assert_eq!(back.uid().unwrap(), uid, "it is the Node of before");
    let log = approver.log();
    assert!(
        !log.contains("forbidden") && !log.contains("right is missing"),
        "{log}"
    );
}

/// Runs node-agent until it has an identity. Returns what it said.
async fn join(host: &Host, bootstrap: &Path) -> String {
    let mut agent = host.start(bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    let log = agent.log();
    assert_eq!(ended.code(), Some(0), "{log}");
    log
}

/// Puts a certificate in the place of the host's that the cluster's CA issued to it, and that held until a second ago.
fn expire(control_plane: &ControlPlane, host: &Host) {
    for file in [host.kubeconfig(), host.current()] {
        std::fs::remove_file(file).unwrap();
    }
    let now = SystemTime::now();
    let before = |ago| now.checked_sub(ago).unwrap();
    let lifetime = CertificateProfile::node(NAME).valid(before(MINUTE), before(SECOND));
    let identity = control_plane.issue_certificate(&lifetime).unwrap();
    host.put_identity(control_plane, &identity).unwrap();
}

/// Another machine has the bootstrap kubeconfig too, and claims the name: it waits, and the cluster's users are told why.
async fn impostor(control_plane: &ControlPlane, admin: &Client, bootstrap: &Path) {
    let folder = control_plane.dir().join("impostor");
    let other = Host::create_in(&folder, NAME).unwrap();
    let agent = other.start(bootstrap, &[]).unwrap();
    agent.line(&["is pending until"], TIMEOUT).await.unwrap();
    let all = requests::api(admin);
    let all = all.list(&ListParams::default()).await.unwrap();
    let pending = |request: &&_| requests::is_pending(request);
    // The kubelet that was stopped may have left one for its serving certificate.
    let is_client = |request: &&CertificateSigningRequest| {
        request.spec.signer_name == Signer::KubeApiserverClientKubelet.name()
    };
    let mut pending = all.iter().filter(pending).filter(is_client);
    let request = pending.next().unwrap().name_any();
    assert!(pending.next().is_none());
    requests::wait_event(admin, &request, "NodeExists", TIMEOUT)
        .await
        .unwrap();
    agent.stop();
    assert!(!other.current().exists());
    assert!(requests::is_pending(
        &requests::api(admin).get(&request).await.unwrap()
    ));
}
