//! The project's own commands. This crate stays small, so that its first answer comes in seconds: what takes long, it
//! starts as a process whose progress is seen.

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

/// Rollcall's own commands: each one does its set-up itself.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job, shown: machines join a real cluster by themselves, one that nobody expects does not.
    Demo {
        /// Leave the cluster up until Ctrl-C, and print its kubeconfig.
        #[arg(long)]
        keep: bool,
        /// Install no Debian packages; without containerd, runc and CNI plugins no real kubelet is started.
        #[arg(long)]
        no_install: bool,
    },
    /// The node-agent for images: static and small. Prints where it is and its size.
    Agent,
    /// Every test: unit, API calls, end to end on a real control plane, and the comparison with Go.
    Test {
        /// Install no Debian packages; tests that need them say what is missing and are skipped.
        #[arg(long)]
        no_install: bool,
        /// Also boot virtual machines from a real image; needs root, and ten minutes the first time.
        #[arg(long)]
        vm: bool,
        /// Only the tests whose names contain this.
        filter: Option<String>,
    },
    /// Formatting, lints, dependency rules and the purity of the core.
    Lint,
    /// The load test: 1,000 machines at once, beside a bare loop that approves whatever it sees. `bench explain`: how long
    /// `explain` takes for a large dump; `bench agent`: what node-agent costs a machine; `bench junk`: how long a valid
    /// machine waits while one credential files 100,000 requests that come to nothing.
    Bench {
        /// Further arguments of the measurement.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Feeds random input to the parsers and the decision, each target for a while. With a nightly toolchain where there is one.
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
