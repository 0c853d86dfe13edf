//! Applies a changed configuration at run time: feeds of Machines stop and start, and the engine decides all requests again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rollcall_approver_core::{Feed, Policy, Scope};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::Mode;
use crate::config::{Config, without_effect};
use crate::config_file::ConfigFile;
use crate::connect::Known;
use crate::engine::Input;
use crate::kubelets::Kubelets;
use crate::machine_feeds::MachineFeeds;
use crate::metrics::Metrics;
use crate::mirror::{self, JoinWindows};

/// The effective configuration: the file together with the settings that cannot change while the approver runs.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// The mode: what is done with a verdict.
    pub(crate) mode: Mode,
    /// The settings of the decision.
    pub(crate) policy: Policy,
    /// The scopes in which Machines are read.
    pub(crate) machines: BTreeSet<Scope>,
}

impl InForce {
    /// The feeds that run because the configuration names their objects.
    pub(crate) fn feeds(&self) -> BTreeSet<Feed> {
        let machines = self.machines.iter().cloned().map(Feed::Machines);
        let tokens = self.policy.bootstrap_tokens.iter().cloned();
        machines.chain(tokens.map(Feed::KubeadmConfigs)).collect()
    }

    /// The feeds that decisions depend on because the configuration names them.
    pub(crate) fn facts(&self) -> BTreeSet<Feed> {
        facts(&self.machines, &self.policy)
    }
}

/// The feeds that decisions depend on with the Machines of these scopes and this policy.
pub(crate) fn facts<'s>(
    machines: impl IntoIterator<Item = &'s Scope>,
    policy: &Policy,
) -> BTreeSet<Feed> {
    let machines = machines.into_iter().flat_map(Scope::feeds);
    let tokens = policy.bootstrap_tokens.iter().cloned();
    machines.chain(tokens.map(Feed::KubeadmConfigs)).collect()
}

/// The settings that stay as they were at the start, regardless of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    /// The mode of the command line, which overrides the file.
    pub(crate) mode: Option<Mode>,
    /// The facts about the cluster that come from the connection.
    pub(crate) cluster: Known,
    /// The settings by which kubelets are dialled and verified: their feeds and dials last as long as the approver runs.
    pub(crate) kubelets: Kubelets,
    /// The Auto Scaling Groups with mirrored instances.
    pub(crate) auto_scaling: Vec<mirror::Settings>,
    /// The time after their launch in which these instances are expected.
    pub(crate) join_windows: JoinWindows,
}

impl Fixed {
    /// Logs the changed settings that take effect only after a restart.
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

    /// The effective configuration for a configuration.
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

/// All parts that a changed configuration affects.
pub(crate) struct Reload {
    fixed: Fixed,
    feeds: MachineFeeds,
    /// The mode for the tasks that write independently of the engine.
    mode: watch::Sender<Mode>,
}

impl Reload {
    /// Creates the state before any feed runs.
    pub(crate) fn new(fixed: Fixed, feeds: MachineFeeds, mode: watch::Sender<Mode>) -> Self {
        Self { fixed, feeds, mode }
    }

    /// Starts the feeds of Machines that a configuration names, supervises them, and applies later changes of its file, if
    /// it came from one.
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

    /// The engine gets the new configuration after the last input of the feeds that stop, and before the first of those that
    /// start: so no Machine outlives its source, and none is on the roll before its feed is waited for.
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
        without_effect::tell(without_effect::remarks(config, self.fixed.mode));
        self.fixed.tell_what_waits(config);
        Ok(())
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
