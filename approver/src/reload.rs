//! Takes a changed configuration over while everything runs: feeds of Machines end and begin, the engine judges anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rollcall_approver_core::{Feed, Policy, Scope};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Mode;
use crate::config::Config;
use crate::config_file::ConfigFile;
use crate::connect::Known;
use crate::engine::Input;
use crate::kubelets::Kubelets;
use crate::machine_feeds::MachineFeeds;
use crate::metrics::Metrics;
use crate::mirror::{self, JoinWindows};

/// What a configuration comes to, together with what cannot change while the approver runs.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// What happens with a verdict.
    pub(crate) mode: Mode,
    /// The settings of the decision.
    pub(crate) policy: Policy,
    /// Where Machines are read.
    pub(crate) machines: BTreeSet<Scope>,
}

impl InForce {
    /// The feeds that run because the configuration names what they read.
    pub(crate) fn feeds(&self) -> BTreeSet<Feed> {
        let machines = self.machines.iter().cloned().map(Feed::Machines);
        let tokens = self.policy.bootstrap_tokens.iter().cloned();
        machines.chain(tokens.map(Feed::KubeadmConfigs)).collect()
    }

    /// What decisions rest on because the configuration names it.
    pub(crate) fn facts(&self) -> BTreeSet<Feed> {
        facts(&self.machines, &self.policy)
    }
}

/// What decisions rest on that are made of the Machines of these places by this policy.
pub(crate) fn facts<'s>(
    machines: impl IntoIterator<Item = &'s Scope>,
    policy: &Policy,
) -> BTreeSet<Feed> {
    let machines = machines.into_iter().flat_map(Scope::feeds);
    let tokens = policy.bootstrap_tokens.iter().cloned();
    machines.chain(tokens.map(Feed::KubeadmConfigs)).collect()
}

/// What stays as it was at the start, whatever the file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    /// The mode that the command line names: it outweighs the file.
    pub(crate) mode: Option<Mode>,
    /// What the connection says of the cluster.
    pub(crate) cluster: Known,
    /// How kubelets are dialled and verified: what is begun with that lasts as long as the approver runs.
    pub(crate) kubelets: Kubelets,
    /// The Auto Scaling Groups whose instances are mirrored.
    pub(crate) auto_scaling: Vec<mirror::Settings>,
    /// How long after their launch these instances are expected.
    pub(crate) join_windows: JoinWindows,
}

impl Fixed {
    /// Says what in a configuration counts from the next start only.
    fn tell_what_waits(&self, config: &Config) {
        if config.kubelets != self.kubelets {
            warn!(
                "how kubelets are dialled and verified changes with the next start of the approver"
            );
        }
        let windows = JoinWindows::of(&config.policy) != self.join_windows;
        if config.auto_scaling != self.auto_scaling || (windows && !self.auto_scaling.is_empty()) {
            warn!(
                "which Auto Scaling Groups are mirrored, and how long their instances are expected, changes with the next start of the approver"
            );
        }
    }

    /// What a configuration comes to.
    pub(crate) fn with(&self, config: &Config) -> InForce {
        let mut policy = config.policy.clone();
        self.cluster.add_to(&mut policy);
        InForce {
            mode: self.mode.unwrap_or(config.mode),
            policy,
            machines: config.machines.iter().cloned().collect(),
        }
    }
}

/// Everything that a changed configuration concerns.
pub(crate) struct Reload {
    fixed: Fixed,
    feeds: MachineFeeds,
    /// Where those look who write without being asked by the engine.
    mode: watch::Sender<Mode>,
}

impl Reload {
    /// Nothing runs yet.
    pub(crate) fn new(fixed: Fixed, feeds: MachineFeeds, mode: watch::Sender<Mode>) -> Self {
        Self { fixed, feeds, mode }
    }

    /// Starts the feeds of Machines that a configuration names, looks after them, and takes over whatever its file, if it
    /// came from one, says later.
    ///
    /// # Errors
    /// If a feed ends by itself.
    pub(crate) async fn run(
        mut self,
        config: Config,
        file: Option<PathBuf>,
        metrics: Metrics,
    ) -> anyhow::Result<()> {
        for feed in self.fixed.with(&config).feeds() {
            self.feeds.start(feed);
        }
        let Some(path) = file else {
            return Err(self.feeds.failure().await);
        };
        let mut file = ConfigFile::new(path, config, metrics);
        loop {
            tokio::select! {
                failure = self.feeds.failure() => return Err(failure),
                config = file.changed() => self.take_over(&config).await?,
            }
        }
    }

    /// The engine hears of it after the last news of the feeds that end, and before the first of those that begin: so no
    /// Machine outlives its source, and none is on the roll before its feed is waited for.
    async fn take_over(&mut self, config: &Config) -> anyhow::Result<()> {
        let in_force = self.fixed.with(config);
        let (mode, wanted) = (in_force.mode, in_force.feeds());
        let running = self.feeds.running();
        for feed in running.difference(&wanted) {
            self.feeds.stop(feed).await?;
        }
        self.feeds.tell(Input::Config(Box::new(in_force))).await?;
        for feed in wanted.difference(&running) {
            self.feeds.start(feed.clone());
        }
        self.mode.send_replace(mode);
        info!(
            ?mode,
            sources_started = wanted.difference(&running).count(),
            sources_stopped = running.difference(&wanted).count(),
            "the changed configuration is in force"
        );
        self.fixed.tell_what_waits(config);
        Ok(())
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
