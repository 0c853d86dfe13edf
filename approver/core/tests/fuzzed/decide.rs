//! The invariants of every decision, restated in the simplest form. Called by the fuzz target `decide` and by a test.

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../../src/fixtures.rs"]
mod fixtures;
#[path = "world.rs"]
mod world;

use std::collections::BTreeSet;

use arbitrary::Unstructured;
use jiff::{SignedDuration, Timestamp};
use rollcall_approver_core::{
    Address, Decision, JoinToken, Machine, NameStrategy, Naming, Reason, Request, Standing,
    Strength, Verdict, Wait,
};
use rollcall_csr::{CertificationRequest, KeyHash, NodeName, Signer};
use world::World;

/// Reasons that no later fact removes: only they deny.
const FINAL: [Reason; 8] = [
    Reason::CommonNameNotANode,
    Reason::NameReserved,
    Reason::NamesMissing,
    Reason::NamesNotAllowed,
    Reason::OrganizationNotNodes,
    Reason::RequestMalformed,
    Reason::RequestorNotSubject,
    Reason::UsagesNotAllowed,
];

/// Decides every request of the world encoded in these bytes, one after the other. Returns the first reasons.
///
/// # Panics
/// If an invariant is violated.
pub(crate) fn decide(bytes: &[u8]) -> Vec<Reason> {
    let Ok(mut world) = World::read(&mut Unstructured::new(bytes)) else {
        return Vec::new();
    };
    let mut reasons = Vec::new();
    for request in world.requests.clone() {
        let decision = world.cluster.preview(&request.uid, world.now).unwrap();
        check(&world, &request, &decision);
        reasons.push(decision.reason());
        // The decision is applied, so an approval spends its Machine for later requests.
        let judged = world.cluster.judge(&request.uid, world.now);
        assert_eq!(judged.is_some(), request.standing == Standing::Pending);
        if let Some(judged) = judged {
            assert_eq!(judged, decision);
            if let Verdict::Approve(Some(_)) = decision.verdict() {
                let mut requests = world.requests.iter_mut();
                let approved = requests.find(|other| other.uid == request.uid).unwrap();
                approved.standing = Standing::Approved(world.now);
            }
        }
    }
    reasons
}

fn check(world: &World, request: &Request, decision: &Decision) {
    let findings: Vec<Reason> = decision.findings().map(|finding| finding.reason).collect();
    let told = decision.explanation();
    assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
    let is_final = findings.iter().any(|reason| FINAL.contains(reason));
    match decision.verdict() {
        Verdict::Approve(claim) => {
            assert!(!is_final, "{findings:?}");
            assert_approved_with_reason(world, request, decision);
            assert_eq!(
                claim.is_some(),
                matches!(
                    findings.first(),
                    Some(Reason::FirstCertificate | Reason::Resume)
                )
            );
        }
        Verdict::Deny => {
            let outdated = findings.contains(&Reason::Superseded);
            assert!((is_final || outdated) && !world.policy.deny.is_empty());
        }
        Verdict::Hold(waits) => assert_says_what_it_waits_for(request, waits, &findings),
        Verdict::Ignore => {
            let ignored = [
                Reason::AlreadyDecided,
                Reason::RequestorNotAllowed,
                Reason::SignerNotServed,
            ];
            let [only] = findings.as_slice() else {
                panic!("{findings:?}");
            };
            assert!(ignored.contains(only), "{only}");
        }
    }
}

/// A hold ends when a fact changes or a time comes; without either, only a user can end it.
fn assert_says_what_it_waits_for(request: &Request, waits: &[Wait], findings: &[Reason]) {
    let is_final = findings.iter().any(|reason| FINAL.contains(reason));
    assert!(!waits.is_empty() || is_final, "{findings:?}");
    if let Some(name) = request.node_name() {
        assert!(waits.contains(&Wait::Name(name)), "{waits:?}");
    }
    assert_eq!(
        waits.contains(&Wait::Feed),
        findings.contains(&Reason::FactsStale)
    );
}

fn assert_approved_with_reason(world: &World, request: &Request, decision: &Decision) {
    let content = request.content.as_ref().unwrap();
    assert_eq!(request.standing, Standing::Pending);
    assert_eq!(content.subject().organization, "system:nodes");
    let node = content.subject().common_name.strip_prefix("system:node:");
    let node = node.unwrap();
    let stale = world.policy.max_staleness;
    assert!(
        world
            .lost
            .is_none_or(|lost| since(lost, world.now) <= stale)
    );
    let machine = if decision.reason() == Reason::FirstCertificate {
        only(world, node, |machine| owns(world, machine, node))
    } else {
        assert_asks_itself(world, request, node);
        only(world, node, |machine| is_bound(machine, node))
    };
    assert!(!machine.deleting && !machine.failed && machine.remediation.is_none());
    if request.requestor.bootstrap_token() == Some(world::TOKEN) {
        assert_token(world, machine, decision.reason());
    }
    assert_eq!(decision.machine(), Some(&machine.reference));
    assert_eq!(machine.reference.namespace, world::namespace());
    let names = content.names();
    assert!(names.emails.is_empty() && names.uris.is_empty());
    if decision.reason() == Reason::ServingCertificate {
        assert_eq!(usages(request), "digital signature,server auth");
        assert!(world.policy.serving.enabled);
        assert_served(world, machine, node, content);
        return;
    }
    assert_eq!(request.signer, Signer::KubeApiserverClientKubelet);
    assert_eq!(usages(request), "client auth,digital signature");
    assert!(names.dns.is_empty() && names.ips.is_empty());
    if decision.reason() == Reason::FirstCertificate {
        assert_first(world, request, machine, node);
    } else {
        assert_eq!(decision.reason(), Reason::Renewal);
    }
}

