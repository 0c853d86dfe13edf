//! `cargo xtask bench`: the load test, and benchmarks of `explain`, node-agent and fairness under junk requests, in the
//! release profile.

use anyhow::Result;

use crate::process::{cargo, run as run_command, say};
use crate::{agent, packages};

/// Runs the load test, or the benchmark in the first argument: `explain`, `agent` or `junk`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((word, rest)) if word == "explain" => measure("rollcall-explain-bench", rest),
        Some((word, rest)) if word == "agent" => {
            packages::require_compilers()?;
            let agent = agent::build()?.display().to_string();
            let arguments: Vec<String> = std::iter::once(agent).chain(rest.to_vec()).collect();
            measure("rollcall-agent-bench", &arguments)
        }
        Some((word, rest)) if word == "junk" => {
            packages::require_compilers()?;
            measure("rollcall-junk-bench", rest)
        }
        _ => {
            packages::require_compilers()?;
            measure("rollcall-load", arguments)
        }
    }
}

/// Builds both programs of the workspace, and runs the benchmark.
fn measure(program: &str, arguments: &[String]) -> Result<()> {
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
    let own = [
        "run",
        "--release",
        "-p",
        "rollcall-e2e",
        "--bin",
        program,
        "--",
    ];
    run_command(cargo(&own).args(arguments))
}
