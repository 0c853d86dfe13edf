//! Changes one field in an approved world: it must no longer be approved, unless the change is listed for its path.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/evidence_fixtures.rs"]
mod evidence_fixtures;
#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;
#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/issuing_fixtures.rs"]
mod issuing_fixtures;
#[path = "mutations/table.rs"]
mod table;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence_fixtures::Holder;
use fixtures::{Asked, World, machine, node};
use issuing_fixtures::{Issuer, Leaf};
use rcgen::SanType;
use rollcall_approver_core::{
    Address, Chain, Change, Cluster, Decision, Dialled, KubeletCa, Machine, MachineReference, Node,
    Policy, Reason, RenewWithoutAddresses, Request, Requestor, Rules, Served, ServerName,
    ServingPolicy, Verdict,
};
use rollcall_csr::{CertificationRequest, Evidence, ParseError};
use table::MUTATIONS;

/// A path to a certificate: a world in which it is approved, the function that decides it, and the changes that do not
/// affect it.
struct Path {
    reason: Reason,
    world: fn() -> World,
    decide: fn(&World) -> Decision,
    allowed: &'static [&'static str],
}

static RESUMABLE: LazyLock<(World, Holder)> = LazyLock::new(World::resumable);

/// The fields that no path depends on.
const ALWAYS_ALLOWED: &[&str] = &[
    "request.uid: another",
    "request.name: another",
    "request.requestor.groups: one more",
    "request.issued: yes",
    "request.usages: key encipherment too",
    "request.usages: another order",
    "machine.uid: another",
    "machine.reference: another name",
    "machine.reference: another namespace",
    "machine.provider_id: none",
    "machine.control_plane: yes",
    "machine.kubeadm_config: one",
    "machine.labels: another",
    "machine.phase: another",
    "machine.startup_from: long ago",
    "machine.unread_addresses: one",
    "machine.ready_at: long ago",
    "machine.region: another",
    "machine.zone: another",
    "mirrors: one that says the same",
    "claims: the same key",
    "rivals: a newer one of a visitor",
    "policy.bootstrap_tokens: read everywhere",
    "policy.bootstrappers: one more",
    "policy.clusters: another one too",
    "policy.replace_leftover_nodes: yes",
    "policy.rules.contested: hold",
    "policy.deny: nothing",
    "policy.rules.max_issues: one",
    "policy.max_staleness: none",
    "policy.rules.reissue_after: never",
    "policy.vouching: another source before",
    "policy.window_from: the record",
    "policy.rules.settle_after: never",
];

