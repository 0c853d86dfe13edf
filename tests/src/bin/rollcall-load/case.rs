//! One case: a fresh control plane, one approver, one order of events.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rollcall_e2e::assets::Assets;
use rollcall_e2e::programs::{self, Program};
use rollcall_e2e::{ControlPlane, Options};
use serde::Serialize;

use crate::load::Load;
use crate::observer::{Observer, Times};
use crate::usage::{AuditLog, cpu_seconds, peak_memory_mib};

/// The rate limits (calls per second, and burst) of kube-controller-manager: OpenShift's setting. With the default, 20,
/// signing a thousand requests takes a minute.
const SIGNER_RATE: [&str; 2] = ["--kube-api-qps=150", "--kube-api-burst=200"];

/// The timeout for an approver to log that it watches.
const START: Duration = Duration::from_secs(60);

/// The approver under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Approver {
    BareLoop,
    Rollcall,
}

impl Approver {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Rollcall, Self::BareLoop];

    /// Starts it with the credentials of the approver's ServiceAccount.
    fn start(self, control_plane: &ControlPlane, kubeconfig: &Path) -> Result<Program> {
        let path = kubeconfig
            .to_str()
            .context("the path of the kubeconfig is not text")?;
        match self {
            Self::BareLoop => {
                Program::start("rollcall-bare-loop", &control_plane.logs_dir(), &[path])
            }
            Self::Rollcall => Program::approver_as(control_plane, kubeconfig, &[]),
        }
    }

    /// The text that it logs when it watches.
    fn ready(self) -> &'static str {
        match self {
            Self::BareLoop => "watching",
            Self::Rollcall => "every watch is complete",
        }
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BareLoop => "bare loop",
            Self::Rollcall => "rollcall",
        })
    }
}

/// The order in which the requests and the approver start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Arrival {
    /// The approver watches, then all requests are made at once.
    Arriving,
    /// All requests exist when the approver starts.
    Waiting,
}

impl Arrival {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Waiting, Self::Arriving];
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arriving => "the requests come while the approver runs",
            Self::Waiting => "the requests wait when the approver starts",
        })
    }
}

/// The results of one case. Times are seconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) approver: Approver,
    pub(crate) arrival: Arrival,
    /// From the start of the approver, or from the first request, to the last approval.
    pub(crate) approved: f64,
    /// From the last request to the last approval.
    pub(crate) approved_after_load: f64,
    /// Approvals per second, from the first to the last one.
    pub(crate) rate: f64,
    /// The time from the start of the approver, or from the creation of each request, to its approval: the median.
    pub(crate) latency_p50: f64,
    /// The same: the 99th percentile.
    pub(crate) latency_p99: f64,
    /// From the start of the approver, or from the first request, to the last certificate.
    pub(crate) issued: f64,
    /// CPU of the approver, from its start to the last certificate.
    pub(crate) cpu: f64,
    /// The peak memory of the approver, in MiB.
    pub(crate) peak_memory_mib: f64,
    /// CPU of kube-apiserver until the last approval.
    pub(crate) api_server_cpu: f64,
    /// The calls of the approver to the API server.
    pub(crate) calls: BTreeMap<String, u32>,
}

impl Measurement {
    /// The number of Events that the approver wrote, or tried to.
    pub(crate) fn events(&self) -> u32 {
        let events = self
            .calls
            .iter()
            .filter(|(call, _)| call.contains(" events"));
        events
            .map(|(_, number)| *number)
            .fold(0, u32::saturating_add)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "approved after {:.2} s ({:.0}/s), issued after {:.1} s; {:.2} s of CPU, {:.1} MiB",
            self.approved, self.rate, self.issued, self.cpu, self.peak_memory_mib
        )
    }
}

/// The moments of a case, and the CPU that kube-apiserver had used at its start (seconds).
struct Moments {
    api_server_cpu: f64,
    begin: Instant,
    loaded: Instant,
}

/// Runs one case on its own control plane.
pub(crate) async fn run(
    assets: &Assets,
    load: &Load,
    approver: Approver,
    arrival: Arrival,
) -> Result<Measurement> {
    let audit = AuditLog::create()?;
    let mut options = Options::default().assets(assets.clone());
    for flag in audit.flags() {
        options = options.api_server_flag(flag);
    }
    for flag in SIGNER_RATE {
        options = options.controller_manager_flag(flag);
    }
    let control_plane = ControlPlane::start_with(options).await?;
    let measured = measure(&control_plane, load, approver, arrival, &audit).await;
    control_plane.stop().await?;
    measured
}

