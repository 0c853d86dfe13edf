//! A real node: a kubelet and a container runtime in their own namespaces.
//!
//! A node is one process tree in its own network, mount, process and host name namespaces. When the first process of
//! that tree dies for any reason, the kernel ends all others and removes mounts and interfaces.

mod containerd;
pub mod identity;
mod kubelet;
mod namespaces;
mod network;
mod prerequisites;
mod relay;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;

use crate::process::Process;
use crate::{ControlPlane, wait};

pub use network::Network;
pub use prerequisites::Missing;
pub(crate) use relay::Relay;

/// The kubelet's identity and node name.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The name of the Node.
    pub name: String,
    /// The kubelet's kubeconfig. Its server must be reachable from the node's network
    /// ([`ControlPlane::machine_server`]).
    pub kubeconfig: PathBuf,
    /// The folder with `kubelet-client-current.pem` (kubelet's `--cert-dir`).
    pub pki_dir: PathBuf,
    /// True if the kubelet requests its serving certificate too (`serverTLSBootstrap`); otherwise it creates one.
    pub serving_certificate: bool,
}

/// A running kubelet with its container runtime. All processes end with this value.
#[derive(Debug)]
pub struct Node {
    name: String,
    started: Instant,
    // Dropped in this order: the network's namespaces end all remaining processes.
    kubelet: Process,
    containerd: Process,
    network: Network,
}

impl Node {
    /// Checks that this machine can run a node.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn prerequisites() -> Result<(), Missing> {
        prerequisites::check()
    }

    /// Starts containerd and then a kubelet in `network`; does not wait for the Node ([`Node::wait_ready`]).
    ///
    /// # Errors
    /// If one of them does not start, with the end of its log.
    pub async fn start(
        control_plane: &ControlPlane,
        network: Network,
        settings: &NodeSettings,
    ) -> Result<Self> {
        network.namespaces().set_host_name(&settings.name)?;
        let containerd = containerd::start(&network).await?;
        let started = Instant::now();
        let kubelet = kubelet::start(control_plane, &network, settings)?;
        Ok(Self {
            name: settings.name.clone(),
            started,
            kubelet,
            containerd,
            network,
        })
    }

    /// The name of the Node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The start time of the kubelet.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The node's network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The folder with one log file per program.
    pub fn logs_dir(&self) -> PathBuf {
        self.network.logs_dir()
    }

    /// The kubelet's log file.
    pub fn kubelet_log(&self) -> &Path {
        self.kubelet.log()
    }

    /// Waits until the kubelet has created its Node.
    ///
    /// # Errors
    /// If that takes longer than `timeout` or the kubelet ends, with the end of its log.
    pub async fn wait_registered(
        &mut self,
        control_plane: &ControlPlane,
        timeout: Duration,
    ) -> Result<NodeObject> {
        self.wait(control_plane, "the registration", timeout, |_| true)
            .await
    }

    /// Waits until the Node is Ready.
    ///
    /// # Errors
    /// If that takes longer than `timeout` or the kubelet ends, with the end of its log.
    pub async fn wait_ready(
        &mut self,
        control_plane: &ControlPlane,
        timeout: Duration,
    ) -> Result<NodeObject> {
        self.wait(control_plane, "condition Ready", timeout, is_ready)
            .await
    }

    /// Stops the kubelet until [`Node::restart_kubelet`]. Runtime and network stay.
    pub fn stop_kubelet(&mut self) {
        self.kubelet.stop();
    }

    /// Restarts the kubelet. Runtime and network stay.
    ///
    /// # Errors
    /// If the kubelet cannot be started again.
    pub fn restart_kubelet(
        &mut self,
        control_plane: &ControlPlane,
        settings: &NodeSettings,
    ) -> Result<()> {
        self.kubelet.stop();
        self.started = Instant::now();
        self.kubelet = kubelet::start(control_plane, &self.network, settings)?;
        Ok(())
    }

    async fn wait(
        &mut self,
        control_plane: &ControlPlane,
        what: &str,
        timeout: Duration,
        condition: impl FnMut(&NodeObject) -> bool,
    ) -> Result<NodeObject> {
        /// The interval at which the kubelet process is checked.
        const POLL: Duration = Duration::from_millis(200);
        let nodes: Api<NodeObject> = Api::all(control_plane.admin());
        let watched = wait::object(&nodes, &self.name, what, timeout, condition);
        tokio::pin!(watched);
        let error = loop {
            tokio::select! {
                result = &mut watched => match result {
                    Ok(node) => return Ok(node),
                    Err(error) => break error,
                },
                () = tokio::time::sleep(POLL) => if self.kubelet.exited().is_some() {
                    return Err(self.kubelet.failure("ended"));
                },
            }
        };
        Err(self
            .kubelet
            .failure("did not get that far")
            .context(error.to_string()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kubelet.show_log_if_panicking();
        self.containerd.show_log_if_panicking();
        crate::process::stop_all([&mut self.kubelet, &mut self.containerd]);
    }
}

/// Returns true if a Node is Ready.
pub fn is_ready(node: &NodeObject) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