const PATHS: [Path; 6] = [
    Path {
        reason: Reason::FirstCertificate,
        world: World::approvable,
        decide,
        allowed: &[
            "machine.adopted_node: another",
            "policy.serving.renew_without_addresses: all",
            "policy.resume: off",
            "request.content: another key",
            "served: nothing",
            "request.created_at: a second later",
            "machine.addresses: another",
            "machine.addresses: one more",
            "machine.pool: none",
            "machine.created_at: a minute earlier",
            "claims: another key, long ago",
            "kubelet_ca: none that issued anything",
            "policy.clock_skew: none",
            "policy.serving.enabled: no",
            "policy.serving.api_servers: the requested address",
            "policy.serving.cluster_domain: the node's name",
            "policy.serving.extra_ranges: none",
            "cluster_addresses: the requested address",
            "elsewhere: the requested address",
            "stated: the requested address",
        ],
    },
    Path {
        reason: Reason::Renewal,
        world: World::renewable,
        decide,
        allowed: &[
            "machine.adopted_node: another",
            "policy.serving.renew_without_addresses: all",
            "machine.bootstrap_tokens: one",
            "policy.resume: off",
            "rivals: an older one",
            "request.content: another key",
            "now: much later",
            "served: nothing",
            "request.created_at: a second later",
            "request.created_at: before the Machine",
            "request.created_at: years later",
            "machine.addresses: another",
            "machine.addresses: none",
            "machine.addresses: one more",
            "machine.pool: none",
            "machine.created_at: a minute earlier",
            "machine.created_at: long ago",
            "machine.created_at: later than the request",
            "node.uid: another",
            "node.ready: yes",
            "node.addresses: one",
            "node.conditions: one",
            "node.control_plane: yes",
            "node.created_at: another",
            "claims: another key, just now",
            "claims: another key, long ago",
            "claims: as many keys as there may be",
            "owners: another one too",
            "policy.bootstrappers: none",
            "policy.naming: none",
            "policy.clock_skew: none",
            "policy.rules.join_window: none",
            "kubelet_ca: none that issued anything",
            "machine.join_by: before the request",
            "machine.join_key: one that nobody has",
            "policy.pools: the Machine's has to prove something",
            "policy.rules.evidence: bound",
            "policy.serving.enabled: no",
            "policy.serving.api_servers: the requested address",
            "policy.serving.cluster_domain: the node's name",
            "policy.serving.extra_ranges: none",
            "cluster_addresses: the requested address",
            "elsewhere: the requested address",
            "stated: the requested address",
        ],
    },
    Path {
        reason: Reason::Resume,
        world: || RESUMABLE.0.clone(),
        decide,
        allowed: &[
            "machine.adopted_node: another",
            "policy.serving.renew_without_addresses: all",
            "machine.bootstrap_tokens: one",
            "rivals: an older one",
            "now: much later",
            "served: nothing",
            "request.created_at: a second later",
            "request.created_at: before the Machine",
            "request.created_at: years later",
            // Then the node makes the request itself.
            "request.requestor.groups: another path's",
            "machine.addresses: another",
            "machine.addresses: none",
            "machine.addresses: one more",
            "machine.join_by: before the request",
            "machine.pool: none",
            "node: the other way round",
            "node.uid: another",
            "node.addresses: one",
            "node.conditions: one",
            "node.control_plane: yes",
            "node.created_at: another",
            "claims: another key, just now",
            "claims: another key, long ago",
            "owners: another one too",
            // The evidence identifies the machine, and the token of that machine has long expired.
            "kubeadm_configs: one with another token",
            "kubeadm_configs: one without a token yet",
            // They use no evidence.
            "rivals: a newer one",
            "rivals: a newer one with the same key",
            "policy.naming: none",
            "policy.clock_skew: none",
            "policy.rules.join_window: none",
            // The evidence is bound to its key.
            "policy.pools: the Machine's has to prove something",
            "policy.rules.evidence: bound",
            "policy.serving.enabled: no",
            "policy.serving.api_servers: the requested address",
            "policy.serving.cluster_domain: the node's name",
            "policy.serving.extra_ranges: none",
            "cluster_addresses: the requested address",
            "elsewhere: the requested address",
            "stated: the requested address",
        ],
    },
    Path {
        reason: Reason::ServingCertificate,
        world: servable,
        decide,
        allowed: &[
            "machine.adopted_node: another",
            "policy.serving.renew_without_addresses: all",
            "machine.bootstrap_tokens: one",
            "policy.resume: off",
            "rivals: an older one",
            "request.content: another key",
            "now: much later",
            "served: nothing",
            "request.created_at: a second later",
            "request.created_at: before the Machine",
            "request.created_at: years later",
            "request.content: one name less",
            "machine.addresses: one more",
            "machine.created_at: a minute earlier",
            "machine.created_at: long ago",
            "machine.created_at: later than the request",
            "node.uid: another",
            "node.ready: yes",
            "node.addresses: one",
            "node.conditions: one",
            "node.control_plane: yes",
            "node.created_at: another",
            "claims: another key, just now",
            "claims: another key, long ago",
            "claims: as many keys as there may be",
            "policy.bootstrappers: none",
            "policy.naming: none",
            "policy.clock_skew: none",
            "policy.rules.join_window: none",
            "kubelet_ca: none that issued anything",
            "machine.join_by: before the request",
            "machine.join_key: one that nobody has",
            "policy.pools: the Machine's has to prove something",
            "policy.rules.evidence: bound",
        ],
    },
    Path {
        reason: Reason::ServingRenewal,
        world: serving,
        // The result of a dial is a fact of a world; the cluster's dialling has separate tests.
        decide: World::decide,
        allowed: &[
            "machine.adopted_node: another",
            "policy.serving.renew_without_addresses: all",
            "machine.bootstrap_tokens: one",
            "policy.resume: off",
            "rivals: an older one",
            "request.content: another key",
            "request.created_at: a second later",
            "request.created_at: before the Machine",
            "request.created_at: years later",
            "request.content: one name less",
            "machine.created_at: a minute earlier",
            "machine.created_at: long ago",
            "machine.created_at: later than the request",
            "machine.join_by: before the request",
            "machine.join_key: one that nobody has",
            "machine.pool: none",
            "node.uid: another",
            "node.ready: yes",
            "node.addresses: one",
            "node.conditions: one",
            "node.control_plane: yes",
            "node.created_at: another",
            "claims: another key, just now",
            "claims: another key, long ago",
            "claims: as many keys as there may be",
            "owners: another one too",
            // Here it is not a record of the Machine; a cluster would find that two Machines are bound.
            "mirrors: one of another instance",
            "policy.bootstrappers: none",
            "policy.clock_skew: none",
            "policy.rules.join_window: none",
            "policy.naming: none",
            "policy.pools: the Machine's has to prove something",
            "policy.rules.evidence: bound",
            "stated: the requested address",
            "policy.serving.extra_ranges: none",
        ],
    },
    Path {
        reason: Reason::ServingRenewal,
        world: unvouched,
        decide: World::decide,
        allowed: &[
            "machine.bootstrap_tokens: one",
            "policy.resume: off",
            "rivals: an older one",
            "request.content: another key",
            "request.created_at: a second later",
            "request.created_at: before the Machine",
            "request.created_at: years later",
            "machine.created_at: a minute earlier",
            "machine.created_at: long ago",
            "machine.created_at: later than the request",
            "machine.join_by: before the request",
            "machine.join_key: one that nobody has",
            "machine.pool: none",
            "node.addresses: one",
            "node.control_plane: yes",
            "node.ready: yes",
            "node.conditions: one",
            "node.created_at: another",
            "claims: another key, just now",
            "claims: another key, long ago",
            "claims: as many keys as there may be",
            "owners: another one too",
            "mirrors: one of another instance",
            "stated: the requested address",
            "policy.bootstrappers: none",
            "policy.clock_skew: none",
            "policy.rules.join_window: none",
            "policy.naming: none",
            "policy.pools: the Machine's has to prove something",
            "policy.rules.evidence: bound",
            "policy.serving.extra_ranges: none",
            "policy.serving.renew_without_addresses: all",
        ],
    },
];

