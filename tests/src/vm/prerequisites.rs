//! The requirements for booting virtual machines.

use crate::command::find_program;
use crate::node::Missing;

/// The programs, and the Debian packages that contain them.
const PROGRAMS: [(&str, &str); 9] = [
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("debugfs", "e2fsprogs"),
    ("genisoimage", "genisoimage"),
    ("ip", "iproute2"),
    ("mmdebstrap", "mmdebstrap"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("unshare", "util-linux"),
];

/// Checks that virtual machines can be booted here.
///
/// # Errors
/// Everything that is missing.
pub fn check() -> Result<(), Missing> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(name, _)| find_program(name).is_none())
        .map(|(name, package)| format!("{name} (install {package})"))
        .collect();
    if !rustix::process::geteuid().is_root() {
        missing.push("root (run as root)".to_owned());
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}
