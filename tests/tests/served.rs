//! Serving certificates for names that the Machine record lacks: what the node serves now vouches for them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Node as NodeObject};
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use rollcall_csr::{NODES_GROUP, Signer};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::node::{Network, Node, identity};
use rollcall_e2e::programs::{self, Program};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::serving::PretendedKubelet;
use rollcall_e2e::wait::{self, poll};
use rollcall_e2e::{Authority, CertificateProfile, ControlPlane, Options};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const NAME: &str = "worker-0.example.internal";
/// A name that the node serves besides its own, and that its Machine lacks.
const ALIAS: &str = "worker-0.alias.internal";

#[tokio::test]
async fn a_real_kubelet_gets_again_what_it_serves_though_its_machine_lacks_the_address() {
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
    identity::serve_nearly_expired(&control_plane, &network, &settings).unwrap();
    let current = settings.pki_dir.join("kubelet-server-current.pem");
    let first = std::fs::read_to_string(&current).unwrap();
    // The address is taken off the Machine after it was good enough for the certificate that the kubelet serves. Its name
    // is the node's own anyway.
    let other = network.machine_address(0);
    network.add_address(other).unwrap();
    let other = other.to_string();
    machines::set_addresses(&admin, NAME, &[("InternalIP", &other)])
        .await
        .unwrap();
    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let registered = node.wait_registered(&control_plane, TIMEOUT).await.unwrap();
    let uid = registered.uid().unwrap();
    machines::bind(&admin, NAME, NAME, &uid).await.unwrap();

    let config = watcher::Config::default().fields(&format!(
        "spec.signerName={}",
        Signer::KubeletServing.name()
    ));
    let what = "an approved request for a serving certificate";
    let all = requests::api(&admin);
    let approved = wait::any(&all, config, what, TIMEOUT, |request| {
        requests::condition(request, "Approved").is_some()
    });
    let approved = approved.await.unwrap();
    let (reason, message) = requests::condition(&approved, "Approved").unwrap();
    assert_eq!(reason, "ServingRenewal", "{message}");
    assert!(message.contains(&format!("at {other}")), "{message}");
    poll(
        "the kubelet's next serving certificate",
        TIMEOUT,
        || async {
            ensure!(
                std::fs::read_to_string(&current)? != first,
                "it is the first one still"
            );
            Ok(())
        },
    )
    .await
    .unwrap();
    check_rights(&approver);
}

/// A Node without a kubelet, whose Machine says that it is where this test serves.
struct Pretended {
    control_plane: ControlPlane,
    approver: Program,
    admin: Client,
    kubelet: Client,
    server: Option<PretendedKubelet>,
    port: u16,
    ip: IpAddr,
    // Dropped last: the server listens there.
    _network: Network,
}

impl Pretended {
    /// The node serves a certificate for its name and address by another authority than the cluster's.
    async fn start(other: &Authority) -> Result<Self> {
        let network = Network::create().await?;
        let ip = network.host_address();
        let control_plane = ControlPlane::start().await?;
        let server = PretendedKubelet::start(ip, 0, &other.issue(&profile(NAME, ip))?).await?;
        let kubeconfig = programs::approver_kubeconfig(&control_plane).await?;
        let config = programs::deployed_config(&control_plane).await?;
        let text = std::fs::read_to_string(&config)?;
        let port = server.port();
        let text = text.replace("port: 10250", &format!("port: {port}"));
        std::fs::write(&config, text)?;
        let config = config.display().to_string();
        let approver = Program::approver_as(&control_plane, &kubeconfig, &["--config", &config])?;
        let admin = control_plane.admin();
        let kubelet = control_plane
            .client_as(&format!("system:node:{NAME}"), &[NODES_GROUP])
            .await?;
        let status = MachineStatus::provisioned(NAME, &ip.to_string());
        machines::create_machine(&admin, NAME, &status).await?;
        machines::set_addresses(&admin, NAME, &[("InternalIP", &ip.to_string())]).await?;
        let node = serde_json::from_value(json!({"metadata": {"name": NAME}}))?;
        let nodes: Api<NodeObject> = Api::all(kubelet.clone());
        let node = nodes.create(&PostParams::default(), &node).await?;
        let uid = node.uid().context("the Node has no uid")?;
        machines::bind(&admin, NAME, NAME, &uid).await?;
        Ok(Self {
            control_plane,
            approver,
            admin,
            kubelet,
            server: Some(server),
            port,
            ip,
            _network: network,
        })
    }

