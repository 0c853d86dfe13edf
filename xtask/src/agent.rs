//! `cargo xtask agent`: builds the node-agent for images, static, so that it runs on any distribution.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::{cargo, exists, run, say, target};

/// The profile in `Cargo.toml`.
const PROFILE: &str = "agent";

/// The name of the binary, and the suffix of its package name.
const NODE_AGENT: &str = "rollcall-node-agent";

/// Static glibc flags: a position-independent program, as with musl, with packed relocations, which take half a megabyte
/// otherwise.
const STATIC_GLIBC: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";

/// Builds it with musl, or with a static glibc if that target is unavailable, and returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let glibc = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let (triple, flags) = if has_target(&musl) {
        (musl, "")
    } else {
        say(&format!(
            "the target {musl} cannot be had here; building with a static glibc instead"
        ));
        (glibc, STATIC_GLIBC)
    };
    let mut build = cargo(&[
        "build",
        "--profile",
        PROFILE,
        "-p",
        NODE_AGENT,
        "--target",
        &triple,
    ]);
    // For this target only: build scripts and macros run on the host, and are linked as usual.
    let variable = |name: &str| format!("{name}_{}", triple.replace('-', "_"));
    build.env(
        variable("CARGO_TARGET").to_uppercase() + "_RUSTFLAGS",
        flags,
    );
    if !exists("musl-gcc") {
        // ring's C code needs no library, so any compiler for this processor works.
        build.env(variable("CC"), "cc");
    }
    run(&mut build)?;
    let binary = target().join(&triple).join(PROFILE).join(NODE_AGENT);
    let bytes = std::fs::metadata(&binary)
        .with_context(|| format!("there is no {}", binary.display()))?
        .len();
    say(&format!("{}: {bytes} bytes", binary.display()));
    Ok(binary)
}

/// Returns true if the toolchain can build for a target, after trying to install it.
fn has_target(triple: &str) -> bool {
    if exists("rustup") {
        // This fails without a network; then the installed targets count.
        run(Command::new("rustup")
            .args(["target", "add", triple])
            .current_dir(crate::process::root()))
        .ok();
    }
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", triple])
        .current_dir(crate::process::root())
        .output();
    libraries.is_ok_and(|output| {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success() && folder.is_dir()
    })
}
