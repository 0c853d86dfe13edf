//! Lets one machine join: node-agent gets the identity, a kubelet registers the Node with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use rollcall_csr::CertificationRequest;
use rollcall_e2e::node::{Network, Node, NodeSettings};
use rollcall_e2e::programs::Program;
use rollcall_e2e::{ControlPlane, machines, requests, wait};
use serde_json::json;

use crate::screen::Screen;
use crate::timeline::Timeline;

/// The timeout of a step, far longer than any takes; reached only on failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that joined.
pub(crate) struct Join {
    name: String,
    timeline: Timeline,
    kubelet: Option<Node>,
}

impl Join {
    /// Makes the machine of this name join, and follows it until its Node exists.
    pub(crate) async fn run(
        control_plane: &ControlPlane,
        bootstrap: &Path,
        name: &str,
        network: Option<Network>,
    ) -> Result<Self> {
        let mut timeline = Timeline::begin(&format!("Machine openshift-machine-api/{name}"));
        let folder = machine_folder(control_plane, name)?;
        let mut agent = start_agent(&folder, bootstrap, name, &[])?;
        follow_request(control_plane, name, &mut timeline).await?;
        let status = agent.end(PATIENCE).await?;
        ensure!(
            status.success(),
            "node-agent of {name} ended with {status}:\n{}",
            agent.log()
        );
        timeline.reached(
            "Installed",
            "pki/kubelet-client-current.pem and kubelet.conf",
        );
        let kubelet = match network {
            Some(network) => {
                Some(real_kubelet(control_plane, &folder, name, network, &mut timeline).await?)
            }
            None => {
                register(control_plane, &folder, name).await?;
                timeline.reached(
                    "Registered",
                    format!("Node {name}, with the identity itself (no kubelet)"),
                );
                None
            }
        };
        // As the Machine API's nodelink controller does once the Node exists.
        let admin = control_plane.admin();
        let node = Api::<NodeObject>::all(admin.clone())
            .get(name)
            .await
            .context("the Node has gone")?;
        machines::bind(&admin, name, name, &node.uid().unwrap_or_default()).await?;
        Ok(Self {
            name: name.to_owned(),
            timeline,
            kubelet,
        })
    }

    /// Returns true if a real kubelet registered it.
    pub(crate) fn has_kubelet(&self) -> bool {
        self.kubelet.is_some()
    }

    /// Prints the join as a timeline.
    pub(crate) fn show(&self, screen: &Screen) {
        screen.done(&format!("{} joined", self.name));
        self.timeline.show(screen);
    }
}

/// The folder that serves as the machine's disk.
pub(crate) fn machine_folder(control_plane: &ControlPlane, name: &str) -> Result<PathBuf> {
    let folder = control_plane.dir().join("machines").join(name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Starts node-agent as the machine's image would.
pub(crate) fn start_agent(
    folder: &Path,
    bootstrap: &Path,
    name: &str,
    more: &[&str],
) -> Result<Program> {
    let path = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .context("a path is not text")
    };
    let (bootstrap, kubeconfig, pki) = (
        path(bootstrap)?,
        path(&folder.join("kubelet.conf"))?,
        path(&folder.join("pki"))?,
    );
    let mut arguments = vec![
        "--bootstrap-kubeconfig",
        &bootstrap,
        "--kubeconfig",
        &kubeconfig,
    ];
    arguments.extend(["--cert-dir", &pki, "--node-name", name]);
    arguments.extend(more);
    Program::start("rollcall-node-agent", folder, &arguments)
}

/// Returns true if a request is for this node's first certificate.
pub(crate) fn is_for(request: &CertificateSigningRequest, name: &str) -> bool {
    let common_name = format!("system:node:{name}");
    CertificationRequest::from_pem(&request.spec.request.0)
        .is_ok_and(|request| request.subject().common_name == common_name)
}

async fn follow_request(
    control_plane: &ControlPlane,
    name: &str,
    timeline: &mut Timeline,
) -> Result<()> {
    let admin = control_plane.admin();
    let all = requests::api(&admin);
    let what = format!("a request for {name}");
    let request = wait::any(
        &all,
        watcher::Config::default(),
        &what,
        PATIENCE,
        |request| is_for(request, name),
    )
    .await?;
    timeline.reached("Requested", request.name_any());
    let approved = requests::wait_approved(&admin, &request.name_any(), PATIENCE).await?;
    let (reason, message) =
        requests::condition(&approved, "Approved").context("the approval has gone")?;
    let (seen, _key) = message.split_once(';').unwrap_or((message, ""));
    timeline.reached("Approved", format!("{reason}: {seen}"));
    requests::wait_certificate(&admin, &request.name_any(), PATIENCE).await?;
    timeline.reached("Issued", "by kube-controller-manager");
    Ok(())
}

async fn real_kubelet(
    control_plane: &ControlPlane,
    folder: &Path,
    name: &str,
    network: Network,
    timeline: &mut Timeline,
) -> Result<Node> {
    let settings = NodeSettings {
        name: name.to_owned(),
        kubeconfig: folder.join("kubelet.conf"),
        pki_dir: folder.join("pki"),
        serving_certificate: false,
    };
    let mut node = Node::start(control_plane, network, &settings).await?;
    timeline.reached(
        "Kubelet",
        "containerd runs and the kubelet starts, in namespaces of their own",
    );
    let object = node.wait_registered(control_plane, PATIENCE).await?;
    let version = object
        .status
        .and_then(|status| status.node_info)
        .map(|info| info.kubelet_version);
    timeline.reached(
        "Registered",
        format!("Node {name}, by kubelet {}", version.unwrap_or_default()),
    );
    node.wait_ready(control_plane, PATIENCE).await?;
    timeline.reached("Ready", format!("Node {name}"));
    Ok(node)
}

/// Registers the Node, using only the files that node-agent installed.
async fn register(control_plane: &ControlPlane, folder: &Path, name: &str) -> Result<()> {
    let client = control_plane
        .client_from(&folder.join("kubelet.conf"))
        .await?;
    let node = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let nodes: Api<NodeObject> = Api::all(client);
    nodes
        .create(&PostParams::default(), &node)
        .await
        .with_context(|| format!("cannot register Node {name}"))?;
    Ok(())
}
