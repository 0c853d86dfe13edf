//! A real kubelet with a certificate of the cluster: does it register, get Ready, and leave nothing behind?
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests fail by panicking and say why they skip"
)]

use std::time::Duration;

use rollcall_e2e::node::{Network, Node, NodeSettings, is_ready};
use rollcall_e2e::{CertificateProfile, ControlPlane, Credentials, Options};

/// Far more than a kubelet takes (about ten seconds); only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_real_kubelet_registers_and_gets_ready() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let network = Network::create().await.unwrap();
    let folder = network.dir().to_owned();
    let options = Options::default().reachable_at(network.host_address());
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let pki = network.dir().join("pki");
    std::fs::create_dir(&pki).unwrap();
    let certificate = control_plane
        .issue_certificate(&CertificateProfile::node("node-0"))
        .unwrap();
    std::fs::write(pki.join("kubelet-client-current.pem"), certificate.bundle()).unwrap();
    let kubeconfig = control_plane
        .custom_kubeconfig(
            "kubelet",
            &control_plane.machine_server(),
            control_plane.ca_pem(),
            &Credentials::Certificate(certificate),
        )
        .unwrap();
    let settings = NodeSettings {
        name: "node-0".to_owned(),
        kubeconfig,
        pki_dir: pki,
        serving_certificate: false,
    };
    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let registered = node.wait_registered(&control_plane, TIMEOUT).await.unwrap();
    eprintln!("registered after {:?}", node.started().elapsed());
    let info = registered.status.unwrap().node_info.unwrap();
    assert!(info.kubelet_version.starts_with("v1."), "{info:?}");
    let ready = node.wait_ready(&control_plane, TIMEOUT).await.unwrap();
    eprintln!("ready after {:?}", node.started().elapsed());
    assert!(is_ready(&ready));
    drop(node);
    assert!(!folder.exists());
}
