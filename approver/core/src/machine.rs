//! A Machine: one record of a machine that somebody asked for, whatever API keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::instance::{self, is_uuid};
use crate::{Feed, Node};

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

    /// What decisions about these Machines rest on: their records, the look-up of their instances if there is one, and what
    /// their API says of their cluster.
    pub fn feeds(&self) -> impl Iterator<Item = Feed> {
        let look_up = self.look_up.is_some();
        let look_up = look_up.then(|| Feed::Instances(self.clone()));
        let of_cluster = self.source == Source::ClusterApi;
        let of_cluster = of_cluster.then(|| Feed::ClusterAddresses(self.to_string()));
        std::iter::once(Feed::Machines(self.clone()))
            .chain(look_up)
            .chain(of_cluster)
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

impl Address {
    /// The name that its infrastructure gives the host inside the cluster's network.
    fn host(&self) -> Option<&NodeName> {
        match self {
            Self::Hostname(name) | Self::InternalDns(name) => Some(name),
            Self::ExternalDns(_) | Self::ExternalIp(_) | Self::InternalIp(_) => None,
        }
    }
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
    /// Whether its record says that it is of the control plane.
    pub control_plane: bool,
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
    /// The id of its installation (`/etc/machine-id`), where the record says so.
    pub machine_id: Option<String>,
    /// The UUID of its hardware, where the record says so.
    pub system_uuid: Option<String>,
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
            control_plane: false,
            deleting: false,
            failed: false,
            kubeadm_config: None,
            labels: BTreeMap::new(),
            phase: None,
            node_reference: None,
            pool: None,
            ready_at: None,
            machine_id: None,
            system_uuid: None,
            region: None,
            remediation: None,
            startup_from: None,
            zone: None,
        }
    }

    /// Whether nothing more is ever approved by this record as it is: then it stands in no other's way either.
    pub fn gets_nothing(&self) -> bool {
        self.deleting || self.failed || self.remediation.is_some()
    }

    /// Whether this is the same machine as another record is of. Records of one source are always of different machines. Of
    /// two sources, these show it, the first that says anything:
    ///
    /// - Their provider ids, which name the instance (`instance::compare`).
    /// - The Node that both have become, by the word of the controllers that bind them.
    /// - That OpenShift keeps one as the mirror of the other (`is_mirror_of`).
    /// - That an administrator named the other's node in an ExpectedMachine (`is_named_by`).
    ///
    /// That two records are called the same shows nothing: whoever may make a record in some namespace chooses its name.
    pub fn is_same_as(&self, other: &Self) -> bool {
        if self.source == other.source {
            return false;
        }
        let ids = self
            .provider_id
            .as_deref()
            .zip(other.provider_id.as_deref());
        if let Some(same) = ids.and_then(|(one, other)| instance::compare(one, other)) {
            return same;
        }
        match (&self.node_reference, &other.node_reference) {
            (Some(one), Some(another)) => one == another,
            (None, _) | (_, None) => {
                self.is_mirror_of(other) || self.is_named_by(other) || other.is_named_by(self)
            }
        }
    }

    /// Whether OpenShift keeps the records as mirrors of each other: it gives both one name, in the two namespaces that are
    /// its own (openshift/cluster-capi-operator). The relation rests on who may write there: OpenShift's controllers and
    /// administrators, nobody's tenants. A record of that name in any other namespace is another machine's.
    fn is_mirror_of(&self, other: &Self) -> bool {
        let (one, another) = (self.mirror_name(), other.mirror_name());
        one.is_some() && one == another
    }

    /// The name that the record's mirror has too, where OpenShift keeps one.
    pub(crate) fn mirror_name(&self) -> Option<&str> {
        let namespace = match self.source {
            Source::OpenShift => "openshift-machine-api",
            Source::ClusterApi => "openshift-cluster-api",
            Source::ExpectedMachine | Source::Gardener | Source::Karpenter => return None,
        };
        let MachineReference {
            namespace: own,
            name,
        } = &self.reference;
        (own == namespace).then_some(name.as_str())
    }

    /// Whether an ExpectedMachine is this machine's because it names its node. The relation rests on the record's status,
    /// which its infrastructure's controllers write: an address that is the very name of the node, or the node reference. A
    /// record that is merely called like the node is another machine. Nothing may contradict it: neither of them has become
    /// another Node, and where both have IP addresses, they share one.
    fn is_named_by(&self, expected: &Self) -> bool {
        if expected.source != Source::ExpectedMachine {
            return false;
        }
        // Its node name stands first; what else it is reached by owns no node.
        let mut named = expected.addresses.iter().filter_map(Address::host);
        let Some(node) = named.next() else {
            return false;
        };
        let free = |record: &Self| record.node_reference.as_ref().is_none_or(|own| own == node);
        let mut hosts = self.addresses.iter().filter_map(Address::host);
        let named = self.node_reference.as_ref() == Some(node) || hosts.any(|host| host == node);
        let (own, others) = (self.ips(), expected.ips());
        let apart = !own.is_empty() && !others.is_empty() && own.is_disjoint(&others);
        free(self) && free(expected) && named && !apart
    }

    fn ips(&self) -> BTreeSet<IpAddr> {
        let ips = self.addresses.iter().filter_map(|address| match address {
            Address::ExternalIp(ip) | Address::InternalIp(ip) => Some(ip.to_canonical()),
            Address::ExternalDns(_) | Address::Hostname(_) | Address::InternalDns(_) => None,
        });
        ips.collect()
    }

    /// Whether the record and a Node are of one machine, by what names its instance or hardware; nothing where that is not
    /// known. A kubelet says it of its own Node: so it counts only for a record that owns that Node's name.
    pub(crate) fn is_of_node(&self, node: &Node) -> Option<bool> {
        let ids = self.provider_id.as_deref().zip(node.provider_id.as_deref());
        let uuids = self.system_uuid.as_deref().zip(node.system_uuid.as_deref());
        let uuids = uuids.filter(|(one, other)| is_uuid(one) && is_uuid(other));
        let machines = self.machine_id.as_deref().zip(node.machine_id.as_deref());
        let same = |(one, other): (&str, &str)| one.eq_ignore_ascii_case(other);
        ids.and_then(|(one, other)| instance::compare(one, other))
            .or_else(|| uuids.map(same))
            .or_else(|| machines.map(same))
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
