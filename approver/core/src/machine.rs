//! A Machine: one record of a machine that somebody asked for, whatever API keeps it.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::NodeName;

/// The API that a Machine record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `machine.openshift.io/v1beta1` Machines.
    OpenShift,
}

impl Source {
    /// The word for it in logs, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenShift => "openshift",
        }
    }
}

/// The `metadata.uid` of a Machine: it tells a Machine from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineUid(pub String);

/// Where to find a Machine: what a person types after `kubectl get machine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineReference {
    /// Its namespace; empty for cluster-scoped records.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for MachineReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// One address of a Machine (Kubernetes: `core/v1` `NodeAddressType`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A DNS name that resolves outside the cluster's network.
    ExternalDns(NodeName),
    /// An address that is reached from outside the cluster's network.
    ExternalIp(IpAddr),
    /// The name the machine calls itself.
    Hostname(NodeName),
    /// A DNS name that resolves inside the cluster's network.
    InternalDns(NodeName),
    /// An address inside the cluster's network.
    InternalIp(IpAddr),
}

/// One record of the roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The API it comes from.
    pub source: Source,
    /// What tells it from a later Machine of the same name.
    pub uid: MachineUid,
    /// Where to find it.
    pub reference: MachineReference,
    /// The cloud's name for the instance, once there is one.
    pub provider_id: Option<String>,
    /// What it is reached by, as its infrastructure reports it.
    pub addresses: Vec<Address>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// Whether somebody asked for its deletion.
    pub deleting: bool,
    /// Whether it has failed for good: its controller will never touch it again.
    pub failed: bool,
    /// Its phase, in the words of its API, to be shown.
    pub phase: Option<String>,
    /// The Node it became.
    pub node_reference: Option<NodeName>,
    /// The set of like machines that it belongs to.
    pub pool: Option<String>,
}
