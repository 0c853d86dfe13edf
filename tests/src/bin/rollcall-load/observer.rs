//! Records when requests are created, approved and issued. A single watch observes all of it, so that its delay is part
//! of every time and of no difference.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::runtime::watcher::{self, Event, watcher};
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The timeout for requests. OpenShift's approver needs four minutes for a thousand.
const PATIENCE: Duration = Duration::from_secs(1800);

/// The interval, without events, at which the approver is checked: it may have exited.
const LOOK: Duration = Duration::from_secs(1);

/// The times of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) created: Instant,
    pub(crate) approved: Option<Instant>,
    pub(crate) issued: Option<Instant>,
}

/// The number of requests in each state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) created: usize,
    pub(crate) approved: usize,
    pub(crate) issued: usize,
}

type Seen = Arc<Mutex<HashMap<String, Times>>>;

/// A watch of all requests. It ends with this value.
#[derive(Debug)]
pub(crate) struct Observer {
    seen: Seen,
    progress: watch::Receiver<Progress>,
    _task: JoinSet<()>,
}

impl Observer {
    /// Starts to watch.
    pub(crate) fn start(client: &Client) -> Self {
        let seen = Seen::default();
        let (sender, progress) = watch::channel(Progress::default());
        let mut task = JoinSet::new();
        task.spawn(follow(client.clone(), seen.clone(), sender));
        Self {
            seen,
            progress,
            _task: task,
        }
    }

    /// Waits until this many requests have reached the state that `number` counts; fails if the approver exits.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        count: usize,
        mut approver: Option<&mut Program>,
        number: impl Fn(&Progress) -> usize,
    ) -> Result<()> {
        let begin = Instant::now();
        loop {
            let arrived = self.progress.wait_for(|progress| number(progress) >= count);
            if matches!(timeout(LOOK, arrived).await, Ok(Ok(_))) {
                return Ok(());
            }
            let ended = approver.as_mut().and_then(|program| program.ended());
            if ended.is_some() || begin.elapsed() > PATIENCE {
                let log = approver.map(|program| program.log()).unwrap_or_default();
                let reached = number(&self.progress.borrow());
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!(
                    "{reached} of {count} requests are {what}; the approver's last lines, newest first:\n{}",
                    tail.join("\n")
                );
            }
        }
    }

    /// Returns all times, unsorted.
    pub(crate) fn times(&self) -> Vec<Times> {
        hold(&self.seen).values().copied().collect()
    }
}

async fn follow(client: Client, seen: Seen, progress: watch::Sender<Progress>) {
    let mut events = std::pin::pin!(watcher(requests::api(&client), watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(request) | Event::InitApply(request)) => {
                note(&mut hold(&seen), &request, &progress);
            }
            Ok(Event::Delete(_) | Event::Init | Event::InitDone) => {}
            Err(error) => tracing::warn!(%error, "the watch of requests broke and is tried again"),
        }
    }
}

fn note(
    seen: &mut HashMap<String, Times>,
    request: &CertificateSigningRequest,
    progress: &watch::Sender<Progress>,
) {
    let now = Instant::now();
    let name = request.metadata.name.clone().unwrap_or_default();
    let approved = requests::condition(request, "Approved").is_some();
    let status = request.status.as_ref();
    let issued = status.is_some_and(|status| status.certificate.is_some());
    let known = seen.len();
    let times = seen.entry(name).or_insert(Times {
        created: now,
        approved: None,
        issued: None,
    });
    let newly_approved = approved
        && times
            .approved
            .replace(times.approved.unwrap_or(now))
            .is_none();
    let newly_issued = issued && times.issued.replace(times.issued.unwrap_or(now)).is_none();
    let created = seen.len();
    if newly_approved || newly_issued || created != known {
        progress.send_modify(|progress| {
            progress.created = created;
            progress.approved = progress.approved.saturating_add(newly_approved.into());
            progress.issued = progress.issued.saturating_add(newly_issued.into());
        });
    }
}

fn hold(seen: &Seen) -> MutexGuard<'_, HashMap<String, Times>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
