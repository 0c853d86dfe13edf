//! A Machine: one record of a machine that somebody asked for, whatever API keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::Feed;

/// The API that a Machine record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `cluster.x-k8s.io` Machines.
    ClusterApi,
    /// `rollcall.dev/v1alpha1` ExpectedMachines.
    ExpectedMachine,
    /// `machine.sapcloud.io/v1alpha1` Machines of Gardener's machine-controller-manager.
    Gardener,
    /// `karpenter.sh/v1` NodeClaims.
    Karpenter,
    /// `machine.openshift.io/v1beta1` Machines.
    OpenShift,
}

impl Source {
    /// The word for it in the configuration, logs, metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterApi => "clusterAPI",
            Self::ExpectedMachine => "expectedMachines",
            Self::Gardener => "gardener",
            Self::Karpenter => "karpenter",
            Self::OpenShift => "openshift",
        }
    }
}

/// Who is asked for the names and addresses of instances whose records have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookUp {
    /// Amazon EC2.
    Ec2 {
        /// The region of the instances; none for the approver's own.
        region: Option<String>,
    },
}

/// Where Machine records are read: those of one source, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The API.
    pub source: Source,
    /// The namespace; empty for all of them, and for records that are in none.
    pub namespace: String,
    /// A label and the value that the records have; without it, all are read.
    pub label: Option<(String, String)>,
    /// Who knows what the records do not say of their instances.
    pub look_up: Option<LookUp>,
}

impl Scope {
    /// The records of a source in a namespace; an empty one means all.
    pub fn new(source: Source, namespace: &str) -> Self {
        Self {
            source,
            namespace: namespace.to_owned(),
            label: None,
            look_up: None,
        }
    }

    /// What decisions about these Machines rest on: their records, and the look-up of their instances if there is one.
    pub fn feeds(&self) -> impl Iterator<Item = Feed> {
        let look_up = self.look_up.is_some();
        let look_up = look_up.then(|| Feed::Instances(self.clone()));
        std::iter::once(Feed::Machines(self.clone())).chain(look_up)
    }

    /// Whether a Machine is read here.
    pub fn covers(&self, machine: &Machine) -> bool {
        let labelled = |(key, value): &(String, String)| machine.labels.get(key) == Some(value);
        machine.source == self.source
            && (self.namespace.is_empty() || machine.reference.namespace == self.namespace)
            && self.label.as_ref().is_none_or(labelled)
    }
}

/// `openshift in openshift-machine-api`, `karpenter`, or `clusterAPI of prod`, where the label has that value.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_str())?;
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        match &self.label {
            Some((_, value)) => write!(f, " of {value}"),
            None => Ok(()),
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

/// The public key that a record pins: who joins as this Machine has to prove that they hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinKey {
    /// The DER of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    Spki(Vec<u8>),
    /// The record pins something that is no key, for this reason: nobody can prove that they hold it.
    Unreadable(String),
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
    /// Addresses of the record that are neither a name nor an IP address, as they stand there: others wrote them. No
    /// decision rests on them.
    pub unread_addresses: Vec<String>,
    /// The uid of the Node that was there before the record, where the record was made for it.
    pub adopted_node: Option<String>,
    /// The ids of the bootstrap tokens that were made for this Machine alone.
    pub bootstrap_tokens: BTreeSet<String>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// Until when it may ask for its first certificate, where the record says so itself; otherwise the policy's join
    /// window counts.
    pub join_by: Option<Timestamp>,
    /// The key that whoever joins as this Machine has to hold.
    pub join_key: Option<JoinKey>,
    /// Whether somebody asked for its deletion.
    pub deleting: bool,
    /// Whether it has failed for good: its controller will never touch it again.
    pub failed: bool,
    /// The KubeadmConfig in its namespace that says how it joins, where its API has such.
    pub kubeadm_config: Option<String>,
    /// Its labels, by which MachineHealthChecks select it.
    pub labels: BTreeMap<String, String>,
    /// Its phase, in the words of its API, to be shown.
    pub phase: Option<String>,
    /// The Node it became.
    pub node_reference: Option<NodeName>,
    /// The set of like machines that it belongs to.
    pub pool: Option<String>,
    /// Since when its instance is ready, as its record says: from then on it can be expected to ask.
    pub ready_at: Option<Timestamp>,
    /// The region of its cloud.
    pub region: Option<String>,
    /// What asks for its replacement or repair, where something does: nothing more is approved for it.
    pub remediation: Option<String>,
    /// Since when a MachineHealthCheck counts how long it takes to join.
    pub startup_from: Option<Timestamp>,
    /// The failure domain in its region.
    pub zone: Option<String>,
}

impl Machine {
    /// A record that says only that the Machine is expected since then.
    pub fn new(
        source: Source,
        uid: MachineUid,
        reference: MachineReference,
        created_at: Timestamp,
    ) -> Self {
        Self {
            source,
            uid,
            reference,
            provider_id: None,
            addresses: Vec::new(),
            unread_addresses: Vec::new(),
            adopted_node: None,
            bootstrap_tokens: BTreeSet::new(),
            created_at,
            join_by: None,
            join_key: None,
            deleting: false,
            failed: false,
            kubeadm_config: None,
            labels: BTreeMap::new(),
            phase: None,
            node_reference: None,
            pool: None,
            ready_at: None,
            region: None,
            remediation: None,
            startup_from: None,
            zone: None,
        }
    }

    /// Whether this is the same machine as another record is of. Two sources may know one machine: OpenShift and Cluster
    /// API mirror each other's Machines, and an ExpectedMachine may stand beside either. Records of one source are always
    /// of different machines. The instance tells; where a record names none, the Node that both have become.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let same = match (&self.provider_id, &other.provider_id) {
            (Some(one), Some(another)) => one == another,
            (None, _) | (_, None) => {
                self.node_reference.is_some() && self.node_reference == other.node_reference
            }
        };
        self.source != other.source && same
    }

    /// The cloud's name or id of the instance: what its providerID ends in, after the provider and the place.
    pub fn instance(&self) -> Option<&str> {
        let (_, path) = self.provider_id.as_deref()?.split_once("://")?;
        path.rsplit('/').next().filter(|last| !last.is_empty())
    }

    /// A part of its providerID after the provider, counted from one, without those that are empty: `host-1` is the second
    /// of `metal3://fleet/host-1/worker-0`.
    pub(crate) fn provider_id_part(&self, number: usize) -> Option<&str> {
        let (_, path) = self.provider_id.as_deref()?.split_once("://")?;
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.nth(number.checked_sub(1)?)
    }
}
