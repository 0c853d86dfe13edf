//! The options of a control plane.

use std::net::IpAddr;
use std::time::Duration;

use crate::assets::Assets;

/// The default of `--cluster-signing-duration`: one year, as in Kubernetes.
const SIGNING_DURATION: Duration = Duration::from_secs(8760 * 3600);

/// The options of a control plane. By default, only Rollcall approves.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) assets: Option<Assets>,
    pub(crate) cluster_signing_duration: Duration,
    pub(crate) csr_approving: bool,
    pub(crate) node_address: Option<IpAddr>,
    pub(crate) san_ips: Vec<IpAddr>,
    pub(crate) api_server_flags: Vec<String>,
    pub(crate) controller_manager_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            assets: None,
            cluster_signing_duration: SIGNING_DURATION,
            csr_approving: false,
            node_address: None,
            san_ips: Vec::new(),
            api_server_flags: Vec::new(),
            controller_manager_flags: Vec::new(),
        }
    }
}

impl Options {
    /// Uses these programs; otherwise [`Assets::locate`] finds or builds them, with its progress on standard error.
    #[must_use]
    pub fn assets(mut self, assets: Assets) -> Self {
        self.assets = Some(assets);
        self
    }

    /// The validity of certificates that kube-controller-manager signs (`--cluster-signing-duration`).
    #[must_use]
    pub fn cluster_signing_duration(mut self, duration: Duration) -> Self {
        self.cluster_signing_duration = duration;
        self
    }

    /// Runs kube-controller-manager's own approver too. Off by default.
    #[must_use]
    pub fn csr_approving(mut self, on: bool) -> Self {
        self.csr_approving = on;
        self
    }

    /// Makes the API server reachable at this address too (the host's end of a node's network,
    /// [`crate::node::Network::host_address`]), and uses it in the kubeconfigs for machines.
    #[must_use]
    pub fn reachable_at(mut self, address: IpAddr) -> Self {
        self.node_address = Some(address);
        self
    }

    /// Adds addresses to the API server's certificate.
    #[must_use]
    pub fn san_ips(mut self, addresses: &[IpAddr]) -> Self {
        self.san_ips.extend_from_slice(addresses);
        self
    }

    /// Adds a flag for kube-apiserver.
    #[must_use]
    pub fn api_server_flag(mut self, flag: impl Into<String>) -> Self {
        self.api_server_flags.push(flag.into());
        self
    }

    /// Adds a flag for kube-controller-manager.
    #[must_use]
    pub fn controller_manager_flag(mut self, flag: impl Into<String>) -> Self {
        self.controller_manager_flags.push(flag.into());
        self
    }
}
