//! Worlds for tests: requests made with rcgen, and Machines and facts that allow them, each easily changed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use rcgen::{
    CertificateParams, CertificateSigningRequest, DistinguishedName, DnType, KeyPair, SanType,
};
use rollcall_approver_core::{
    Address, Claim, ClusterAddresses, Decision, Dialled, Facts, KnownAddresses, KubeadmConfig,
    KubeletCa, Machine, MachineReference, MachineUid, Node, NodeLease, Policy, Reason, Request,
    RequestUid, Requestor, ServerName, Source, Stale, Standing, decide,
};
use rollcall_csr::{CertificationRequest, KeyHash, NODES_GROUP, NodeName, ParseError, Signer};

/// The bootstrapper of OpenShift 4.
pub(crate) const BOOTSTRAPPER: &str =
    "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper";
/// The namespace of the Machines.
pub(crate) const NAMESPACE: &str = "openshift-machine-api";

static KEYS: LazyLock<[KeyPair; 4]> =
    LazyLock::new(|| std::array::from_fn(|_| KeyPair::generate().unwrap()));

/// This many seconds after the Machines were created.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000_i64.saturating_add(seconds)).unwrap()
}

/// A node's name.
pub(crate) fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// The content of a request.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) organization: String,
    pub(crate) common_name: String,
    pub(crate) names: Vec<SanType>,
    /// The index of its key, among four.
    pub(crate) key: usize,
}

impl Asked {
    /// The content for a kubelet of this name.
    pub(crate) fn of_kubelet(name: &str, key: usize) -> Self {
        Self {
            organization: NODES_GROUP.to_owned(),
            common_name: node(name).username(),
            names: Vec::new(),
            key,
        }
    }

    /// The content of the request.
    pub(crate) fn content(self) -> Result<CertificationRequest, ParseError> {
        CertificationRequest::from_pem(self.pem().as_bytes())
    }

    /// The PEM in `spec.request`.
    pub(crate) fn pem(self) -> String {
        self.signed().pem().unwrap()
    }

    /// The request itself.
    pub(crate) fn signed(self) -> CertificateSigningRequest {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, self.organization);
        subject.push(DnType::CommonName, self.common_name);
        params.distinguished_name = subject;
        params.subject_alt_names = self.names;
        let key = KEYS.get(self.key).unwrap();
        params.serialize_request(key).unwrap()
    }
}

/// A pending request that a kubelet of this name made a minute after its Machine was created; its uid is its name.
pub(crate) fn request(name: &str, node: &str, key: usize) -> Request {
    Request {
        uid: request_uid(name),
        name: name.to_owned(),
        signer: Signer::KubeApiserverClientKubelet,
        requestor: Requestor {
            username: BOOTSTRAPPER.to_owned(),
            groups: vec!["system:authenticated".to_owned()],
        },
        usages: vec!["digital signature".to_owned(), "client auth".to_owned()],
        created_at: at(60),
        standing: Standing::Pending,
        issued: false,
        content: Asked::of_kubelet(node, key).content(),
    }
}

/// The uid of a request.
pub(crate) fn request_uid(name: &str) -> RequestUid {
    RequestUid(name.to_owned())
}

/// A Machine with an instance but no Node yet; its uid is its name.
pub(crate) fn machine(name: &str, internal_dns: &str) -> Machine {
    let reference = MachineReference {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
    };
    let uid = MachineUid(name.to_owned());
    Machine {
        provider_id: Some("aws:///eu-west-1a/i-0123456789abcdef0".to_owned()),
        addresses: vec![Address::InternalDns(node(internal_dns))],
        phase: Some("Provisioned".to_owned()),
        pool: Some("workers".to_owned()),
        ..Machine::new(Source::OpenShift, uid, reference, at(0))
    }
}

/// The hash of one of the keys.
pub(crate) fn key_hash(key: usize) -> KeyHash {
    let content = Asked::of_kubelet("any", key).content().unwrap();
    content.public_key().hash()
}

/// An earlier approval for the Machine `m-0`.
pub(crate) fn claim(request: &str, key: usize, approved_at: Timestamp) -> Claim {
    Claim {
        approved_at,
        key: key_hash(key),
        machine: MachineUid("m-0".to_owned()),
        request: request_uid(request),
    }
}

/// A Node that registered after its Machine.
pub(crate) fn registered() -> Node {
    Node::new("n-0", at(90))
}

/// One request and all its facts.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) request: Request,
    pub(crate) owners: Vec<Machine>,
    pub(crate) bound: Vec<Machine>,
    pub(crate) mirrors: Vec<Machine>,
    pub(crate) tokens: BTreeMap<&'static str, Vec<Machine>>,
    pub(crate) kubeadm_configs: Vec<KubeadmConfig>,
    pub(crate) elsewhere: Vec<(ServerName, MachineReference)>,
    pub(crate) stated: Vec<(ServerName, NodeName)>,
    pub(crate) cluster_addresses: Vec<ClusterAddresses>,
    pub(crate) node: Option<Node>,
    pub(crate) of_instance: Vec<Machine>,
    pub(crate) asks_leases: bool,
    pub(crate) lease: Option<NodeLease>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) live: Vec<(KeyHash, Request)>,
    pub(crate) rivals: Vec<Request>,
    pub(crate) full: bool,
    pub(crate) crowded: bool,
    pub(crate) kubelet_ca: Option<KubeletCa>,
    pub(crate) stale: Option<Stale>,
    pub(crate) used: Option<Timestamp>,
    pub(crate) latest: Option<(Timestamp, KeyHash)>,
    pub(crate) served: Option<Dialled>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
}

