//! The files that identify a machine: in an image, all its machines would share them.

use super::root::{ImageError, Root};

/// A file that must not be in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path, relative to the root.
    pub path: String,
    /// The kind of file, and its effect.
    pub problem: &'static str,
    /// The remedy.
    pub remedy: Remedy,
}

/// The remedy for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Removing a file or a folder.
    Remove,
    /// Leaving the file, but empty.
    Truncate,
}

/// Files in one folder that must not be in an image.
struct Rule {
    folder: &'static str,
    /// Prefix and suffix of a name; both empty match everything.
    names: &'static [(&'static str, &'static str)],
    problem: &'static str,
}

const ANY: &[(&str, &str)] = &[("", "")];

/// The folders of kubelet: kubeadm's, OpenShift 4's and OpenShift 3.11's.
const RULES: [Rule; 12] = [
    Rule {
        folder: "etc/kubernetes",
        names: &[
            ("bootstrap-kubelet.conf", ""),
            ("kubeconfig", ""),
            ("bootstrap-kubeconfig", ""),
        ],
        problem: "a bootstrap credential: whoever gets the image can ask for certificates",
    },
    Rule {
        folder: "etc/kubernetes",
        names: &[
            ("kubelet.conf", ""),
            ("admin.conf", ""),
            ("super-admin.conf", ""),
        ],
        problem: "a kubeconfig: every machine would take itself for the one it belongs to",
    },
    Rule {
        folder: "etc/origin/node",
        names: &[("bootstrap.kubeconfig", "")],
        problem: "a bootstrap credential: whoever gets the image can ask for certificates",
    },
    Rule {
        folder: "etc/origin/node",
        names: &[("node.kubeconfig", ""), ("certificates", "")],
        problem: "kubelet's identity: every machine would take itself for the one it belongs to",
    },
    Rule {
        folder: "etc/ssh",
        names: &[("ssh_host_", "_key"), ("ssh_host_", "_key.pub")],
        problem: "an SSH host key: with one machine's key all of them can be impersonated",
    },
    Rule {
        folder: "run/cloud-init",
        names: ANY,
        problem: "cloud-init's state of the machine that the image was made on, user-data included",
    },
    Rule {
        folder: "var/lib/cloud",
        names: &[("data", ""), ("instance", ""), ("seed", ""), ("sem", "")],
        problem: "cloud-init's state of the machine that the image was made on: its user-data, and that it has run",
    },
    Rule {
        folder: "var/lib/kubelet",
        names: &[("kubeconfig", "")],
        problem: "a kubeconfig: every machine would take itself for the one it belongs to",
    },
    Rule {
        folder: "var/lib/kubelet/pki",
        names: ANY,
        problem: "kubelet's keys and certificates: every machine would take itself for the one they belong to",
    },
    Rule {
        folder: "var/lib/kubelet",
        names: &[
            ("cpu_manager_state", ""),
            ("memory_manager_state", ""),
            ("pods", ""),
        ],
        problem: "kubelet's state of the machine that the image was made on",
    },
    Rule {
        folder: "var/lib/rollcall",
        names: ANY,
        problem: "node-agent's record of the machine that the image was made on",
    },
    Rule {
        folder: "var/lib/systemd",
        names: &[("random-seed", ""), ("credential.secret", "")],
        problem: "a secret of systemd: machines with the same one can make the same keys",
    },
];

/// Machine ids (machine-id(5)): an empty file makes each machine of a golden image generate its own.
const MACHINE_IDS: [&str; 2] = ["etc/machine-id", "var/lib/dbus/machine-id"];

/// Returns all files below `root` that must not be in an image. Changes nothing.
///
/// # Errors
/// If the image cannot be read; missing folders are ignored.
pub fn find(root: &Root) -> Result<Vec<Finding>, ImageError> {
    let mut found = Vec::new();
    for path in MACHINE_IDS {
        found.extend(machine_id(root, path)?);
    }
    for rule in &RULES {
        for (name, _) in root.list(rule.folder)? {
            if rule.names.iter().any(|names| matches(names, &name)) {
                found.push(Finding {
                    path: format!("{}/{name}", rule.folder),
                    problem: rule.problem,
                    remedy: Remedy::Remove,
                });
            }
        }
    }
    Ok(found)
}

fn machine_id(root: &Root, path: &str) -> Result<Option<Finding>, ImageError> {
    // A link points to the other path.
    if root.is_link(path) {
        return Ok(None);
    }
    let Some(contents) = root.read(path)? else {
        return Ok(None);
    };
    let id = contents.trim_ascii();
    let unset = id.is_empty() || id == b"uninitialized";
    Ok((!unset).then(|| Finding {
        path: path.to_owned(),
        problem: "a machine id: every machine would have the same (DHCP leases, journals, cloned identities)",
        remedy: Remedy::Truncate,
    }))
}

/// Matches a name. Without a suffix, the prefix must be the whole name or be followed by `-`, `.` or a plural ending.
fn matches((beginning, end): &(&str, &str), name: &str) -> bool {
    let Some(rest) = name.strip_prefix(beginning) else {
        return false;
    };
    if end.is_empty() {
        beginning.is_empty() || rest.is_empty() || rest == "s" || rest.starts_with(['-', '.'])
    } else {
        rest.ends_with(end)
    }
}
