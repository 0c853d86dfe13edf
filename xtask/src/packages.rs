//! The packages that a fresh Debian machine lacks: listed, and installed if allowed.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{exists, run, say};

/// A program or file that shows that a package is installed, the package, and its purpose.
struct Need {
    sign: Sign,
    package: &'static str,
}

enum Sign {
    File(&'static str),
    Program(&'static str),
}

/// The packages for the complete tests and a real kubelet.
const NEEDS: [Need; 8] = [
    Need {
        sign: Sign::Program("containerd"),
        package: "containerd",
    },
    Need {
        sign: Sign::Program("runc"),
        package: "runc",
    },
    Need {
        sign: Sign::File("/usr/lib/cni/bridge"),
        package: "containernetworking-plugins",
    },
    Need {
        sign: Sign::Program("ip"),
        package: "iproute2",
    },
    Need {
        sign: Sign::Program("iptables"),
        package: "iptables",
    },
    Need {
        sign: Sign::File("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
        package: "libfaketime",
    },
    Need {
        sign: Sign::Program("cloud-init"),
        package: "cloud-init",
    },
    // For moto, the AWS mock.
    Need {
        sign: Sign::File("/usr/share/doc/python3-venv"),
        package: "python3-venv",
    },
];

/// Further packages, for virtual machines and their image.
const VM_NEEDS: [Need; 7] = [
    Need {
        sign: Sign::Program("busybox"),
        package: "busybox-static",
    },
    Need {
        sign: Sign::Program("cpio"),
        package: "cpio",
    },
    Need {
        sign: Sign::Program("debugfs"),
        package: "e2fsprogs",
    },
    Need {
        sign: Sign::Program("genisoimage"),
        package: "genisoimage",
    },
    Need {
        sign: Sign::Program("mmdebstrap"),
        package: "mmdebstrap",
    },
    Need {
        sign: Sign::Program("qemu-img"),
        package: "qemu-utils",
    },
    Need {
        sign: Sign::Program("qemu-system-x86_64"),
        package: "qemu-system-x86",
    },
];

/// Checks for the programs that every build needs.
pub(crate) fn require_compilers() -> Result<()> {
    for (program, why) in [
        (
            "go",
            "the control plane is built with it: https://go.dev/doc/install, or set KUBEBUILDER_ASSETS",
        ),
        (
            "cc",
            "the ring crate needs a C compiler: apt-get install gcc",
        ),
    ] {
        let replaced = program == "go" && std::env::var_os("KUBEBUILDER_ASSETS").is_some();
        if !replaced && !exists(program) {
            bail!("{program} is not installed; {why}");
        }
    }
    Ok(())
}

/// Installs the missing packages, as root on a Debian machine; elsewhere prints what will be skipped. Returns true if
/// nothing is missing now.
pub(crate) fn install(no_install: bool) -> Result<bool> {
    install_missing(&NEEDS, no_install)
}

/// As [`install`], for virtual machines.
pub(crate) fn install_for_vm(no_install: bool) -> Result<bool> {
    install_missing(&VM_NEEDS, no_install)
}

fn install_missing(needs: &[Need], no_install: bool) -> Result<bool> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !need.sign.is_there())
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let list = missing.join(" ");
    if no_install || !exists("apt-get") || !is_root() {
        say(&format!(
            "not installed: {list}; what needs them says so and goes without (apt-get install {list})"
        ));
        return Ok(false);
    }
    say(&format!("installing Debian packages: {list}"));
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    let quiet = ["install", "-y", "-qq", "--no-install-recommends"];
    run(Command::new("apt-get")
        .args(quiet)
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    Ok(true)
}

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Self::File(path) => Path::new(path).exists(),
            Self::Program(name) => exists(name),
        }
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // This line holds the real, effective, saved and file-system user id; the effective one counts.
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}