    /// The node asks for its names, its address and these names besides.
    async fn ask(&self, more: &[&str]) -> String {
        let names = [&[NAME, ALIAS], more].concat();
        let request = NodeRequest::serving(NAME, &names, &[self.ip]).unwrap();
        request.submit(&self.kubelet).await.unwrap()
    }

    async fn assert_approved(&self, name: &str) {
        let approved = requests::wait_approved(&self.admin, name, TIMEOUT).await;
        let approved = approved.unwrap();
        let (reason, message) = requests::condition(&approved, "Approved").unwrap();
        assert_eq!(reason, "ServingRenewal", "{message}");
    }

    async fn assert_held(&self, name: &str, words: &str) {
        let event = requests::wait_event(&self.admin, name, "NameNotOwned", TIMEOUT).await;
        let message = event.unwrap().message.unwrap_or_default();
        assert!(message.contains(words), "{message}");
        let request = requests::api(&self.admin).get(name).await.unwrap();
        assert!(requests::is_pending(&request), "{request:?}");
    }
}

/// The serving certificate of a node.
fn profile(node: &str, ip: IpAddr) -> CertificateProfile {
    let client = CertificateProfile::node(node);
    CertificateProfile {
        organizations: client.organizations,
        ..CertificateProfile::server(&client.common_name, &[NAME, ALIAS], &[ip])
    }
}

#[tokio::test]
async fn what_somebody_else_serves_vouches_for_nothing_and_both_authorities_count_in_a_rotation() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let next = Authority::generate("the next one").unwrap();
    let node = Pretended::start(&next).await.unwrap();
    // Whoever answers at the address has no certificate of the cluster's authority,
    let request = node.ask(&[]).await;
    let stranger = format!(
        "ServingMismatch: what the node serves at {} now was issued by none",
        node.ip
    );
    node.assert_held(&request, &stranger).await;
    // until that authority is to take over, and stands beside the other one.
    add_authority(&node.admin, &next).await.unwrap();
    node.assert_approved(&request).await;
    // A name more than it serves is still more than anybody vouches for.
    let request = node.ask(&["more.example.internal"]).await;
    let more = format!(
        "is for other names than the request: [{ALIAS}, {NAME}, {}]",
        node.ip
    );
    node.assert_held(&request, &more).await;
    check_rights(&node.approver);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_told_and_approved_when_its_machine_says_where_it_is() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let other = Authority::generate("another one").unwrap();
    let mut node = Pretended::start(&other).await.unwrap();
    node.server.take().unwrap().stop().await;
    let request = node.ask(&[]).await;
    let told = format!(
        "ServingUnreachable: the node could not be asked what it serves now: {}",
        node.ip
    );
    node.assert_held(&request, &told).await;
    let own = node
        .control_plane
        .issue_certificate(&profile(NAME, node.ip));
    let server = PretendedKubelet::start(node.ip, node.port, &own.unwrap()).await;
    node.server = Some(server.unwrap());
    let (first, second) = (node.ip.to_string(), "198.51.100.1");
    let addresses = [("InternalIP", first.as_str()), ("ExternalIP", second)];
    machines::set_addresses(&node.admin, NAME, &addresses)
        .await
        .unwrap();
    node.assert_approved(&request).await;
    check_rights(&node.approver);
}

/// Adds a CA certificate to those that the API server publishes. It keeps what others add.
async fn add_authority(admin: &Client, authority: &Authority) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "kube-system");
    let name = "extension-apiserver-authentication";
    let mut map = maps.get(name).await?;
    let data = map.data.get_or_insert_default();
    let bundle = data.entry("client-ca-file".to_owned()).or_default();
    bundle.push_str(authority.certificate_pem());
    maps.replace(name, &PostParams::default(), &map).await?;
    Ok(())
}

fn check_rights(approver: &Program) {
    let log = approver.log();
    assert!(
        !log.contains("forbidden") && !log.contains("right is missing"),
        "{log}"
    );
}
