//! What the core is told: news from the watches, and how writes ended.

use std::collections::HashSet;

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use crate::{
    Authority, Claim, ClusterAddresses, Feed, HealthCheck, KubeadmConfig, Machine,
    MachineReference, MachineUid, Node, Request, RequestUid, Scope, Served, Source,
};

/// One piece of news from a watch.
#[derive(Clone, Debug)]
pub enum Change {
    /// A claim that was recorded earlier.
    Claimed(Claim),
    /// One of the watches of the cluster's own names and addresses, named as in [`Feed::ClusterAddresses`], brought these and
    /// no other.
    ClusterAddresses(String, Vec<ClusterAddresses>),
    /// A MachineHealthCheck appeared or changed.
    HealthCheck(Box<HealthCheck>),
    /// A MachineHealthCheck is gone.
    HealthCheckGone(Source, MachineReference),
    /// A full list of the MachineHealthChecks of one scope ended: these are all.
    HealthCheckList(Scope, HashSet<MachineReference>),
    /// A KubeadmConfig appeared or changed.
    KubeadmConfig(KubeadmConfig),
    /// A KubeadmConfig is gone, or cannot be read any more.
    KubeadmConfigGone(MachineReference),
    /// A full list of the KubeadmConfigs of one scope ended: these are all.
    KubeadmConfigList(Scope, HashSet<MachineReference>),
    /// One of the sources of the kubelet CA, named as in [`Feed::KubeletCa`], holds these certificates and no other.
    KubeletCa(String, Vec<Authority>),
    /// A feed broke; it was last known to be up to date at this time.
    Lost(Feed, Timestamp),
    /// A Machine appeared or changed.
    Machine(Box<Machine>),
    /// A Machine is gone.
    MachineGone(MachineUid),
    /// A full list of the Machines of one scope ended: these are all.
    MachineList(Scope, HashSet<MachineUid>),
    /// A Node appeared or changed.
    Node(NodeName, Node),
    /// A Node is gone.
    NodeGone(NodeName),
    /// When the Lease of a Node was last renewed, if there is one, or why it cannot be read.
    NodeLease(NodeName, Result<Option<Timestamp>, String>),
    /// A full list of the Nodes ended: these are all.
    NodeList(HashSet<NodeName>),
    /// A request appeared or changed.
    Request(Box<Request>),
    /// A request is gone.
    RequestGone(RequestUid),
    /// A full list of the requests to one signer ended: these are all.
    RequestList(Signer, HashSet<RequestUid>),
    /// A node was dialled.
    Served(NodeName, Served),
    /// A feed is complete and up to date.
    Synced(Feed),
}

/// How the write of an approval or denial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It may have been written: the Machine stays spent until the request is seen again.
    Unknown,
    /// It was certainly not written, and the API server does not take it as it is: until a write of it ends well, the request
    /// stands in the way of no other.
    Refused,
    /// It was certainly not written.
    Undone,
    /// It was written.
    Written,
}
