//! One round: a fresh control plane, one kind of junk, and valid machines before, during and after it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use rollcall_e2e::assets::Assets;
use rollcall_e2e::programs::{self, Program};
use rollcall_e2e::usage::{cpu_seconds, peak_memory_mib};
use rollcall_e2e::{ControlPlane, Options};
use tokio::sync::watch;

use crate::junk::{self, CROWDED, Kind};
use crate::moment::{Moment, Valid, expect_machine};
use crate::progress;

/// The validity of the credentials, and the timeout of every step: longer than a round.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// The timeout for an approver to log that it is ready.
const START: Duration = Duration::from_secs(600);

/// The resources that one process used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Seconds of CPU.
    pub(crate) cpu: f64,
    /// Peak memory, MiB.
    pub(crate) memory: f64,
}

/// The results of a round.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) kind: Kind,
    pub(crate) requests: u32,
    /// The time to file the junk (seconds).
    pub(crate) filing: f64,
    /// The time from the last junk request until the approver had handled all of it (seconds).
    pub(crate) after: f64,
    pub(crate) moments: Vec<Moment>,
    /// The resources of the approver that ran while junk arrived, and of the one that started afterwards.
    pub(crate) used: [Used; 2],
}

impl Round {
    /// The longest delay of a valid machine (seconds).
    pub(crate) fn worst(&self) -> f64 {
        let worst = self.moments.iter().map(Moment::worst);
        worst.fold(0.0, f64::max)
    }
}

/// The context of a round.
struct Bench<'a> {
    control_plane: &'a ControlPlane,
    kubeconfig: PathBuf,
    config: PathBuf,
    valid: Valid,
    junk: Vec<CertificateSigningRequest>,
    client: Client,
    kind: Kind,
}

/// Runs one round on its own control plane.
pub(crate) async fn run(assets: &Assets, kind: Kind, requests: u32) -> Result<Round> {
    progress(&format!("{requests} requests, {kind}"));
    let junk = tokio::task::spawn_blocking(move || kind.generate(requests)).await??;
    let control_plane = ControlPlane::start_with(Options::default().assets(assets.clone())).await?;
    let measured = measure(&control_plane, kind, junk).await;
    control_plane.stop().await?;
    Ok(Round {
        requests,
        ..measured?
    })
}

async fn measure(
    control_plane: &ControlPlane,
    kind: Kind,
    junk: Vec<CertificateSigningRequest>,
) -> Result<Round> {
    let kubeconfig = programs::approver_kubeconfig(control_plane).await?;
    let token = control_plane.bootstrap_token_kubeconfig(LONG).await?;
    let bench = Bench {
        control_plane,
        kubeconfig,
        config: programs::deployed_config(control_plane).await?,
        valid: Valid::new(control_plane).await?,
        junk,
        client: control_plane.client_from(&token).await?,
        kind,
    };
    if kind == Kind::DeniedOne {
        expect_machine(&control_plane.admin(), CROWDED).await?;
    }
    let (program, first) = bench.restart("restart without junk").await?;
    let quiet = bench.valid.ask("without junk").await?;
    let mut round = bench.flood(&program).await?;
    round.moments.splice(0..0, [quiet, first]);
    program.stop();
    if kind.is_denied() {
        // The others are still pending; of these, as many again.
        junk::file(&bench.client, &bench.junk, &watch::Sender::new(0)).await?;
    }
    let (program, last) = bench.restart("restart with all of them").await?;
    round.moments.push(last);
    if kind.is_denied() {
        program.metric(&pending(0), LONG).await?;
    }
    round.used[1] = used(&program, 0.0)?;
    program.stop();
    Ok(round)
}

impl Bench<'_> {
    /// Starts an approver with valid machines already waiting, and measures from its start.
    async fn restart(&self, name: &'static str) -> Result<(Program, Moment)> {
        let filed = self.valid.ask_nobody(name).await?;
        let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("not text");
        let config = text(&self.config)?;
        let arguments = ["--config", &config, "--metrics-addr", "127.0.0.1:0"];
        let logs = self.control_plane.logs_dir().join(name.replace(' ', "-"));
        let begin = Instant::now();
        // A container that restarts in its pod gets the pod's Lease again.
        let program = Program::approver_in("bench", &logs, &self.kubeconfig, &arguments)?;
        program.line(&["every watch is complete"], START).await?;
        let moment = self.valid.served(name, &filed, begin).await?;
        Ok((program, moment))
    }

    /// Files the junk, while valid machines make requests.
    async fn flood(&self, program: &Program) -> Result<Round> {
        let before = cpu_seconds(program.id())?;
        let (filed, mut number) = watch::channel(0);
        let half = self.junk.len().div_ceil(2);
        let begin = Instant::now();
        let flood = async {
            junk::file(&self.client, &self.junk, &filed).await?;
            anyhow::Ok(Instant::now())
        };
        let middle = async {
            number.wait_for(|number| *number >= half).await?;
            self.valid.ask("half of it filed").await
        };
        let (end, middle) = tokio::try_join!(flood, middle)?;
        let mut moments = vec![middle, self.valid.ask("all of it filed").await?];
        let left = if self.kind.is_denied() {
            0
        } else {
            self.junk.len()
        };
        program.metric(&pending(left), LONG).await?;
        let after = end.elapsed().as_secs_f64();
        if self.kind == Kind::Crowd {
            expect_machine(&self.control_plane.admin(), CROWDED).await?;
            moments.push(self.valid.ask("once its Machine is there").await?);
        }
        let flooded = used(program, before)?;
        Ok(Round {
            kind: self.kind,
            requests: 0,
            filing: end.duration_since(begin).as_secs_f64(),
            after,
            moments,
            used: [flooded; 2],
        })
    }
}

/// The metrics line of the approver when this many requests are pending.
fn pending(number: usize) -> String {
    format!("rollcall_pending_requests {number}")
}

fn used(program: &Program, before: f64) -> Result<Used> {
    Ok(Used {
        cpu: cpu_seconds(program.id())? - before,
        memory: peak_memory_mib(program.id())?,
    })
}
