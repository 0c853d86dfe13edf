//! Measures the delay of a valid machine while another credential files very many useless requests.
//!
//! Each kind of junk gets a fresh control plane. The delays without junk are measured in the same run, so that they are
//! comparable. `docs/benchmarks.md` explains the figures.

mod junk;
mod moment;
mod report;
mod round;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rollcall_e2e::assets::Assets;

use crate::junk::Kind;
use crate::report::Table;

/// The exit code for bad usage (`EX_USAGE` of sysexits.h).
const BAD_USAGE: u8 = 64;

/// The maximum delay of a valid machine caused by junk (seconds).
const LIMIT: f64 = 60.0;

/// Measure the delay of a valid machine while one credential files junk.
#[derive(Clone, Debug, Parser)]
#[command(name = "rollcall-junk-bench", version)]
struct Args {
    /// Number of requests of each kind
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// Run only this kind of junk
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // The output is lost if the terminal is closed.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(BAD_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let outcome = tokio::select! {
        outcome = run(&args) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let assets = tokio::task::spawn_blocking(|| Assets::locate(progress)).await??;
    let kinds = Kind::ALL.into_iter();
    let mut worst: f64 = 0.0;
    for kind in kinds.filter(|kind| args.kind.is_none_or(|only| only == *kind)) {
        let round = round::run(&assets, kind, args.requests).await;
        let round = round.with_context(|| format!("junk of the kind {kind}"))?;
        worst = worst.max(round.worst());
        write!(std::io::stdout().lock(), "{}", Table(&round))
            .context("cannot write to standard output")?;
    }
    ensure!(
        worst < LIMIT,
        "a valid machine waited for {worst:.1} s, and {LIMIT} s are the limit"
    );
    Ok(())
}

/// Prints progress on standard error: a run takes many minutes.
fn progress(line: &str) {
    // A closed standard error is ignored.
    drop(writeln!(std::io::stderr(), "{line}"));
}
