//! The files to install: those below `node-agent/dist/`, which mirrors the host, and this program.

use std::fs;

use super::root::{ImageError, Root};

/// The path of the program on the host, as in the unit.
const PROGRAM: &str = "usr/local/bin/rollcall-node-agent";

/// Mode of the program.
const EXECUTABLE: u32 = 0o755;

/// Mode of all other files; they hold no secret.
const READABLE: u32 = 0o644;

/// A file of `dist/`: its path and its content.
macro_rules! dist {
    ($path:literal) => {
        ($path, include_str!(concat!("../../dist/", $path)))
    };
}

/// Files that belong to the agent and are replaced.
const OWN: [(&str, &str); 5] = [
    dist!("usr/lib/systemd/system/kubelet.service.d/50-rollcall.conf"),
    dist!("usr/lib/systemd/system/rollcall-node-agent-wipe.service"),
    dist!("usr/lib/systemd/system/rollcall-node-agent.service"),
    dist!("usr/lib/sysusers.d/rollcall.conf"),
    dist!("usr/lib/tmpfiles.d/rollcall.conf"),
];

/// Files that the administrator owns, written only if they do not exist.
const CONFIGURATION: [(&str, &str); 1] = [dist!("etc/rollcall/node-agent.env")];

/// Installs all files and returns one line for each.
pub(super) fn install(root: &Root) -> Result<Vec<String>, ImageError> {
    let mut lines = Vec::new();
    let program = fs::read("/proc/self/exe").map_err(ImageError::Program)?;
    let shown = |path: &str| root.path().join(path).display().to_string();
    root.write(PROGRAM, &program, EXECUTABLE)?;
    lines.push(format!("installed {}", shown(PROGRAM)));
    for (path, contents) in OWN {
        root.write(path, contents.as_bytes(), READABLE)?;
        lines.push(format!("installed {}", shown(path)));
    }
    for (path, contents) in CONFIGURATION {
        if root.read(path)?.is_some() {
            lines.push(format!("kept      {}, which is there already", shown(path)));
        } else {
            root.write(path, contents.as_bytes(), READABLE)?;
            lines.push(format!("installed {}", shown(path)));
        }
    }
    lines.push(format!(
        "to have it run before kubelet: systemctl --root={} enable rollcall-node-agent.service",
        root.path().display()
    ));
    Ok(lines)
}