async fn measure(
    control_plane: &ControlPlane,
    load: &Load,
    approver: Approver,
    arrival: Arrival,
    audit: &AuditLog,
) -> Result<Measurement> {
    let admin = control_plane.admin();
    let kubeconfig = programs::approver_kubeconfig(control_plane).await?;
    load.create_machines(&admin).await?;
    let mut observer = Observer::start(&admin);
    let (mut program, moments) = meet(
        control_plane,
        load,
        approver,
        arrival,
        &mut observer,
        &kubeconfig,
    )
    .await?;
    observer
        .wait("approved", load.len(), Some(&mut program), |seen| {
            seen.approved
        })
        .await?;
    let api_server_cpu = cpu_seconds(api_server(control_plane)?)? - moments.api_server_cpu;
    observer
        .wait("issued", load.len(), Some(&mut program), |seen| seen.issued)
        .await?;
    let (cpu, peak_memory_mib) = (cpu_seconds(program.id())?, peak_memory_mib(program.id())?);
    program.stop();
    Ok(Measurement {
        cpu,
        peak_memory_mib,
        api_server_cpu,
        calls: audit.calls()?,
        ..times(approver, arrival, &moments, &observer.times())?
    })
}

/// Starts approver and requests in the order of the case.
async fn meet(
    control_plane: &ControlPlane,
    load: &Load,
    approver: Approver,
    arrival: Arrival,
    observer: &mut Observer,
    kubeconfig: &Path,
) -> Result<(Program, Moments)> {
    let bootstrap = control_plane.bootstrap_kubeconfig().await?;
    let machines = control_plane.client_from(&bootstrap).await?;
    let api_server = api_server(control_plane)?;
    match arrival {
        Arrival::Waiting => {
            load.submit(&machines).await?;
            observer
                .wait("made", load.len(), None, |seen| seen.created)
                .await?;
            let moments = Moments {
                api_server_cpu: cpu_seconds(api_server)?,
                begin: Instant::now(),
                loaded: Instant::now(),
            };
            Ok((approver.start(control_plane, kubeconfig)?, moments))
        }
        Arrival::Arriving => {
            let program = approver.start(control_plane, kubeconfig)?;
            program.line(&[approver.ready()], START).await?;
            let (api_server_cpu, begin) = (cpu_seconds(api_server)?, Instant::now());
            load.submit(&machines).await?;
            let moments = Moments {
                api_server_cpu,
                begin,
                loaded: Instant::now(),
            };
            Ok((program, moments))
        }
    }
}

/// The process id of kube-apiserver.
fn api_server(control_plane: &ControlPlane) -> Result<u32> {
    control_plane
        .process_ids()
        .get(1)
        .copied()
        .context("kube-apiserver does not run")
}

/// Returns a measurement with only the times.
fn times(
    approver: Approver,
    arrival: Arrival,
    moments: &Moments,
    times: &[Times],
) -> Result<Measurement> {
    let approvals: Vec<Instant> = times.iter().filter_map(|times| times.approved).collect();
    let first = approvals.iter().min().context("no request was approved")?;
    let last = approvals.iter().max().context("no request was approved")?;
    let issued = times
        .iter()
        .filter_map(|times| times.issued)
        .max()
        .context("no request was issued")?;
    let mut latencies: Vec<Duration> = times
        .iter()
        .filter_map(|times| {
            let since = match arrival {
                Arrival::Arriving => times.created,
                Arrival::Waiting => moments.begin,
            };
            Some(times.approved?.saturating_duration_since(since))
        })
        .collect();
    latencies.sort_unstable();
    let count = f64::from(u32::try_from(approvals.len())?);
    Ok(Measurement {
        approver,
        arrival,
        approved: seconds(moments.begin, *last),
        approved_after_load: seconds(moments.loaded, *last),
        rate: count / seconds(*first, *last),
        latency_p50: percentile(&latencies, 50),
        latency_p99: percentile(&latencies, 99),
        issued: seconds(moments.begin, issued),
        cpu: 0.0,
        peak_memory_mib: 0.0,
        api_server_cpu: 0.0,
        calls: BTreeMap::new(),
    })
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Returns the smallest of sorted values that is not exceeded by this percentage (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    let value = sorted.get(rank.saturating_sub(1)).copied();
    value.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(
            (percentile(&sorted, 50), percentile(&sorted, 99)),
            (100.0, 198.0)
        );
        assert_eq!(percentile(&[Duration::from_secs(7)], 99), 7.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }

    #[test]
    fn times_are_counted_from_the_start_or_from_each_request() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let request = |created, approved, issued| Times {
            created: at(created),
            approved: Some(at(approved)),
            issued: Some(at(issued)),
        };
        let seen = [request(0, 1000, 3000), request(1500, 2000, 5000)];
        let moments = Moments {
            api_server_cpu: 0.0,
            begin,
            loaded: at(1500),
        };
        let arriving = times(Approver::Rollcall, Arrival::Arriving, &moments, &seen).unwrap();
        assert_eq!(
            (
                arriving.approved,
                arriving.approved_after_load,
                arriving.issued
            ),
            (2.0, 0.5, 5.0)
        );
        assert_eq!(
            (arriving.rate, arriving.latency_p50, arriving.latency_p99),
            (2.0, 0.5, 1.0)
        );
        let waiting = times(Approver::Rollcall, Arrival::Waiting, &moments, &seen).unwrap();
        assert_eq!((waiting.latency_p50, waiting.latency_p99), (1.0, 2.0));
    }
}
