//! Measures `explain` on the dump of a large cluster: the same objects as YAML and as JSON, as kubectl writes them.
//! Asserts nothing about time; `docs/benchmarks.md` explains the figures.

mod dump;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rollcall_e2e::programs;
use serde_json::Value;

/// The exit code for bad usage (`EX_USAGE` of sysexits.h).
const BAD_USAGE: u8 = 64;

/// Measure `explain` on a dump of many requests and Machines.
#[derive(Clone, Debug, Parser)]
#[command(name = "rollcall-explain-bench", version)]
struct Args {
    /// Number of Machines, and of requests, in the dump
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    machines: u32,
    /// Number of measurements of each format
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
    /// Keep the dumps in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // The output is lost if the terminal is closed.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { BAD_USAGE } else { 0 });
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = args.keep.as_deref().unwrap_or_else(|| temporary.path());
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    progress(&format!(
        "making a dump of {0} requests and {0} Machines",
        args.machines
    ));
    let files = dump::write(folder, args.machines)?;
    let explain = programs::binary("rollcall-approver")?;
    let mut times = Vec::new();
    for file in &files {
        let mut taken = Vec::new();
        for repetition in 0..args.repetitions {
            let (time, answers) = measure(&explain, file, folder)?;
            if repetition == 0 {
                check(&answers, args.machines)?;
            }
            taken.push(time);
        }
        taken.sort();
        times.push(taken);
    }
    report(&files, &times)
}

/// Runs `explain` on a file. Returns the duration and the file with its output.
fn measure(explain: &Path, file: &Path, folder: &Path) -> Result<(Duration, PathBuf)> {
    let answers = folder.join("answers");
    let output = File::create(&answers)?;
    let mut command = Command::new(explain);
    command
        .args(["explain", "-o", "json", "--at", dump::JUDGED_AT, "--from"])
        .arg(file)
        .stdout(output)
        .stdin(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", explain.display()))?;
    let time = start.elapsed();
    ensure!(status.success(), "explain ended with {status}");
    Ok((time, answers))
}

/// Checks the output: every request of an expected machine is approved, and the others are held.
fn check(answers: &Path, machines: u32) -> Result<()> {
    let answers: Vec<Value> =
        serde_json::from_reader(std::io::BufReader::new(File::open(answers)?))
            .context("explain printed no JSON")?;
    let count = |verdict: &str| {
        let given = answers.iter().filter(|answer| answer["verdict"] == verdict);
        u32::try_from(given.count()).unwrap_or(u32::MAX)
    };
    let strangers = dump::strangers(machines);
    let (approved, held) = (count("approve"), count("hold"));
    ensure!(
        (approved, held) == (machines.saturating_sub(strangers), strangers),
        "{approved} requests would be approved and {held} held, and {strangers} should be held of {machines}"
    );
    Ok(())
}

fn report(files: &[PathBuf], times: &[Vec<Duration>]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| dump | MiB | seconds, median (lowest-highest) | of JSON |"
    )?;
    writeln!(out, "| --- | --- | --- | --- |")?;
    let median = |times: &[Duration]| {
        let middle = times.len().checked_div(2).unwrap_or_default();
        times.get(middle).copied().unwrap_or_default().as_secs_f64()
    };
    let json = times.last().map(|times| median(times)).unwrap_or_default();
    for (file, times) in files.iter().zip(times) {
        let mib = f64::from(u32::try_from(file.metadata()?.len() / 1024)?) / 1024.0;
        let seconds = |time: Option<&Duration>| time.copied().unwrap_or_default().as_secs_f64();
        writeln!(
            out,
            "| {} | {mib:.1} | {:.2} ({:.2}-{:.2}) | {:.2} |",
            file.file_name().unwrap_or_default().display(),
            median(times),
            seconds(times.first()),
            seconds(times.last()),
            median(times) / json,
        )?;
    }
    Ok(())
}

/// Prints progress on standard error.
fn progress(line: &str) {
    // A closed standard error is ignored.
    drop(writeln!(std::io::stderr(), "{line}"));
}