/// A serving certificate for a name, an address of the Machine, and one of the range of its pool.
fn servable() -> World {
    let mut world = World::servable();
    world.ask_for(&["worker-0"], &["10.0.0.1", "192.0.2.1"]);
    world.policy.serving.extra_ranges = vec![rollcall_approver_core::ExtraRange {
        pool: "workers".to_owned(),
        ranges: vec!["192.0.2.0/24".parse().unwrap()],
        shared: false,
    }];
    world
}

/// The node also requests 10.0.0.2, which its Machine lacks but which it serves under now.
fn serving() -> World {
    let mut world = World::servable();
    let (dns, ips) = (["worker-0"], ["10.0.0.1", "10.0.0.2"]);
    world.ask_for(&dns, &ips);
    let issuer = Issuer::new("kubelet-ca");
    let mut ca = KubeletCa::new(["file".to_owned()]);
    ca.put("file".to_owned(), vec![issuer.authority()]);
    world.kubelet_ca = Some(ca);
    let address = "10.0.0.1".parse().unwrap();
    let last = Served {
        at: world.now,
        addresses: vec![address],
        answer: Ok(Chain {
            address,
            certificates: vec![issuer.issue(&Leaf::serving("worker-0", &dns, &ips))],
        }),
    };
    world.served = Some(Dialled::new(last, None));
    world
}

