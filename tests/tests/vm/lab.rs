//! A cluster with an approver, and a switch for machines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt as _};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::node::{Network, is_ready};
use rollcall_e2e::programs::{Program, binary};
use rollcall_e2e::vm::{self, CloudConfig, Image, Seed, VirtualMachine};
use rollcall_e2e::{ControlPlane, Options, wait};
use serde_json::Value;

/// The longest that a boot may take. An emulated machine needs half a minute on an idle host, and several times that on
/// one that compiles.
pub(crate) const BOOT: Duration = Duration::from_secs(400);

/// The longest that anything may take that is no boot.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// Where node-agent looks for the credential.
pub(crate) const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

pub(crate) struct Lab {
    pub(crate) admin: kube::Client,
    /// The kubeconfig that machines bootstrap with.
    pub(crate) bootstrap: PathBuf,
    // Dropped in this order: what uses the network goes before it.
    approver: Program,
    pub(crate) control_plane: ControlPlane,
    pub(crate) network: Network,
    pub(crate) image: Image,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    /// A lab whose control plane has these options besides.
    pub(crate) async fn start_with(more: impl FnOnce(Options) -> Options) -> Self {
        vm::prerequisites().unwrap();
        let network = Network::create_switch().await.unwrap();
        let options = more(Options::default().reachable_at(network.host_address()));
        let control_plane = ControlPlane::start_with(options).await.unwrap();
        let image = Image::build(control_plane.assets()).await.unwrap();
        let approver = Program::approver(&control_plane, &[]).await.unwrap();
        let bootstrap = bootstrap_kubeconfig(&control_plane, "bootstrap")
            .await
            .unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrap,
            approver,
            control_plane,
            network,
            image,
        }
    }

    pub(crate) fn machine(&self, index: u8, name: &str) -> VirtualMachine {
        VirtualMachine::create(&self.image, &self.network, index, name).unwrap()
    }

    /// What a machine API does first: a record of the instance that is about to boot.
    pub(crate) async fn expect(&self, machine: &VirtualMachine, node: &str) {
        let status = MachineStatus::provisioned(node, &machine.address().to_string());
        machines::create_machine(&self.admin, machine.name(), &status)
            .await
            .unwrap();
    }

    /// User-data with all that this cluster needs, with these flags of the command that makes it, around the user's own.
    pub(crate) fn user_data(&self, flags: &[&str], own: Option<&CloudConfig>) -> String {
        vm::rendered(&self.bootstrap, flags, own).unwrap()
    }

    /// The seed of an instance, which is named as its host.
    pub(crate) fn seed(&self, host_name: &str) -> Seed {
        Seed {
            instance: format!("i-{host_name}"),
            host_name: host_name.to_owned(),
            user_data: self.user_data(&[], None),
        }
    }

    /// The token that machines bootstrap with.
    pub(crate) fn token(&self) -> String {
        token(&self.bootstrap)
    }

    pub(crate) fn power_on(&self, machine: &mut VirtualMachine, seed: &Seed) {
        machine.power_on(&self.network, seed).unwrap();
    }

    pub(crate) fn nodes(&self) -> Api<Node> {
        Api::all(self.admin.clone())
    }

    /// Waits until a machine has registered its node, and binds them, as a machine API does.
    pub(crate) async fn registered(&self, machine: &VirtualMachine, node: &str) -> Node {
        let registered = wait::object(&self.nodes(), node, "the registration", BOOT, |_| true)
            .await
            .unwrap();
        let uid = registered.uid().unwrap();
        machines::bind(&self.admin, machine.name(), node, &uid)
            .await
            .unwrap();
        registered
    }

    pub(crate) async fn ready(&self, node: &str) -> Node {
        wait::object(&self.nodes(), node, "condition Ready", SOON, is_ready)
            .await
            .unwrap()
    }

    /// What `explain` says of the newest pending request for a node: its verdict and its reasons.
    pub(crate) async fn explained(&self, node: &str) -> anyhow::Result<(String, String)> {
        let output = tokio::process::Command::new(binary("rollcall-approver")?)
            .args(["explain", "-o", "json", "--kubeconfig"])
            .arg(self.control_plane.admin_kubeconfig())
            .output()
            .await?;
        let all: Vec<Value> = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let undecided =
            |request: &&Value| request["node"] == node && request["verdict"] != "ignore";
        let of_node = all.iter().rev().find(undecided);
        let request = of_node.with_context(|| format!("there is none for {node}: {all:?}"))?;
        let text = |key: &str| request[key].to_string().trim_matches('"').to_owned();
        Ok((
            text("verdict"),
            format!("{} {}", text("reasons"), text("message")),
        ))
    }

    pub(crate) fn approver_log(&self) -> String {
        self.approver.log()
    }
}

/// Makes the credential as a user does: `rollcall-approver bootstrap-kubeconfig`.
pub(crate) async fn bootstrap_kubeconfig(
    control_plane: &ControlPlane,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let file = control_plane.dir().join(format!("{name}.kubeconfig"));
    let output = tokio::process::Command::new(binary("rollcall-approver")?)
        .args(["bootstrap-kubeconfig", "--create-rights", "--server"])
        .arg(control_plane.machine_server())
        .arg("--kubeconfig")
        .arg(control_plane.admin_kubeconfig())
        .arg("--to")
        .arg(&file)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "bootstrap-kubeconfig: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(file)
}

/// The bootstrap token in a kubeconfig.
pub(crate) fn token(kubeconfig: &Path) -> String {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let (_, token) = text.split_once("token: ").unwrap();
    token.lines().next().unwrap().trim_matches('"').to_owned()
}
