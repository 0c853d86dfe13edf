//! The facts: what the cluster says that matters to one request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use crate::{
    Claim, Dialled, Finding, KnownAddresses, KubeadmConfig, KubeletCa, Machine, MachineReference,
    Request, ServerName, Stale, Verified,
};

/// A Node, reduced to what a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its `metadata.uid`.
    pub uid: String,
    /// When it registered.
    pub created_at: Timestamp,
    /// Whether it is ready to take Pods.
    pub ready: bool,
    /// Since when it is that, or is not.
    pub ready_since: Option<Timestamp>,
    /// When its kubelet last reported its status, by the kubelet's clock.
    pub last_heartbeat: Option<Timestamp>,
    /// The cloud's name for the instance (`spec.providerID`). The kubelet or the cloud's controller writes it, once.
    pub provider_id: Option<String>,
    /// The UUID of its hardware (`status.nodeInfo.systemUUID`), as its kubelet reports it.
    pub system_uuid: Option<String>,
    /// The id of its installation (`status.nodeInfo.machineID`), as its kubelet reports it.
    pub machine_id: Option<String>,
    /// The IP addresses that it states. Its kubelet writes them: they count against what others ask for, and for nothing.
    pub addresses: Vec<IpAddr>,
    /// Whether it bears the label of control-plane nodes, which kubelets cannot give themselves (Kubernetes: admission
    /// plug-in NodeRestriction).
    pub control_plane: bool,
    /// Its conditions, where they are kept: MachineHealthChecks look at them. No decision rests on them.
    pub conditions: Vec<NodeCondition>,
}

impl Node {
    /// A Node of which nothing more is known.
    pub fn new(uid: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            uid: uid.into(),
            created_at,
            ready: false,
            ready_since: None,
            last_heartbeat: None,
            provider_id: None,
            system_uuid: None,
            machine_id: None,
            addresses: Vec::new(),
            control_plane: false,
            conditions: Vec::new(),
        }
    }

    /// Whether another account of the Node says the same, but for when its kubelet was last heard.
    pub(crate) fn is_same_but_for_heartbeat(&self, other: &Self) -> bool {
        // Named one by one: a heartbeat must cost no copy.
        let Self {
            uid,
            created_at,
            ready,
            ready_since,
            last_heartbeat: _,
            provider_id,
            system_uuid,
            machine_id,
            addresses,
            control_plane,
            conditions,
        } = self;
        *uid == other.uid
            && *created_at == other.created_at
            && *ready == other.ready
            && *ready_since == other.ready_since
            && *provider_id == other.provider_id
            && *system_uuid == other.system_uuid
            && *machine_id == other.machine_id
            && *addresses == other.addresses
            && *control_plane == other.control_plane
            && *conditions == other.conditions
    }
}

/// One condition of a Node (Kubernetes: `core/v1` `NodeCondition`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCondition {
    /// Which one, such as `Ready`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when it has this status.
    pub since: Timestamp,
}

/// What was learnt of the Lease by which a kubelet shows that it runs (Kubernetes: Leases in `kube-node-lease`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLease {
    /// When the answer came.
    pub at: Timestamp,
    /// When it was last renewed, if there is one, or why it cannot be read.
    pub renewed: Result<Option<Timestamp>, String>,
}

/// Everything known that bears on one request.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The feed that can no longer be trusted, if there is one.
    pub stale: Option<Stale>,
    /// The Machines that own the node name asked for, each by one of its records.
    pub owners: Vec<&'a Machine>,
    /// The Machines that have become the Node of that name, by their node reference, each by one of its records.
    pub bound: Vec<&'a Machine>,
    /// What other sources know of these Machines.
    pub mirrors: Vec<&'a Machine>,
    /// Those of the requested names and addresses that Machines have which have not become the Node, with the Machines.
    pub elsewhere: Vec<(ServerName, &'a MachineReference)>,
    /// Those of the requested addresses that Nodes of other names state, with the Nodes.
    pub stated: Vec<(ServerName, &'a NodeName)>,
    /// The cluster's own names and addresses, as far as they are known.
    pub cluster_addresses: Option<&'a KnownAddresses>,
    /// The bootstrap tokens that this request and its rivals came with, by their ids, each with the Machines that it was made
    /// for. A token that was made for no Machine in particular is not among them.
    pub tokens: BTreeMap<&'a str, Vec<&'a Machine>>,
    /// How the machine joins that owns the name, when one does, and where that is read.
    pub kubeadm_configs: Vec<KubeadmConfig>,
    /// The Node of that name.
    pub node: Option<&'a Node>,
    /// The Machines whose instance is that Node's, whatever names they own.
    pub of_instance: Vec<&'a Machine>,
    /// Whether the Lease of a Node is asked for where a decision needs it.
    pub asks_leases: bool,
    /// What is known of the Lease of that Node, if it was asked for.
    pub lease: Option<&'a NodeLease>,
    /// The certificates already approved for the Machine, when one Machine owns the name: one claim for each key.
    pub claims: Vec<Claim>,
    /// The requests by which they were approved, by key, as far as these are still there: of one key, two at most.
    pub live: Vec<(KeyHash, &'a Request)>,
    /// Whether there are so many claims that no further one could be recorded.
    pub full: bool,
    /// Other pending requests for the same node name and signer, the newest first.
    pub rivals: Vec<&'a Request>,
    /// Whether there are so many rivals that the oldest of them are left out.
    pub crowded: bool,
    /// When a holder of a certificate for this node last showed that it uses it, as far as is known.
    pub used: Option<Timestamp>,
    /// The latest approval of a client certificate for this node that is known, and the key that it is for.
    pub latest: Option<(Timestamp, KeyHash)>,
    /// Which certificates are known to be of the kubelet CA.
    pub verified: Option<&'a Verified>,
    /// What the node served when it was last dialled, if it was.
    pub served: Option<&'a Dialled>,
    /// What the certificates of kubelets are verified against, where that is looked for.
    pub kubelet_ca: Option<&'a KubeletCa>,
}

impl<'a> Facts<'a> {
    /// Every record of a Machine. One that vouches is enough, and each may speak against it.
    pub(crate) fn records(&self, machine: &'a Machine) -> impl Iterator<Item = &'a Machine> {
        let same = |record: &&'a Machine| record.is_same_as(machine);
        std::iter::once(machine).chain(self.mirrors.iter().copied().filter(same))
    }

    /// What speaks against any record of a Machine; of what several say, the first.
    pub(crate) fn check_records<I: Iterator<Item = Finding>>(
        &self,
        machine: &'a Machine,
        check: fn(&Machine) -> I,
    ) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for finding in self.records(machine).flat_map(check) {
            if findings.iter().all(|known| known.reason != finding.reason) {
                findings.push(finding);
            }
        }
        findings
    }
}
