//! The requirements for running a node on this machine.

use std::path::{Path, PathBuf};

use crate::command::{clean_command, find_program};

/// The folders in which distributions and the CNI project install the network plugins.
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/opt/cni/bin",
    "/usr/lib/cni",
    "/usr/libexec/cni",
    "/usr/local/lib/cni",
];

/// The plugins in the node's network configuration, and the one that containerd always runs.
const PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// The programs, and the packages that contain them.
const PROGRAMS: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "util-linux"),
];

/// The missing requirements for a real kubelet, one entry each.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a real kubelet cannot run here; missing: {}", .0.join(", "))]
pub struct Missing(pub Vec<String>);

pub(super) fn check() -> Result<(), Missing> {
    let mut missing = Vec::new();
    let root = rustix::process::geteuid().is_root();
    if !root {
        missing.push("root (run as root)".to_owned());
    }
    for (name, package) in PROGRAMS {
        if find_program(name).is_none() {
            missing.push(format!("{name} (install {package})"));
        }
    }
    if plugin_directory().is_none() {
        let directories = PLUGIN_DIRECTORIES.join(", ");
        missing.push(format!(
            "the CNI plugins {} in one of {directories} (install containernetworking-plugins)",
            PLUGINS.join(", ")
        ));
    }
    if root && !may_make_namespaces() {
        missing.push("the right to make network and mount namespaces (CAP_SYS_ADMIN)".to_owned());
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// The folder that contains all plugins.
pub(super) fn plugin_directory() -> Option<PathBuf> {
    PLUGIN_DIRECTORIES
        .into_iter()
        .map(PathBuf::from)
        .find(|directory| {
            PLUGINS
                .iter()
                .all(|plugin| directory.join(plugin).is_file())
        })
}

/// Returns true if namespaces can be created: root in a container may not suffice, so it tries.
fn may_make_namespaces() -> bool {
    let Some(unshare) = find_program("unshare") else {
        return false;
    };
    let mut command = clean_command(&unshare);
    command.args([
        "--mount",
        "--net",
        "--uts",
        "--pid",
        "--fork",
        "--mount-proc",
        "--",
    ]);
    command.arg(Path::new("/bin/true"));
    command.output().is_ok_and(|output| output.status.success())
}
