//! A Machine: one record of an expected machine, from any API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::instance::{self, is_uuid};
use crate::{Feed, Node};

/// The API of a Machine record.
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
    /// The word in the configuration, logs, metrics and messages.
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

/// The cloud API with the names and addresses of instances whose records have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookUp {
    /// Amazon EC2.
    Ec2 {
        /// The region of the instances; `None` for the approver's own.
        region: Option<String>,
    },
}

/// The scope of a watch: the Machine records of one source, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The API.
    pub source: Source,
    /// The namespace; empty for all, and for cluster-scoped records.
    pub namespace: String,
    /// A label and its value that the records must have; `None` for all records.
    pub label: Option<(String, String)>,
    /// The source of the instance data that the records lack.
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

    /// The feeds that decisions about these Machines depend on: their records, the look-up of their instances if there is
    /// one, and the objects about their cluster in the same API.
    pub fn feeds(&self) -> impl Iterator<Item = Feed> {
        let look_up = self.look_up.is_some();
        let look_up = look_up.then(|| Feed::Instances(self.clone()));
        let of_cluster = self.source == Source::ClusterApi;
        let of_cluster = of_cluster.then(|| Feed::ClusterAddresses(self.to_string()));
        std::iter::once(Feed::Machines(self.clone()))
            .chain(look_up)
            .chain(of_cluster)
    }

    /// Returns true if a Machine is in this scope.
    pub fn covers(&self, machine: &Machine) -> bool {
        let labelled = |(key, value): &(String, String)| machine.labels.get(key) == Some(value);
        machine.source == self.source
            && (self.namespace.is_empty() || machine.reference.namespace == self.namespace)
            && self.label.as_ref().is_none_or(labelled)
    }
}

/// `openshift in openshift-machine-api`, `karpenter`, or `clusterAPI of prod`, if the label must have that value.
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

/// The `metadata.uid` of a Machine, which distinguishes it from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineUid(pub String);

/// The namespace and name of a Machine, as in `kubectl get machine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineReference {
    /// The namespace; empty for cluster-scoped records.
    pub namespace: String,
    /// The name.
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
    /// An address that is reachable from outside the cluster's network.
    ExternalIp(IpAddr),
    /// The machine's own host name.
    Hostname(NodeName),
    /// A DNS name that resolves inside the cluster's network.
    InternalDns(NodeName),
    /// An address inside the cluster's network.
    InternalIp(IpAddr),
}

impl Address {
    /// The host name inside the cluster's network, from the infrastructure.
    fn host(&self) -> Option<&NodeName> {
        match self {
            Self::Hostname(name) | Self::InternalDns(name) => Some(name),
            Self::ExternalDns(_) | Self::ExternalIp(_) | Self::InternalIp(_) => None,
        }
    }
}

/// The public key that a record pins: a request for this Machine must prove possession of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinKey {
    /// The DER of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    Spki(Vec<u8>),
    /// The record pins an invalid key, for this reason: no request can prove possession.
    Unreadable(String),
}

