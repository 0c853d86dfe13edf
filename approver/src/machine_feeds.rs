//! The feeds of Machines: one per source that the configuration names, started and stopped while the approver runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use kube::Client;
use rollcall_approver_core::Scope;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::engine::Input;
use crate::metrics::Metrics;
use crate::sources;
use crate::sources::instances::{self, Cloud};

/// How much may wait for whoever adds what the cloud says: little, for it hardly ever waits itself.
const RECORDS: usize = 64;

/// The feeds that run.
pub(crate) struct MachineFeeds {
    management: Client,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
    running: BTreeMap<Scope, AbortHandle>,
    tasks: JoinSet<()>,
}

impl MachineFeeds {
    /// No feed yet. Machines are read from this cluster, and news go there.
    pub(crate) fn new(management: Client, news: mpsc::Sender<Input>, metrics: Metrics) -> Self {
        Self {
            management,
            news,
            metrics,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Where Machines are read.
    pub(crate) fn running(&self) -> BTreeSet<Scope> {
        self.running.keys().cloned().collect()
    }

    /// Tells the engine something between the news of the feeds.
    ///
    /// # Errors
    /// If the engine has ended.
    pub(crate) async fn tell(&self, input: Input) -> anyhow::Result<()> {
        self.news.send(input).await.ok().context("the engine ended")
    }

    /// Starts to read Machines somewhere.
    pub(crate) fn start(&mut self, scope: Scope) {
        if let Some(source) = sources::of(scope.source) {
            let (client, news) = (self.management.clone(), self.news.clone());
            let handle = match scope.look_up.clone() {
                None => self
                    .tasks
                    .spawn((source.follow)(client, scope.clone(), news)),
                Some(look_up) => {
                    let (records, told) = mpsc::channel(RECORDS);
                    let feed = (source.follow)(client, scope.clone(), records);
                    let (cloud, metrics) = (Cloud::of_process(look_up), self.metrics.clone());
                    let looking_up = instances::run(scope.clone(), cloud, told, news, metrics);
                    self.tasks.spawn(async move {
                        tokio::join!(feed, looking_up);
                    })
                }
            };
            self.running.insert(scope, handle);
        }
    }

    /// Stops to read Machines somewhere: once this returns, no more news come from there.
    ///
    /// # Errors
    /// If another feed ended by itself.
    pub(crate) async fn stop(&mut self, scope: &Scope) -> anyhow::Result<()> {
        let Some(handle) = self.running.remove(scope) else {
            return Ok(());
        };
        handle.abort();
        while !handle.is_finished() {
            match self.tasks.join_next().await {
                Some(ended) => check(ended)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Waits for a feed that ends by itself, which none does: says why.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(ended) => {
                    if let Err(failure) = check(ended) {
                        return failure;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }
}

/// Whether a feed ended because it was stopped.
fn check(ended: Result<(), JoinError>) -> anyhow::Result<()> {
    match ended {
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(error).context("a feed of Machines panicked"),
        Ok(()) => bail!("a feed of Machines ended"),
    }
}
