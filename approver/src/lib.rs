//! The approver: watches requests, Machines and Nodes, lets [`rollcall_approver_core`] decide, and writes what was
//! decided. Everything that talks to the API server is here; everything that decides is there.

mod announce;
mod args;
mod claims_record;
mod config;
mod connect;
mod convert;
mod engine;
mod errors;
pub mod exit;
mod feed;
mod feeds;
#[cfg(test)]
mod fixtures;
mod leadership;
mod lease;
mod metrics;
pub mod rights;
mod run;
mod serve;
mod settings;
mod sources;
mod tasks;
mod telemetry;
mod write;

pub use args::{Args, Command, LogFormat, RunArgs};
pub use config::{ConfigError, Mode};
pub use settings::Settings;

/// Carries out a command line.
///
/// # Errors
/// A [`ConfigError`] somewhere in the chain means bad usage or configuration; everything else is another failure.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        command,
        log_format,
    } = args;
    telemetry::init(log_format);
    match command {
        Command::Run(args) => run::run(Settings::try_from(args)?),
    }
}
