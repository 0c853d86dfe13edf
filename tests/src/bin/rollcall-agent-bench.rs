//! The cost of node-agent on a machine: its size, the time from start to identity, and its peak memory.
//!
//! The approver answers at once, so this measures the agent, the API server and the signer. `cargo xtask bench agent`
//! runs it with the static agent of images and the approver of the release profile.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::Host;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::Program;

/// The interval at which the kernel's peak memory value is read; the kernel keeps it until the process is reaped.
const POLL: Duration = Duration::from_micros(500);

/// Measure the cost of node-agent on a machine.
#[derive(Debug, Parser)]
struct Args {
    /// node-agent to measure.
    agent: PathBuf,
    /// Number of machines that join, one after the other.
    #[arg(long, default_value_t = 20)]
    machines: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let control_plane = ControlPlane::start().await?;
    let _approver = Program::approver(&control_plane, &[]).await?;
    let bootstrap = control_plane.bootstrap_kubeconfig().await?;
    let mut seconds = Vec::new();
    let mut peaks = Vec::new();
    for number in 0..args.machines {
        let node = format!("worker-{number}");
        let status = MachineStatus::provisioned(&node, "192.0.2.10");
        machines::create_machine(&control_plane.admin(), &node, &status).await?;
        let host = Host::create(&control_plane, &node)?;
        let (took, peak) = join(&args.agent, &host, &bootstrap).await?;
        seconds.push(took.as_secs_f64());
        peaks.push(peak);
    }
    let size = std::fs::metadata(&args.agent)
        .with_context(|| format!("there is no {}", args.agent.display()))?
        .len();
    let mut out = std::io::stdout();
    writeln!(out, "size: {:.2} MiB ({size} bytes)", mib(size))?;
    writeln!(out, "start to identity (s): {}", spread(&mut seconds))?;
    writeln!(out, "peak memory (MiB): {}", spread(&mut peaks))?;
    Ok(())
}

/// Runs the agent to its end. Returns the duration and the peak memory.
async fn join(agent: &Path, host: &Host, bootstrap: &Path) -> Result<(Duration, f64)> {
    let begin = Instant::now();
    let mut child = tokio::process::Command::new(agent)
        .args(host.arguments(bootstrap, &[]))
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", agent.display()))?;
    let status = child.id().map(|id| format!("/proc/{id}/status"));
    let status = status.context("the agent has ended already")?;
    let mut peak = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = tokio::fs::read_to_string(&status).await.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = now.unwrap_or_default().max(peak);
        tokio::time::sleep(POLL).await;
    };
    let took = begin.elapsed();
    ensure!(
        ended.success(),
        "the agent of {} ended with {ended}",
        host.node()
    );
    Ok((took, mib(peak.saturating_mul(1024))))
}

fn mib(bytes: u64) -> f64 {
    u32::try_from(bytes).map_or(f64::INFINITY, f64::from) / f64::from(1 << 20)
}

/// The median with the lowest and the highest value.
fn spread(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    let (first, last) = (values.first(), values.last());
    format!(
        "{middle:.3} ({:.3}-{:.3})",
        first.copied().unwrap_or_default(),
        last.copied().unwrap_or_default()
    )
}
