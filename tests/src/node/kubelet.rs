//! The kubelet's configuration and command line.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::network::Network;
use super::{NodeSettings, containerd};
use crate::ControlPlane;
use crate::process::Process;

/// Starts a kubelet that uses the existing certificate.
pub(super) fn start(
    control_plane: &ControlPlane,
    network: &Network,
    settings: &NodeSettings,
) -> Result<Process> {
    let directory = network.dir().join("kubelet");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let config = directory.join("config.json");
    let text = configuration(control_plane, network, settings).to_string();
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = network.command(&control_plane.assets().kubelet())?;
    command.args([
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", settings.kubeconfig.display()),
        format!("--cert-dir={}", settings.pki_dir.display()),
        format!("--root-dir={}", directory.join("root").display()),
        format!("--hostname-override={}", settings.name),
        format!("--node-ip={}", network.node_address()),
        "--v=2".to_owned(),
    ]);
    let log = network.logs_dir().join("kubelet.log");
    let mut kubelet = Process::spawn("kubelet", &command, &log)?;
    kubelet.stand_in();
    Ok(kubelet)
}

/// Returns the `kubelet.config.k8s.io/v1beta1`: as on a machine of a cluster, but without the requirements that only
/// pods have (control groups, swap, free space, packet filter chains).
fn configuration(
    control_plane: &ControlPlane,
    network: &Network,
    settings: &NodeSettings,
) -> Value {
    let directory = network.dir().join("kubelet");
    let path = |name: &str| directory.join(name).display().to_string();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": control_plane.ca_file().display().to_string()},
        },
        "authorization": {"mode": "Webhook"},
        "rotateCertificates": true,
        "serverTLSBootstrap": settings.serving_certificate,
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(network).display()),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "evictionHard": {
            "imagefs.available": "0%",
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "makeIPTablesUtilChains": false,
        "podLogsDir": path("pod-logs"),
        "volumePluginDir": path("volume-plugins"),
        "resolvConf": "",
    })
}
