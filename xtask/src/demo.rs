//! `cargo xtask demo`: builds the programs, then runs the demo.

use std::process::Command;

use anyhow::Result;

use crate::packages;
use crate::process::{cargo, run as run_command, say, target};

/// Runs the demo.
pub(crate) fn run(keep: bool, no_install: bool) -> Result<()> {
    packages::require_compilers()?;
    packages::install(no_install)?;
    say("building approver, node-agent and demo (the first time takes some minutes)");
    let packages = [
        "-p",
        "rollcall-approver",
        "-p",
        "rollcall-node-agent",
        "-p",
        "rollcall-e2e",
    ];
    run_command(cargo(&["build", "--bins"]).args(packages))?;
    let mut demo = Command::new(target().join("debug/rollcall-demo"));
    if keep {
        demo.arg("--keep");
    }
    run_command(&mut demo)
}
