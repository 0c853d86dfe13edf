//! The facts: the state of the cluster that is relevant to one request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use crate::{
    Claim, Dialled, Finding, KnownAddresses, KubeadmConfig, KubeletCa, Machine, MachineReference,
    Policy, Request, ServerName, Stale, Verified,
};

/// A Node, reduced to the fields that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its `metadata.uid`.
    pub uid: String,
    /// The creation time.
    pub created_at: Timestamp,
    /// True if it is ready to run Pods.
    pub ready: bool,
    /// The time of the last change of `ready`.
    pub ready_since: Option<Timestamp>,
    /// The time of the kubelet's last status report, by the kubelet's clock.
    pub last_heartbeat: Option<Timestamp>,
    /// The cloud's id of the instance (`spec.providerID`). The kubelet or the cloud controller writes it, once.
    pub provider_id: Option<String>,
    /// The UUID of the hardware (`status.nodeInfo.systemUUID`), as the kubelet reports it.
    pub system_uuid: Option<String>,
    /// The id of the installation (`status.nodeInfo.machineID`), as the kubelet reports it.
    pub machine_id: Option<String>,
    /// The IP addresses in the status. The kubelet writes them: they can count against other requests, but never for one.
    pub addresses: Vec<IpAddr>,
    /// True if it has the label of control-plane nodes, which kubelets cannot set themselves (Kubernetes: admission
    /// plug-in NodeRestriction).
    pub control_plane: bool,
    /// The conditions, if they are kept, for MachineHealthChecks. No decision depends on them.
    pub conditions: Vec<NodeCondition>,
}

impl Node {
    /// A Node without further fields.
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

    /// Returns true if the other version of the Node differs at most in the kubelet's heartbeat.
    pub(crate) fn is_same_but_for_heartbeat(&self, other: &Self) -> bool {
        // Field by field: a heartbeat must cost no copy.
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
    /// The type, such as `Ready`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The time of the last change of the status.
    pub since: Timestamp,
}

/// The Lease of a kubelet, which shows that it runs (Kubernetes: Leases in `kube-node-lease`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLease {
    /// The time of the read.
    pub at: Timestamp,
    /// The last renewal, if there is a Lease, or the error of reading it.
    pub renewed: Result<Option<Timestamp>, String>,
}

/// All facts for one request.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The feed that is stale, if any.
    pub stale: Option<Stale>,
    /// The Machines that own the requested node name, each by one of its records.
    pub owners: Vec<&'a Machine>,
    /// The Machines that are bound to the Node of that name, by their node reference, each by one of its records.
    pub bound: Vec<&'a Machine>,
    /// The records of these Machines in other sources.
    pub mirrors: Vec<&'a Machine>,
    /// The records that may not vouch for names and join windows ([`crate::Vouching`]).
    pub unheard: Vec<&'a Machine>,
    /// The requested names and addresses that belong to Machines other than the Node's, with the Machines.
    pub elsewhere: Vec<(ServerName, &'a MachineReference)>,
    /// The requested addresses that are in the status of other Nodes, with the Nodes.
    pub stated: Vec<(ServerName, &'a NodeName)>,
    /// The known names and addresses of the cluster itself.
    pub cluster_addresses: Option<&'a KnownAddresses>,
    /// The bootstrap tokens of this request and its rivals, by id, each with the Machines that it was created for. Tokens for
    /// no specific Machine are omitted.
    pub tokens: BTreeMap<&'a str, Vec<&'a Machine>>,
    /// The KubeadmConfigs of the Machine that owns the name, if one does and they are read.
    pub kubeadm_configs: Vec<KubeadmConfig>,
    /// The Node of that name.
    pub node: Option<&'a Node>,
    /// The Machines with the same instance as that Node, regardless of the names they own.
    pub of_instance: Vec<&'a Machine>,
    /// True if the Lease of a Node is read when a decision needs it.
    pub asks_leases: bool,
    /// The Lease of that Node, if it was read.
    pub lease: Option<&'a NodeLease>,
    /// The certificates already approved for the Machine, if one owns the name: one claim per key.
    pub claims: Vec<Claim>,
    /// The requests by which they were approved, by key, if they still exist: at most two per key.
    pub live: Vec<(KeyHash, &'a Request)>,
    /// True if there are too many claims to record another one.
    pub full: bool,
    /// Other pending requests for the same node name and signer, the newest first.
    pub rivals: Vec<&'a Request>,
    /// True if there are so many rivals that the oldest are omitted.
    pub crowded: bool,
    /// The last time that a certificate of this node was known to be in use.
    pub used: Option<Timestamp>,
    /// The latest known approval of a client certificate for this node, and its key.
    pub latest: Option<(Timestamp, KeyHash)>,
    /// The cache of verified certificates.
    pub verified: Option<&'a Verified>,
    /// The result of the last dial of the node, if there was one.
    pub served: Option<&'a Dialled>,
    /// The CA certificates that verify kubelets' certificates, if configured.
    pub kubelet_ca: Option<&'a KubeletCa>,
}

impl<'a> Facts<'a> {
    /// All records of a Machine. Each may count against it; [`Facts::vouching`] and `unheard` determine which count for
    /// it.
    pub(crate) fn records(&self, machine: &'a Machine) -> impl Iterator<Item = &'a Machine> {
        let same = |record: &&'a Machine| record.is_same_as(machine);
        std::iter::once(machine).chain(self.mirrors.iter().copied().filter(same))
    }

    /// The records of a Machine that vouch for its names and addresses.
    pub(crate) fn vouching(&self, machine: &'a Machine, policy: &Policy) -> Vec<&'a Machine> {
        let records: Vec<&Machine> = self.records(machine).collect();
        let says = |record: &Machine| !record.addresses.is_empty();
        policy.vouching.speakers(&records, says)
    }

    /// Runs a check on all records of a Machine; of several findings with the same reason, keeps the first.
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
