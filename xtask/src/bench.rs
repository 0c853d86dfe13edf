//! `cargo xtask bench`: the load test, in the release profile.

use anyhow::Result;

use crate::packages;
use crate::process::{cargo, run as run_command, say};

/// Runs the load test.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::require_compilers()?;
    say("building in the release profile (the first time takes some minutes)");
    run_command(&mut cargo(&[
        "build",
        "--release",
        "--bins",
        "-p",
        "rollcall-approver",
        "-p",
        "rollcall-e2e",
    ]))?;
    run_command(
        cargo(&[
            "run",
            "--release",
            "-p",
            "rollcall-e2e",
            "--bin",
            "rollcall-load",
            "--",
        ])
        .args(arguments),
    )
}