/// The same for a Node that existed before its record, which has no address: it is dialled at the requested ones.
fn unvouched() -> World {
    let mut world = serving();
    world.bound().addresses = Vec::new();
    world.bound().adopted_node = Some("n-0".to_owned());
    world.owners = world.bound.clone();
    world.policy.serving.renew_without_addresses = RenewWithoutAddresses::Adopted;
    let issuer = Issuer::new("kubelet-ca");
    let mut ca = KubeletCa::new(["file".to_owned()]);
    ca.put("file".to_owned(), vec![issuer.authority()]);
    world.kubelet_ca = Some(ca);
    let ips = ["10.0.0.1", "10.0.0.2"];
    let addresses = ips.map(|ip| ip.parse().unwrap());
    let last = Served {
        at: world.now,
        addresses: addresses.to_vec(),
        answer: Ok(Chain {
            address: addresses[0],
            certificates: vec![issuer.issue(&Leaf::serving("worker-0", &["worker-0"], &ips))],
        }),
    };
    world.served = Some(Dialled::new(last, None));
    world
}

/// The decision from the facts that a cluster gathers from this: the owner of a name must change with it.
#[expect(clippy::too_many_lines, reason = "one line for each field")]
fn decide(world: &World) -> Decision {
    let now = world.now;
    let feeds = world.stale.iter().map(|stale| stale.feed.clone());
    let mut cluster = Cluster::new(world.policy.clone(), feeds);
    let (resumable, holder) = &*RESUMABLE;
    if world.kubelet_ca == resumable.kubelet_ca {
        let authorities = vec![holder.issuer.authority()];
        cluster.apply(Change::KubeletCa("a test".to_owned(), authorities), now);
    }
    let others = world.elsewhere.iter().map(|(name, reference)| {
        let mut other = machine(&reference.name, "elsewhere");
        if let ServerName::Ip(ip) = name {
            other.addresses.push(Address::InternalIp(*ip));
        }
        other
    });
    for machine in world
        .owners
        .iter()
        .chain(&world.bound)
        .chain(&world.mirrors)
        .chain(world.tokens.values().flatten())
        .cloned()
        .chain(others)
    {
        cluster.apply(Change::Machine(Box::new(machine)), now);
    }
    for config in world.kubeadm_configs.iter().cloned() {
        cluster.apply(Change::KubeadmConfig(config), now);
    }
    let said = world.cluster_addresses.clone();
    cluster.apply(Change::ClusterAddresses("a test".to_owned(), said), now);
    for (name, other) in &world.stated {
        if let ServerName::Ip(ip) = name {
            let mut states = fixtures::registered();
            states.addresses = vec![*ip];
            cluster.apply(Change::Node(other.clone(), states), now);
        }
    }
    for claim in &world.claims {
        cluster.apply(Change::Claimed(claim.clone()), now);
    }
    if let Some(known) = &world.node {
        cluster.apply(Change::Node(node("worker-0"), known.clone()), now);
    }
    for request in world.rivals.iter().chain([&world.request]).cloned() {
        cluster.apply(Change::Request(Box::new(request)), now);
    }
    cluster.preview(&world.request.uid, now).unwrap()
}

fn is_approved(world: &World) -> bool {
    matches!(decide(world).verdict(), Verdict::Approve(_))
}

impl Path {
    fn approves(&self, world: &World) -> bool {
        matches!((self.decide)(world).verdict(), Verdict::Approve(_))
    }
}

fn is_changed(old: &World, new: &World) -> bool {
    old.request != new.request
        || old.owners != new.owners
        || old.bound != new.bound
        || old.mirrors != new.mirrors
        || old.tokens != new.tokens
        || old.kubeadm_configs != new.kubeadm_configs
        || old.elsewhere != new.elsewhere
        || old.node != new.node
        || old.claims != new.claims
        || old.kubelet_ca != new.kubelet_ca
        || old.served != new.served
        || old.rivals != new.rivals
        || old.stale != new.stale
        || old.stated != new.stated
        || old.cluster_addresses != new.cluster_addresses
        || old.policy != new.policy
        || old.now != new.now
}

#[test]
fn a_changed_request_is_approved_only_where_the_change_is_listed() {
    for path in PATHS {
        let world = (path.world)();
        let decision = (path.decide)(&world);
        assert_eq!(decision.reason(), path.reason, "{decision:?}");
        let mut kept = Vec::new();
        for (label, mutate) in MUTATIONS {
            let mut mutant = world.clone();
            mutate(&mut mutant);
            if is_changed(&world, &mutant) && path.approves(&mutant) {
                kept.push(*label);
            }
        }
        let mut allowed: Vec<&str> = ALWAYS_ALLOWED.iter().chain(path.allowed).copied().collect();
        allowed.sort_unstable();
        kept.sort_unstable();
        assert_eq!(kept, allowed, "{}", path.reason);
    }
}

