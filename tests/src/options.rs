//! What can differ between two control planes.

use std::net::IpAddr;
use std::time::Duration;

use crate::assets::Assets;

/// The default of `--cluster-signing-duration`: one year, as in Kubernetes.
const SIGNING_DURATION: Duration = Duration::from_secs(8760 * 3600);

/// How a control plane is to be started. The default is what tests of Rollcall want: nobody but Rollcall approves.
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

    /// How long the certificates that kube-controller-manager signs are valid (`--cluster-signing-duration`).
    #[must_use]
    pub fn cluster_signing_duration(mut self, duration: Duration) -> Self {
        self.cluster_signing_duration = duration;
        self
    }

    /// Whether kube-controller-manager's own approver runs beside its signer. Off by default.
    #[must_use]
    pub fn csr_approving(mut self, on: bool) -> Self {
        self.csr_approving = on;
        self
    }

    /// Makes the API server reachable at this address too (the host's end of a node's network,
    /// [`crate::node::Network::host_address`]), and puts it into the kubeconfigs that are meant for machines.
    #[must_use]
    pub fn reachable_at(mut self, address: IpAddr) -> Self {
        self.node_address = Some(address);
        self
    }

    /// More addresses for the API server's certificate.
    #[must_use]
    pub fn san_ips(mut self, addresses: &[IpAddr]) -> Self {
        self.san_ips.extend_from_slice(addresses);
        self
    }

    /// One more flag for kube-apiserver, as on its command line.
    #[must_use]
    pub fn api_server_flag(mut self, flag: impl Into<String>) -> Self {
        self.api_server_flags.push(flag.into());
        self
    }

    /// One more flag for kube-controller-manager, as on its command line.
    #[must_use]
    pub fn controller_manager_flag(mut self, flag: impl Into<String>) -> Self {
        self.controller_manager_flags.push(flag.into());
        self
    }
}
