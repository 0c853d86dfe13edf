//! The approver: watches requests, Machines and Nodes, lets [`rollcall_approver_core`] decide, and writes the decisions. All
//! code that calls the API server is here; all code that decides is there.

mod announce;
mod args;
mod audit;
mod aws;
mod claims_record;
mod cli;
mod condition;
mod config;
mod config_file;
mod connect;
mod convert;
mod dial;
mod engine;
mod errors;
pub mod exit;
mod expected_machine;
mod fair;
mod feed;
mod feeds;
#[cfg(test)]
mod fixtures;
mod guard;
mod health;
mod joins;
mod kubelet_ca;
#[cfg(test)]
mod kubelet_fixtures;
mod kubelets;
mod leadership;
mod lease;
mod limit;
mod listing;
mod machine_feeds;
mod metrics;
mod mirror;
mod new_start;
mod node;
mod node_lease;
mod object_name;
mod others;
mod pages;
mod persistence;
mod reload;
pub mod rights;
mod run;
mod serve;
mod settings;
mod sources;
mod tasks;
mod telemetry;
mod text;
mod write;

pub use args::{
    AdoptionArgs, ApproveArgs, Args, BootstrapKubeconfigArgs, ClusterArgs, Command, DenyArgs,
    ExpectArgs, ExplainArgs, Flavour, KubeconfigFormat, ListArgs, LogFormat, LookArgs, Output,
    RunArgs, UserDataArgs, UserDataFormat,
};
pub use config::{ConfigError, Mode};
pub use settings::Settings;

/// Runs a command line.
///
/// # Errors
/// [`exit::report`] distinguishes invalid usage, configuration and input from other failures.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        command,
        log_format,
    } = args;
    let unless_asked = match &command {
        Command::Run(_) => telemetry::CONTROLLER,
        Command::Approve(_)
        | Command::BootstrapKubeconfig(_)
        | Command::Deny(_)
        | Command::Expect(_)
        | Command::Explain(_)
        | Command::List(_)
        | Command::UserData(_) => telemetry::COMMAND,
    };
    telemetry::init(log_format, unless_asked);
    match command {
        Command::Approve(args) => cli::approve(&args),
        Command::BootstrapKubeconfig(args) => cli::bootstrap_kubeconfig(&args),
        Command::Deny(args) => cli::deny(&args),
        Command::Expect(args) => cli::expect(&args),
        Command::Explain(args) => cli::explain(&args),
        Command::List(args) => cli::list(&args),
        Command::Run(args) => run::run(Settings::try_from(args)?),
        Command::UserData(args) => cli::user_data(&args),
    }
}