/// All inputs of a decision. A new field fails to compile below until it is listed there, and then needs a change in
/// the table.
const FIELDS: &[&str] = &[
    "bound",
    "claims",
    "cluster_addresses",
    "elsewhere",
    "kubeadm_configs",
    "kubelet_ca",
    "machine.addresses",
    "machine.adopted_node",
    "machine.bootstrap_tokens",
    "machine.control_plane",
    "machine.created_at",
    "machine.deleting",
    "machine.failed",
    "machine.join_by",
    "machine.join_key",
    "machine.kubeadm_config",
    "machine.labels",
    "machine.node_reference",
    "machine.phase",
    "machine.pool",
    "machine.provider_id",
    "machine.ready_at",
    "machine.reference",
    "machine.region",
    "machine.remediation",
    "machine.startup_from",
    "machine.uid",
    "machine.unread_addresses",
    "machine.zone",
    "mirrors",
    "node",
    "node.addresses",
    "node.conditions",
    "node.control_plane",
    "node.created_at",
    "node.ready",
    "node.uid",
    "now",
    "owners",
    "policy.bootstrap_tokens",
    "policy.bootstrappers",
    "policy.clock_skew",
    "policy.clusters",
    "policy.deny",
    "policy.max_staleness",
    "policy.naming",
    "policy.pools",
    "policy.replace_leftover_nodes",
    "policy.resume",
    "policy.rules.contested",
    "policy.rules.evidence",
    "policy.rules.join_window",
    "policy.rules.max_issues",
    "policy.rules.reissue_after",
    "policy.rules.settle_after",
    "policy.serving.api_servers",
    "policy.serving.cluster_domain",
    "policy.serving.enabled",
    "policy.serving.extra_ranges",
    "policy.serving.renew_without_addresses",
    "policy.vouching",
    "policy.window_from",
    "request.content",
    "request.created_at",
    "request.issued",
    "request.name",
    "request.requestor.groups",
    "request.requestor.username",
    "request.signer",
    "request.standing",
    "request.uid",
    "request.usages",
    "rivals",
    "served",
    "stale",
    "stated",
    "tokens",
];

/// Lists every field of a world and of its parts.
#[expect(clippy::too_many_lines, reason = "one line for each field")]
fn name_fields(world: World) {
    let World {
        request,
        mut owners,
        bound: _,
        elsewhere: _,
        node,
        claims: _,
        // The cluster's handling of existing and former requests: `tests/thief.rs`.
        live: _,
        full: _,
        used: _,
        latest: _,
        rivals: _,
        // The rivals themselves show if there are very many.
        crowded: _,
        mirrors: _,
        tokens: _,
        kubeadm_configs: _,
        kubelet_ca: _,
        of_instance: _,
        asks_leases: _,
        lease: _,
        served: _,
        stale: _,
        stated: _,
        cluster_addresses: _,
        policy,
        now: _,
    } = world;
    let Node {
        uid: _,
        created_at: _,
        ready: _,
        ready_since: _,
        last_heartbeat: _,
        provider_id: _,
        system_uuid: _,
        machine_id: _,
        addresses: _,
        control_plane: _,
        conditions: _,
    } = node.unwrap();
    name_request(request);
    name_machine(owners.remove(0));
    name_policy(policy);
}

fn name_request(request: Request) {
    let Request {
        uid: _,
        name: _,
        signer: _,
        requestor,
        usages: _,
        created_at: _,
        standing: _,
        issued: _,
        content: _,
    } = request;
    let Requestor {
        username: _,
        groups: _,
    } = requestor;
}

fn name_machine(machine: Machine) {
    let Machine {
        // The source of a record changes nothing.
        source: _,
        uid: _,
        reference,
        provider_id: _,
        addresses: _,
        adopted_node: _,
        bootstrap_tokens: _,
        control_plane: _,
        created_at: _,
        join_by: _,
        join_key: _,
        deleting: _,
        failed: _,
        kubeadm_config: _,
        labels: _,
        phase: _,
        node_reference: _,
        pool: _,
        ready_at: _,
        region: _,
        remediation: _,
        startup_from: _,
        unread_addresses: _,
        machine_id: _,
        system_uuid: _,
        zone: _,
    } = machine;
    let MachineReference {
        namespace: _,
        name: _,
    } = reference;
}