/// A token without a Machine is allowed, unless the Machine has its own.
fn assert_token(world: &World, machine: &Machine, reason: Reason) {
    let own = JoinToken::Id(world::TOKEN.to_owned());
    let made_for = |machine: &Machine| {
        let recorded = machine.bootstrap_tokens.contains(world::TOKEN);
        recorded || joins_with(world, machine) == Some(&own)
    };
    assert!(made_for(machine) || !world.machines.iter().any(made_for));
    if reason == Reason::FirstCertificate && reads_tokens(world, machine) {
        assert!(made_for(machine) || joins_with(world, machine) == Some(&JoinToken::Unused));
    }
}

/// The token in the KubeadmConfig of a Machine, if there is one.
fn joins_with<'a>(world: &'a World, machine: &Machine) -> Option<&'a JoinToken> {
    machine.kubeadm_config.as_ref()?;
    let mut configs = world.configs.iter();
    let own = configs.find(|config| config.reference == machine.reference)?;
    Some(&own.token)
}

/// Returns true if a Machine has a KubeadmConfig that counts.
fn reads_tokens(world: &World, machine: &Machine) -> bool {
    !world.policy.bootstrap_tokens.is_empty() && machine.kubeadm_config.is_some()
}

/// In order, without the optional reason.
fn usages(request: &Request) -> String {
    let mut usages: Vec<&str> = request.usages.iter().map(String::as_str).collect();
    usages.sort_unstable();
    usages.join(",").replace(",key encipherment", "")
}

fn assert_asks_itself(world: &World, request: &Request, node: &str) {
    assert!(world.nodes.iter().any(|(name, _)| name.as_str() == node));
    assert_eq!(request.requestor.username, format!("system:node:{node}"));
    let groups = &request.requestor.groups;
    assert!(groups.iter().any(|group| group == "system:nodes"));
}

fn since(earlier: Timestamp, later: Timestamp) -> SignedDuration {
    later.duration_since(earlier)
}

/// The single Machine for which this holds, among those that could get the certificate.
fn only<'a>(world: &'a World, node: &str, holds: impl Fn(&Machine) -> bool) -> &'a Machine {
    let is_another = |name: &NodeName| name.as_str() != node && lives(world, name);
    let could = |machine: &Machine| {
        !gets_nothing(machine) && !machine.node_reference.as_ref().is_some_and(is_another)
    };
    let machines = world.machines.iter();
    let mut machines = machines.filter(|machine| holds(machine) && could(machine));
    let machine = machines.next().unwrap();
    assert!(machines.next().is_none());
    machine
}

fn gets_nothing(machine: &Machine) -> bool {
    machine.deleting || machine.failed || machine.remediation.is_some()
}

fn lives(world: &World, node: &NodeName) -> bool {
    world.nodes.iter().any(|(name, _)| name == node)
}

fn is_bound(machine: &Machine, node: &str) -> bool {
    machine
        .node_reference
        .as_ref()
        .is_some_and(|bound| bound.as_str() == node)
}

fn owns(world: &World, machine: &Machine, node: &str) -> bool {
    names(world, machine).contains(node)
}

/// The node names of a Machine, by every configured strategy.
fn names(world: &World, machine: &Machine) -> BTreeSet<String> {
    let naming = world.policy.naming.values().next().cloned();
    let naming = naming.unwrap_or_else(|| Naming::of(machine.source));
    let mut stated = BTreeSet::new();
    for strategy in &naming.strategies {
        let addresses = machine.addresses.iter();
        match strategy {
            NameStrategy::NodeReference => {
                stated.extend(machine.node_reference.iter().map(ToString::to_string));
            }
            NameStrategy::InternalDns => stated.extend(
                addresses
                    .filter(|address| matches!(address, Address::InternalDns(_)))
                    .map(text),
            ),
            NameStrategy::Hostname => stated.extend(
                addresses
                    .filter(|address| matches!(address, Address::Hostname(_)))
                    .map(text),
            ),
            NameStrategy::MachineName => {
                stated.insert(machine.reference.name.clone());
            }
            NameStrategy::ProviderId => stated.extend(machine.instance().map(str::to_owned)),
            NameStrategy::Template => {}
        }
    }
    stated
}