/// One record of the roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The API of the record.
    pub source: Source,
    /// The uid, which distinguishes it from a later Machine of the same name.
    pub uid: MachineUid,
    /// The namespace and name.
    pub reference: MachineReference,
    /// The cloud's id of the instance, if it exists yet.
    pub provider_id: Option<String>,
    /// The names and addresses of the machine, as its infrastructure reports them.
    pub addresses: Vec<Address>,
    /// Addresses of the record that are neither a name nor an IP address, unchanged and untrusted. No decision depends
    /// on them.
    pub unread_addresses: Vec<String>,
    /// The uid of the existing Node that the record was created for, if it was.
    pub adopted_node: Option<String>,
    /// The ids of the bootstrap tokens for this Machine only.
    pub bootstrap_tokens: BTreeSet<String>,
    /// The creation time.
    pub created_at: Timestamp,
    /// The deadline for requesting the first certificate, if the record sets one; otherwise the policy's join window
    /// applies.
    pub join_by: Option<Timestamp>,
    /// The key that a request for this Machine must prove possession of.
    pub join_key: Option<JoinKey>,
    /// True if its record marks it as part of the control plane.
    pub control_plane: bool,
    /// True if its deletion was requested.
    pub deleting: bool,
    /// True if it has failed permanently: its controller will not process it again.
    pub failed: bool,
    /// The KubeadmConfig in its namespace, if its API has one.
    pub kubeadm_config: Option<String>,
    /// The labels, which MachineHealthChecks select it by.
    pub labels: BTreeMap<String, String>,
    /// The phase in its API, for display.
    pub phase: Option<String>,
    /// The Node that it is bound to.
    pub node_reference: Option<NodeName>,
    /// The name of its set of equal machines.
    pub pool: Option<String>,
    /// The time at which its instance became ready, from its record: requests are expected from then on.
    pub ready_at: Option<Timestamp>,
    /// The id of the installation (`/etc/machine-id`), if the record has it.
    pub machine_id: Option<String>,
    /// The UUID of the hardware, if the record has it.
    pub system_uuid: Option<String>,
    /// The cloud region.
    pub region: Option<String>,
    /// The object that requests its replacement or repair, if any: nothing more is approved for it.
    pub remediation: Option<String>,
    /// The time from which a MachineHealthCheck counts its startup timeout.
    pub startup_from: Option<Timestamp>,
    /// The failure domain in its region.
    pub zone: Option<String>,
}

impl Machine {
    /// Creates a record with only the fields of an expected Machine.
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

    /// Returns true if nothing more is approved for this record in its current state: then it does not compete with
    /// others either.
    pub fn gets_nothing(&self) -> bool {
        self.deleting || self.failed || self.remediation.is_some()
    }

    /// Returns true if both records describe the same machine. Records of one source always describe different machines.
    /// For two sources, the first of these criteria that is known decides:
    ///
    /// - Their provider ids, which identify the instance (`instance::compare`).
    /// - The Node that both are bound to, according to the controllers that bind them.
    /// - OpenShift keeps one as the mirror of the other (`is_mirror_of`).
    /// - An administrator named the other's node in an ExpectedMachine (`is_named_by`).
    ///
    /// Equal names of records are no criterion: any user who may create a record in some namespace chooses its name.
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

    /// Returns true if OpenShift keeps the records as mirrors of each other: both have one name, in OpenShift's own two
    /// namespaces (openshift/cluster-capi-operator). This relies on write access to these namespaces: only OpenShift's
    /// controllers and administrators have it, not tenants. A record of that name in any other namespace is another
    /// machine's.
    pub(crate) fn is_mirror_of(&self, other: &Self) -> bool {
        let (one, another) = (self.mirror_name(), other.mirror_name());
        one.is_some() && one == another
    }

    /// The name that is equal in the record's mirror, if OpenShift can keep one.
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

    /// Returns true if an ExpectedMachine is this machine's because it names its node. This relies on the record's status,
    /// which its infrastructure's controllers write: an address equal to the node name, or the node reference. Equal names
    /// of the record and the node are not enough. Nothing may contradict it: neither record is bound to another Node, and
    /// if both have IP addresses, they share one.
    fn is_named_by(&self, expected: &Self) -> bool {
        if expected.source != Source::ExpectedMachine {
            return false;
        }
        // Its node name is the first host name; its other addresses own no node.
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

    /// Returns true if the record and a Node describe the same machine, by the ids of instance or hardware; `None` if
    /// unknown. The kubelet reports these for its own Node, so this counts only for a record that owns that Node's name.
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

    /// The cloud's name or id of the instance: the last part of its providerID, after provider and location.
    pub fn instance(&self) -> Option<&str> {
        let (_, path) = self.provider_id.as_deref()?.split_once("://")?;
        path.rsplit('/').next().filter(|last| !last.is_empty())
    }

    /// The non-empty part of its providerID with this number, counted from one after the provider: `host-1` is the second
    /// of `metal3://fleet/host-1/worker-0`.
    pub(crate) fn provider_id_part(&self, number: usize) -> Option<&str> {
        let (_, path) = self.provider_id.as_deref()?.split_once("://")?;
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        parts.nth(number.checked_sub(1)?)
    }
}
