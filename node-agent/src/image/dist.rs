//! What belongs on a machine: the files below `node-agent/dist/`, which mirrors the host, and this program.

use std::fs;

use super::root::{ImageError, Root};

/// Where the program is on the host; the unit names it.
const PROGRAM: &str = "usr/local/bin/rollcall-node-agent";

/// Mode of the program.
const EXECUTABLE: u32 = 0o755;

/// Mode of everything else; there is no secret in it.
const READABLE: u32 = 0o644;

/// A file of `dist/`: where it goes and what is in it.
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

/// Files that belong to whoever runs the machine, and are written only where there are none.
const CONFIGURATION: [(&str, &str); 1] = [dist!("etc/rollcall/node-agent.env")];

/// Puts everything in its place and says what it did, one line each.
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
