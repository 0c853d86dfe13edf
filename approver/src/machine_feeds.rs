//! The feeds of Machines and of the bootstrap tokens made for them, as the configuration names them, started and stopped
//! while the approver runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use kube::Client;
use rollcall_approver_core::{Feed, Scope};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::engine::Input;
use crate::metrics::Metrics;
use crate::sources;
use crate::sources::instances::{self, Cloud};

/// The capacity of the channel to the EC2 look-up task; small, because that task drains it promptly.
const RECORDS: usize = 64;

/// The running feeds.
pub(crate) struct MachineFeeds {
    management: Client,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
    running: BTreeMap<Feed, AbortHandle>,
    tasks: JoinSet<()>,
}

impl MachineFeeds {
    /// Returns the set without feeds. Machines are read from this cluster, and changes are sent to `news`.
    pub(crate) fn new(management: Client, news: mpsc::Sender<Input>, metrics: Metrics) -> Self {
        Self {
            management,
            news,
            metrics,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The running feeds.
    pub(crate) fn running(&self) -> BTreeSet<Feed> {
        self.running.keys().cloned().collect()
    }

    /// Sends the engine an input between those of the feeds.
    ///
    /// # Errors
    /// If the engine has ended.
    pub(crate) async fn tell(&self, input: Input) -> anyhow::Result<()> {
        self.news.send(input).await.ok().context("the engine ended")
    }

    /// Starts a feed that the configuration names.
    pub(crate) fn start(&mut self, feed: Feed) {
        let handle = match &feed {
            Feed::KubeadmConfigs(scope) => self.start_tokens(scope),
            Feed::Machines(scope) => self.start_machines(scope),
            // The others run with any configuration, or as part of these.
            Feed::Claims
            | Feed::ClusterAddresses(_)
            | Feed::HealthChecks(_)
            | Feed::Instances(_)
            | Feed::KubeletCa(_)
            | Feed::Nodes
            | Feed::Requests(_) => None,
        };
        if let Some(handle) = handle {
            self.running.insert(feed, handle);
        }
    }

    fn start_tokens(&mut self, scope: &Scope) -> Option<AbortHandle> {
        let tokens = sources::of(scope.source)?.tokens.as_ref()?;
        let (client, news) = (self.management.clone(), self.news.clone());
        Some(
            self.tasks
                .spawn((tokens.follow)(client, scope.clone(), news)),
        )
    }

    /// Starts to watch the Machines of a scope, and to look up their instances if needed.
    fn start_machines(&mut self, scope: &Scope) -> Option<AbortHandle> {
        let source = sources::of(scope.source)?;
        let (client, news) = (self.management.clone(), self.news.clone());
        if let Some(follow) = source.cluster {
            let cluster = follow(client.clone(), scope.clone(), news.clone());
            let feed = (source.follow)(client, scope.clone(), news);
            return Some(self.tasks.spawn(async move {
                tokio::join!(feed, cluster);
            }));
        }
        let Some(look_up) = scope.look_up.clone() else {
            let feed = (source.follow)(client, scope.clone(), news);
            return Some(self.tasks.spawn(feed));
        };
        let (records, told) = mpsc::channel(RECORDS);
        let feed = (source.follow)(client, scope.clone(), records);
        let (cloud, metrics) = (Cloud::of_process(look_up), self.metrics.clone());
        let looking_up = instances::run(scope.clone(), cloud, told, news, metrics);
        Some(self.tasks.spawn(async move {
            tokio::join!(feed, looking_up);
        }))
    }

    /// Stops a feed: once this returns, it sends no more changes.
    ///
    /// # Errors
    /// If another feed ended by itself.
    pub(crate) async fn stop(&mut self, feed: &Feed) -> anyhow::Result<()> {
        let Some(handle) = self.running.remove(feed) else {
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

    /// Waits for a feed that ends by itself, which none should: returns the reason.
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

/// Returns an error unless the feed ended because it was stopped.
fn check(ended: Result<(), JoinError>) -> anyhow::Result<()> {
    match ended {
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(error).context("a feed of Machines panicked"),
        Ok(()) => bail!("a feed of Machines ended"),
    }
}
