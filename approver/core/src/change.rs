//! The inputs of the core: changes from the watches, and the results of writes.

use std::collections::HashSet;

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use crate::{
    Authority, Claim, ClusterAddresses, Feed, HealthCheck, KubeadmConfig, Machine,
    MachineReference, MachineUid, Node, Request, RequestUid, Scope, Served, Source,
};

/// One change from a watch.
#[derive(Clone, Debug)]
pub enum Change {
    /// A claim that was recorded earlier.
    Claimed(Claim),
    /// One of the watches of the cluster's own names and addresses, named as in [`Feed::ClusterAddresses`], now has exactly
    /// these.
    ClusterAddresses(String, Vec<ClusterAddresses>),
    /// A MachineHealthCheck appeared or changed.
    HealthCheck(Box<HealthCheck>),
    /// A MachineHealthCheck was deleted.
    HealthCheckGone(Source, MachineReference),
    /// The complete list of the MachineHealthChecks of one scope.
    HealthCheckList(Scope, HashSet<MachineReference>),
    /// A KubeadmConfig appeared or changed.
    KubeadmConfig(KubeadmConfig),
    /// A KubeadmConfig was deleted, or is no longer readable.
    KubeadmConfigGone(MachineReference),
    /// The complete list of the KubeadmConfigs of one scope.
    KubeadmConfigList(Scope, HashSet<MachineReference>),
    /// One of the sources of the kubelet CA, named as in [`Feed::KubeletCa`], now has exactly these certificates.
    KubeletCa(String, Vec<Authority>),
    /// A watch failed; it was last up to date at this time.
    Lost(Feed, Timestamp),
    /// A Machine appeared or changed.
    Machine(Box<Machine>),
    /// A Machine was deleted.
    MachineGone(MachineUid),
    /// The complete list of the Machines of one scope.
    MachineList(Scope, HashSet<MachineUid>),
    /// A Node appeared or changed.
    Node(NodeName, Node),
    /// A Node was deleted.
    NodeGone(NodeName),
    /// The last renewal of a Node's Lease, if it has one, or the error of reading it.
    NodeLease(NodeName, Result<Option<Timestamp>, String>),
    /// The complete list of the Nodes.
    NodeList(HashSet<NodeName>),
    /// A request appeared or changed.
    Request(Box<Request>),
    /// A request was deleted.
    RequestGone(RequestUid),
    /// The complete list of the requests to one signer.
    RequestList(Signer, HashSet<RequestUid>),
    /// A node was dialled.
    Served(NodeName, Served),
    /// A feed is synced.
    Synced(Feed),
}

/// The result of writing an approval or denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It may have been written: the Machine stays spent until the watch shows the request again.
    Unknown,
    /// It was certainly not written, and the API server rejects it as it is: until a write succeeds, the request does not
    /// block others.
    Refused,
    /// It was certainly not written.
    Undone,
    /// It was written.
    Written,
}