fn assert_first(world: &World, request: &Request, machine: &Machine, node: &str) {
    let policy = &world.policy;
    assert_bootstrapper(world, request);
    assert_eq!(machine.node_reference, None);
    let leftover = |registered: Timestamp| {
        let replaced = world.machines.iter().any(|machine| is_bound(machine, node));
        policy.replace_leftover_nodes && registered < machine.created_at && !replaced
    };
    let registered = world.nodes.iter().find(|(name, _)| name.as_str() == node);
    assert!(registered.is_none_or(|(_, at)| leftover(*at)));
    let pool = machine.pool.as_ref();
    let own = pool.and_then(|pool| policy.pools.get(pool));
    let rules = own.unwrap_or(&policy.rules);
    let age = since(machine.created_at, request.created_at);
    let ended = match machine.join_by {
        Some(end) => request.created_at >= end,
        None => age >= rules.join_window,
    };
    assert!(earliest(world) < age && !ended, "{age}");
    // No evidence is used here.
    assert_eq!(rules.evidence, Strength::None);
    let earlier = approved_before(world, request, machine);
    let keys: BTreeSet<KeyHash> = earlier.iter().map(|(key, _)| *key).collect();
    if let Some(last) = earlier.iter().map(|(_, at)| *at).max()
        && !keys.contains(&request.key().unwrap())
    {
        assert!(keys.len() < rules.max_issues);
        assert!(since(last, world.now) >= rules.reissue_after);
    }
}

fn assert_bootstrapper(world: &World, request: &Request) {
    let requestor = &request.requestor;
    let groups = &requestor.groups;
    assert!(world.policy.bootstrappers.iter().any(|rule| {
        (rule.username.is_some() || rule.group.is_some())
            && rule.username.iter().all(|name| *name == requestor.username)
            && rule.group.iter().all(|group| groups.contains(group))
    }));
    assert!(!groups.contains(&"system:nodes".to_owned()) || requestor.node().is_none());
}

/// The minimum age of a Machine at its request, which may be negative.
fn earliest(world: &World) -> SignedDuration {
    world.policy.clock_skew.checked_neg().unwrap()
}

/// Every key that was approved for a Machine before, with the time.
fn approved_before(
    world: &World,
    request: &Request,
    machine: &Machine,
) -> Vec<(KeyHash, Timestamp)> {
    let names = names(world, machine);
    let others = world.requests.iter().filter(|other| {
        other.signer == request.signer
            && !other.is_by_its_node()
            && earliest(world) < since(machine.created_at, other.created_at)
    });
    let approved = others.filter_map(|other| {
        let Standing::Approved(at) = other.standing else {
            return None;
        };
        let node = other.node_name()?;
        names.contains(node.as_str()).then_some((other.key()?, at))
    });
    approved.collect()
}

fn assert_served(world: &World, machine: &Machine, node: &str, content: &CertificationRequest) {
    let names = content.names();
    let dns = names.dns.iter().map(|name| plain(name));
    let asked: Vec<String> = dns
        .chain(names.ips.iter().map(|ip| plain(&ip.to_string())))
        .collect();
    assert!(!asked.is_empty());
    let pool = machine.pool.as_deref() == Some("workers");
    let range = pool && !world.policy.serving.extra_ranges.is_empty();
    for name in asked {
        assert!(!is_reserved(world, &name), "{name}");
        let has = |machine: &Machine| {
            machine
                .addresses
                .iter()
                .any(|address| *name == text(address))
        };
        // A Machine that gets no certificate keeps its names from no other, unless its Node exists.
        let gone = |other: &Machine| {
            let node = other.node_reference.as_ref();
            gets_nothing(other) && !node.is_some_and(|node| lives(world, node))
        };
        let others = world.machines.iter();
        let others = others.filter(|other| !is_bound(other, node) && !gone(other));
        let others = others.filter(|other| has(other)).count();
        if range && name.starts_with("192.0.2.") {
            assert!(has(machine) || others != 1, "{name}");
        } else {
            assert!((has(machine) || name == node) && others == 0, "{name}");
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

fn text(address: &Address) -> String {
    match address {
        Address::ExternalDns(name) | Address::Hostname(name) | Address::InternalDns(name) => {
            name.to_string()
        }
        Address::ExternalIp(ip) | Address::InternalIp(ip) => ip.to_string(),
    }
}

fn is_reserved(world: &World, name: &str) -> bool {
    let domain = &world.policy.serving.cluster_domain;
    name.contains('*')
        || name == "kubernetes"
        || name.starts_with("kubernetes.")
        || name
            .split('.')
            .any(|label| label == "svc" || label == "localhost")
        || name == domain
        || name.ends_with(&format!(".{domain}"))
        || ["127.0.0.1", "10.96.0.1", "::"].contains(&name)
}
