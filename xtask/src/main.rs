//! The project's own commands. This crate stays small, so that it starts within seconds: long work runs in child
//! processes, and their output is shown.

mod agent;
mod bench;
mod demo;
mod fuzz;
mod lint;
mod packages;
mod process;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rollcall's own commands; each does its own set-up.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the demo: expected machines join a real cluster, an unexpected one does not.
    Demo {
        /// Leave the cluster running until Ctrl-C, and print its kubeconfig.
        #[arg(long)]
        keep: bool,
        /// Do not install Debian packages. Without containerd, runc and CNI plugins the demo runs no real kubelet.
        #[arg(long)]
        no_install: bool,
    },
    /// Build the static, small node-agent for images; print its path and size.
    Agent,
    /// Run all tests: unit, API calls, end to end on a real control plane, and the comparison with Go.
    Test {
        /// Do not install Debian packages. Tests that need them report what is missing and are skipped.
        #[arg(long)]
        no_install: bool,
        /// Also boot virtual machines from a real image. Needs root, and ten minutes the first time.
        #[arg(long)]
        vm: bool,
        /// Run only the tests with this text in their names.
        filter: Option<String>,
    },
    /// Check formatting, lints, dependency rules and the purity of the core.
    Lint,
    /// Run a benchmark. By default the load test: 1,000 machines at once, compared with a loop that approves everything.
    /// `bench explain`: the time of `explain` for a large dump; `bench agent`: the cost of node-agent on a machine; `bench
    /// junk`: the delay of a valid machine while one credential files 100,000 useless requests.
    Bench {
        /// Further arguments of the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Feed random input to the parsers and the decision, each target for a while. Uses a nightly toolchain if there is one.
    Fuzz {
        /// Seconds per target.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Demo { keep, no_install } => demo::run(keep, no_install),
        Command::Agent => agent::build().map(drop),
        Command::Test {
            no_install,
            vm,
            filter,
        } => test::run_all(no_install, vm, filter.as_deref()),
        Command::Lint => lint::run_all(),
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Fuzz { seconds } => fuzz::run(seconds),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
