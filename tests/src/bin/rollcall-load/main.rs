//! The load test: many machines make requests at once, and the approver is compared with a loop that approves
//! everything.
//!
//! Each case gets a fresh control plane and the same Machines and requests, so that only the approver differs. Figures
//! of one run are comparable; those of two machines, or of a busy and an idle one, are not. `docs/benchmarks.md`
//! explains them.

mod case;
mod load;
mod observer;
mod report;
mod roll;
mod usage;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use rollcall_e2e::assets::Assets;

use crate::case::{Approver, Arrival, Measurement};
use crate::load::Load;
use crate::report::Report;
use crate::roll::Source;

/// The exit code for bad usage (`EX_USAGE` of sysexits.h).
const BAD_USAGE: u8 = 64;

/// Measure the approver under load, compared with a loop that approves everything.
#[derive(Clone, Debug, Parser)]
#[command(name = "rollcall-load", version)]
struct Args {
    /// Number of Machines, and of requests, in each case
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=60_000))]
    machines: u32,
    /// Number of measurements of each case
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
    /// Measure instead, for each source, the time and memory until this many Machines and Nodes are known
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    roll: Option<u32>,
    /// Also write all measurements to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
        outcome = run(args) => outcome,
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

async fn run(args: Args) -> Result<()> {
    let assets = tokio::task::spawn_blocking(|| Assets::locate(progress)).await??;
    if let Some(count) = args.roll {
        return measure_roll(&assets, count).await;
    }
    progress(&format!("making {} keys and requests", args.machines));
    let load = tokio::task::spawn_blocking(move || Load::generate(args.machines)).await??;
    let mut measurements: Vec<Measurement> = Vec::new();
    for repetition in 1..=args.repetitions {
        for arrival in Arrival::ALL {
            // Alternating, so that neither of the two always comes first.
            let mut approvers = Approver::ALL;
            approvers.rotate_left(usize::from(repetition.is_multiple_of(2)));
            for approver in approvers {
                progress(&format!(
                    "{repetition} of {}: {arrival}, {approver}",
                    args.repetitions
                ));
                let measured = case::run(&assets, &load, approver, arrival).await;
                let measured = measured.with_context(|| format!("{arrival}, {approver}"))?;
                progress(&format!("    {measured}"));
                measurements.push(measured);
            }
        }
    }
    let report = Report::new(args.machines, args.repetitions, measurements);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    write!(std::io::stdout().lock(), "{report}").context("cannot write to standard output")
}

/// Measures every source in turn.
async fn measure_roll(assets: &Assets, count: u32) -> Result<()> {
    let mut rows = format!("{count} Machines and {count} Nodes\n");
    rows.push_str(
        "| source | seconds until all is known | peak memory (MiB) |\n| --- | --- | --- |\n",
    );
    for source in Source::ALL {
        progress(&format!("{source}: making {count} Machines and Nodes"));
        let figures = roll::measure(assets, source, count).await;
        let figures = figures.with_context(|| source.to_string())?;
        progress(&format!("    {figures}"));
        rows.push_str(&format!("{figures}\n"));
    }
    write!(std::io::stdout().lock(), "{rows}").context("cannot write to standard output")
}

/// Prints progress on standard error: a run takes minutes.
fn progress(line: &str) {
    // A closed standard error is ignored.
    drop(writeln!(std::io::stderr(), "{line}"));
}