impl World {
    /// A request that meets every rule: `csr-0` of `worker-0` with key 0, Machine `m-0`.
    pub(crate) fn approvable() -> Self {
        Self {
            request: request("csr-0", "worker-0", 0),
            owners: vec![machine("m-0", "worker-0")],
            bound: Vec::new(),
            mirrors: Vec::new(),
            tokens: BTreeMap::new(),
            kubeadm_configs: Vec::new(),
            elsewhere: Vec::new(),
            stated: Vec::new(),
            cluster_addresses: Vec::new(),
            node: None,
            of_instance: Vec::new(),
            asks_leases: false,
            lease: None,
            claims: Vec::new(),
            live: Vec::new(),
            rivals: Vec::new(),
            full: false,
            crowded: false,
            kubelet_ca: None,
            stale: None,
            used: None,
            latest: None,
            served: None,
            policy: Policy::default(),
            now: at(61),
        }
    }

    /// A renewal that meets every rule: `csr-0` of the Node `worker-0` with key 0, Machine `m-0`.
    pub(crate) fn renewable() -> Self {
        let mut world = Self::approvable();
        world.request.requestor = Requestor {
            username: node("worker-0").username(),
            groups: vec![NODES_GROUP.to_owned(), "system:authenticated".to_owned()],
        };
        let mut record = machine("m-0", "worker-0");
        record.node_reference = Some(node("worker-0"));
        record.phase = Some("Running".to_owned());
        world.owners = vec![record.clone()];
        world.bound = vec![record];
        world.node = Some(registered());
        world
    }

    /// A request for a serving certificate that meets every rule: `worker-0` and 10.0.0.1.
    pub(crate) fn servable() -> Self {
        let mut world = Self::renewable();
        world.request.signer = Signer::KubeletServing;
        world.request.usages = vec!["digital signature".to_owned(), "server auth".to_owned()];
        world.ask_for(&["worker-0"], &["10.0.0.1"]);
        let ip = Address::InternalIp("10.0.0.1".parse().unwrap());
        world.bound().addresses.push(ip);
        world.owners = world.bound.clone();
        world
    }

    /// Replaces the requested DNS names and IP addresses.
    pub(crate) fn ask_for(&mut self, dns: &[&str], ips: &[&str]) {
        let dns = dns
            .iter()
            .map(|name| SanType::DnsName((*name).try_into().unwrap()));
        let ips = ips.iter().map(|ip| SanType::IpAddress(ip.parse().unwrap()));
        let names = dns.chain(ips).collect();
        self.ask(|asked| asked.names = names);
    }

    /// The one Machine that is bound to the Node.
    pub(crate) fn bound(&mut self) -> &mut Machine {
        self.bound.first_mut().unwrap()
    }

    /// Changes the content of the request.
    pub(crate) fn ask(&mut self, change: impl FnOnce(&mut Asked)) {
        let mut asked = Asked::of_kubelet("worker-0", 0);
        change(&mut asked);
        self.request.content = asked.content();
    }

    /// The Machine that owns the name, added if missing.
    pub(crate) fn owner(&mut self) -> &mut Machine {
        if self.owners.is_empty() {
            self.owners.push(machine("m-0", "worker-0"));
        }
        self.owners.first_mut().unwrap()
    }

    /// The decision.
    pub(crate) fn decide(&self) -> Decision {
        let mut cluster_addresses = KnownAddresses::default();
        cluster_addresses.put("a test".to_owned(), self.cluster_addresses.clone());
        let facts = Facts {
            cluster_addresses: Some(&cluster_addresses),
            stated: pairs(&self.stated),
            stale: self.stale.clone(),
            owners: self.owners.iter().collect(),
            bound: self.bound.iter().collect(),
            mirrors: self.mirrors.iter().collect(),
            unheard: Vec::new(),
            tokens: self
                .tokens
                .iter()
                .map(|(id, machines)| (*id, machines.iter().collect()))
                .collect(),
            kubeadm_configs: self.kubeadm_configs.clone(),
            elsewhere: pairs(&self.elsewhere),
            node: self.node.as_ref(),
            of_instance: self.of_instance.iter().collect(),
            asks_leases: self.asks_leases,
            lease: self.lease.as_ref(),
            claims: self.claims.clone(),
            live: self
                .live
                .iter()
                .map(|(key, request)| (*key, request))
                .collect(),
            rivals: self.rivals.iter().collect(),
            full: self.full,
            crowded: self.crowded,
            used: self.used,
            latest: self.latest,
            verified: None,
            served: self.served.as_ref(),
            kubelet_ca: self.kubelet_ca.as_ref(),
        };
        decide(&self.request, &facts, &self.policy, self.now)
    }
}

/// Borrows the values for the facts.
fn pairs<T>(owned: &[(ServerName, T)]) -> Vec<(ServerName, &T)> {
    let pairs = owned.iter();
    pairs.map(|(name, other)| (name.clone(), other)).collect()
}

/// The words of a decision, in order.
pub(crate) fn reasons(decision: &Decision) -> Vec<Reason> {
    decision.findings().map(|finding| finding.reason).collect()
}

/// A change of an approvable world, and the resulting verdict with all reasons in order.
pub(crate) type Case = (
    &'static str,
    fn(&mut World),
    &'static str,
    &'static [Reason],
);

/// Checks every case.
pub(crate) fn check(cases: &[Case]) {
    check_from(World::approvable, cases);
}

/// Checks every case, each in a new world from `begin`.
pub(crate) fn check_from(begin: fn() -> World, cases: &[Case]) {
    for (label, change, verdict, expected) in cases {
        let mut world = begin();
        change(&mut world);
        let decision = world.decide();
        let seen = (decision.verdict().as_str(), reasons(&decision));
        assert_eq!(seen, (*verdict, expected.to_vec()), "{label}: {decision:?}");
    }
}
