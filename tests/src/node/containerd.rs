//! The container runtime of one node, with all its files in the node's folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use tokio::net::UnixStream;

use super::namespaces::program;
use super::network::Network;
use super::prerequisites::plugin_directory;
use crate::process::Process;
use crate::wait;

/// The timeout for containerd to listen: usually less than a second.
const DEADLINE: Duration = Duration::from_secs(30);

/// Addresses of pods, which never leave the node's namespace (RFC 5737, reserved for documentation).
const POD_RANGE: &str = "203.0.113.0/24";

/// The socket of containerd, for kubelet.
pub(super) fn socket(network: &Network) -> PathBuf {
    network.dir().join("containerd.sock")
}

/// Starts containerd and returns once it listens.
pub(super) async fn start(network: &Network) -> Result<Process> {
    let directory = network.dir().join("containerd");
    let cni = directory.join("cni");
    let plugins = plugin_directory().context("the CNI plugins are not installed")?;
    std::fs::create_dir_all(&cni).with_context(|| format!("cannot create {}", cni.display()))?;
    write(&cni.join("10-node.conflist"), &pod_network())?;
    let config = directory.join("config.toml");
    write(
        &config,
        &configuration(&directory, &socket(network), &cni, &plugins),
    )?;
    let mut command = network.command(&program("containerd")?)?;
    command.arg("--config").arg(&config);
    let log = network.logs_dir().join("containerd.log");
    let mut containerd = Process::spawn("containerd", &command, &log)?;
    containerd.stand_in();
    let listens = wait::poll("containerd to listen", DEADLINE, || async {
        Ok(UnixStream::connect(socket(network)).await?)
    });
    tokio::pin!(listens);
    loop {
        /// The interval at which the containerd process is checked.
        const POLL: Duration = Duration::from_millis(100);
        tokio::select! {
            result = &mut listens => match result {
                Ok(_connection) => return Ok(containerd),
                Err(error) => return Err(containerd.failure(&format!("does not listen: {error}"))),
            },
            () = tokio::time::sleep(POLL) => if containerd.exited().is_some() {
                return Err(containerd.failure("ended while it was being started"));
            },
        }
    }
}

/// Returns the configuration. No pod runs here, so it uses the snapshotter that works on every file system.
fn configuration(directory: &Path, socket: &Path, cni: &Path, plugins: &Path) -> String {
    let toml = |path: PathBuf| json!(path.display().to_string()).to_string();
    let [root, state, opt] = ["root", "state", "opt"].map(|name| toml(directory.join(name)));
    let (socket, ttrpc) = (
        toml(socket.to_owned()),
        toml(socket.with_extension("ttrpc")),
    );
    let (cni, plugins) = (toml(cni.to_owned()), toml(plugins.to_owned()));
    format!(
        r#"version = 2
root = {root}
state = {state}

[grpc]
address = {socket}

[ttrpc]
address = {ttrpc}

[plugins."io.containerd.grpc.v1.cri"]
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {cni}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}
"#
    )
}

fn pod_network() -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "node",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_RANGE}]]},
        }],
    })
    .to_string()
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}
