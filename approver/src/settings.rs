//! The settings of a run: command line and configuration file, read, merged and checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use rollcall_approver_core::{Policy, Scope};

use crate::config::{Config, ConfigError, Mode};
use crate::kubelets::Kubelets;
use crate::{ClusterArgs, RunArgs};

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kubeconfig of the cluster that nodes join, where one was named.
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig of the cluster that keeps the Machine records, where one was named.
    pub management_kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease and of the record of claims, where one was named.
    pub namespace: Option<String>,
    /// What happens with a verdict.
    pub mode: Mode,
    /// Where to serve metrics and health, if at all.
    pub metrics_addr: Option<SocketAddr>,
    /// Whether only the holder of a Lease writes.
    pub leader_elect: bool,
    /// The settings of the decision.
    pub policy: Policy,
    /// Where the Machine records are.
    pub machines: Vec<Scope>,
    /// How kubelets are dialled and verified.
    pub(crate) kubelets: Kubelets,
}

impl TryFrom<RunArgs> for Settings {
    type Error = ConfigError;

    fn try_from(args: RunArgs) -> Result<Self, Self::Error> {
        let RunArgs {
            cluster,
            mode,
            metrics_addr,
            leader_elect,
        } = args;
        let ClusterArgs {
            config,
            kubeconfig,
            management_kubeconfig,
            namespace,
        } = cluster;
        let config = Config::load_or_default(config.as_deref())?;
        Ok(Self {
            kubeconfig,
            management_kubeconfig,
            namespace,
            mode: mode.unwrap_or(config.mode),
            metrics_addr,
            leader_elect,
            policy: config.policy,
            machines: config.machines,
            kubelets: config.kubelets,
        })
    }
}
