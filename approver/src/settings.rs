//! The settings of a run: command line and configuration file, read, merged and checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::without_effect::{self, Remark};
use crate::config::{Config, ConfigError, Mode};
use crate::{ClusterArgs, RunArgs};

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file, where one was named: it is read again when it changes.
    pub(crate) config_file: Option<PathBuf>,
    /// What the file says, or the defaults.
    pub(crate) config: Config,
    /// What happens with a verdict, where the command line says so: that outweighs the file.
    pub(crate) mode: Option<Mode>,
    /// Kubeconfig of the cluster that nodes join, where one was named.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Kubeconfig of the cluster that keeps the Machine records, where one was named.
    pub(crate) management_kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease and of the record of claims, where one was named.
    pub(crate) namespace: Option<String>,
    /// Where to serve metrics and health, if at all.
    pub(crate) metrics_addr: Option<SocketAddr>,
    /// Where to serve health alone, if anywhere.
    pub(crate) probe_addr: Option<SocketAddr>,
    /// Whether only the holder of a Lease writes.
    pub(crate) leader_elect: bool,
}

impl Settings {
    /// What is to be said of settings and flags that have no effect as the others stand.
    pub(crate) fn remarks(&self) -> Vec<Remark> {
        let mut remarks = without_effect::remarks(&self.config, self.mode);
        if self.management_kubeconfig.is_some() && self.management_kubeconfig == self.kubeconfig {
            let why =
                "it names the file of --kubeconfig, whose cluster is asked for Machines anyway";
            remarks.push(Remark::idle("--management-kubeconfig", why));
        }
        if self.mode == Some(Mode::Audit) && !self.leader_elect {
            let why = "with --mode audit no replica writes, and none is elected";
            remarks.push(Remark::idle("--leader-elect", why));
        }
        remarks
    }
}

impl TryFrom<RunArgs> for Settings {
    type Error = ConfigError;

    fn try_from(args: RunArgs) -> Result<Self, Self::Error> {
        let RunArgs {
            cluster,
            mode,
            metrics_addr,
            probe_addr,
            leader_elect,
        } = args;
        let ClusterArgs {
            config: config_file,
            kubeconfig,
            management_kubeconfig,
            namespace,
        } = cluster;
        Ok(Self {
            config: Config::load_or_default(config_file.as_deref())?,
            config_file,
            mode,
            kubeconfig,
            management_kubeconfig,
            namespace,
            metrics_addr,
            probe_addr,
            leader_elect,
        })
    }
}