fn name_policy(policy: Policy) {
    let Policy {
        bootstrap_tokens: _,
        bootstrappers: _,
        clock_skew: _,
        clusters: _,
        deny: _,
        max_staleness: _,
        naming: _,
        replace_leftover_nodes: _,
        resume: _,
        pools: _,
        rules,
        serving,
        vouching: _,
        window_from: _,
    } = policy;
    let Rules {
        contested: _,
        evidence: _,
        join_window: _,
        max_issues: _,
        reissue_after: _,
        settle_after: _,
    } = rules;
    let ServingPolicy {
        api_servers: _,
        cluster_domain: _,
        enabled: _,
        extra_ranges: _,
        renew_without_addresses: _,
    } = serving;
}

#[test]
fn the_table_changes_every_field() {
    let mut changed: Vec<&str> = MUTATIONS
        .iter()
        .map(|(label, _)| label.split_once(": ").unwrap().0)
        .collect();
    changed.sort_unstable();
    changed.dedup();
    name_fields(World::servable());
    assert_eq!(changed, FIELDS);
    // Every listed change affects at least one path.
    for (label, mutate) in MUTATIONS {
        assert!(
            PATHS.iter().any(|path| {
                let world = (path.world)();
                let mut mutant = world.clone();
                mutate(&mut mutant);
                is_changed(&world, &mutant)
            }),
            "{label}"
        );
    }
}

/// The content of a request with this DER, and with the evidence of the path.
fn content(der: &[u8], evidence: &str) -> Result<CertificationRequest, ParseError> {
    let request = STANDARD.encode(der);
    CertificationRequest::from_pem(
        format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{request}\n-----END CERTIFICATE REQUEST-----\n{evidence}"
        )
        .as_bytes(),
    )
}

fn evidence_of(request: &Request) -> String {
    let statements = request.content.as_ref().unwrap().evidence().unwrap();
    match Evidence::new(statements.to_vec()) {
        Ok(evidence) => evidence.to_pem(),
        Err(_) => String::new(),
    }
}

#[test]
fn a_changed_byte_is_never_approved() {
    for path in PATHS {
        let mut world = (path.world)();
        let evidence = evidence_of(&world.request);
        let mut asked = Asked::of_kubelet("worker-0", 0);
        let names = world.request.content.as_ref().unwrap().names().clone();
        let dns = names.dns.iter().map(|name| name.as_str().try_into());
        asked.names = dns.map(|name| SanType::DnsName(name.unwrap())).collect();
        asked
            .names
            .extend(names.ips.into_iter().map(SanType::IpAddress));
        let der = asked.signed().der().to_vec();
        for index in 0..der.len() {
            for flip in [1, 2, 0x20, 0x80] {
                let mut mutant = der.clone();
                *mutant.get_mut(index).unwrap() ^= flip;
                world.request.content = content(&mutant, &evidence);
                assert!(!path.approves(&world), "{}: byte {index}", path.reason);
            }
        }
        world.request.content = content(&der, &evidence);
        assert!(path.approves(&world), "{}", path.reason);
    }
}

/// No byte of the evidence can be changed either.
#[test]
fn a_changed_character_of_the_evidence_is_never_approved() {
    let mut world = RESUMABLE.0.clone();
    let der = Asked::of_kubelet("worker-0", 0).signed().der().to_vec();
    let evidence = evidence_of(&world.request);
    for (index, was) in evidence.char_indices() {
        for now in ['A', 'b', '7', '-', '\n'] {
            let mut mutant = evidence.clone();
            mutant.replace_range(index..=index, &now.to_string());
            // White space between lines is ignored.
            let same = |text: &str| text.split_whitespace().collect::<String>();
            if same(&mutant) == same(&evidence) || was == '\n' {
                continue;
            }
            world.request.content = content(&der, &mutant);
            assert!(!is_approved(&world), "{index}: {was:?} became {now:?}");
        }
    }
}
