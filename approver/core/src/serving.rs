//! Path 3: the serving certificate of a kubelet. Every name in it belongs to the one Machine that has become the Node, or
//! all of them stand in the certificate that the node serves now (`served.rs`). What the kubelet itself wrote into the
//! Node counts for nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_csr::RequestedNames;

use crate::profile::{check_serving_profile, list};
use crate::reserved::{self, Reserved};
use crate::served::{self, Way};
use crate::{
    Decision, Facts, Finding, Machine, MachineReference, Policy, Reason, Request, ServerName,
    ServingPolicy, itself,
};

/// Decides a pending request of a node for its serving certificate. Every check runs; every finding is kept.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let mut against = check_serving_profile(request);
    against.extend(check_names(request, facts, policy, now));
    against.extend(itself::check_newest(request, facts, check_serving_profile));
    let way = second_way(request, facts, policy, &against, now);
    if way.good.is_some() {
        against.clear();
    }
    against.extend(way.against);
    itself::conclude(request, facts, policy, against, way.wait, |machine, key| {
        if let Some(address) = way.good {
            let vouched = if way.unvouched {
                "has no address for, so that it is one that the node asks for (serving.renewWithoutAddresses)"
            } else {
                "vouches for"
            };
            return Finding::new(
                Reason::ServingRenewal,
                format!(
                    "the node serves a certificate of the kubelet CA for exactly these names at {address}, which Machine \
                     {} {vouched}; key {key}",
                    machine.reference
                ),
            );
        }
        Finding::new(
            Reason::ServingCertificate,
            format!(
                "Machine {} vouches for every requested name; key {key}",
                machine.reference
            ),
        )
    })
}

/// Everything about the node and the names that it asks for: whose they are, where that matters.
fn check_names(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Finding> {
    let (sole, serving) = (itself::sole(facts), &policy.serving);
    let reserved = match &request.content {
        Ok(content) => reserved::check(content.names(), sole, facts, serving),
        Err(_) => Reserved::default(),
    };
    let mut against = reserved.findings.clone();
    against.extend(itself::check(request, facts, policy, now));
    if let (Some(mut asked), Some(machine)) = (asked(request), sole) {
        asked.names.retain(|name| !reserved.holds(name));
        let own = own_names(request, facts, machine);
        against.extend(check_shared(&asked, &own, facts, machine, serving));
        against.extend(check_owned(&asked, &own, facts, machine, serving));
    }
    against
}

/// What the node serves now, where that is all that could still vouch for names that the Machine does not have, and
/// nobody else has either.
fn second_way(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    against: &[Finding],
    now: Timestamp,
) -> Way {
    let names = match against {
        [only] if only.reason == Reason::NameNotOwned => asked(request),
        _ => None,
    };
    match (names, itself::sole(facts), request.node_name()) {
        (Some(asked), Some(machine), Some(node))
            if asked.odd.is_empty() && facts.elsewhere.is_empty() =>
        {
            let names = asked.names.into_iter().collect();
            served::check(&names, &node, machine, facts, policy, now)
        }
        _ => Way::default(),
    }
}

/// The requested names, in the form in which they compare, and those that have none.
struct Asked {
    names: Vec<ServerName>,
    odd: Vec<String>,
}

impl Asked {
    fn of(names: &RequestedNames) -> Self {
        let mut asked = Self {
            names: names.ips.iter().copied().map(ServerName::of_ip).collect(),
            odd: Vec::new(),
        };
        for text in &names.dns {
            match ServerName::read_dns(text) {
                Some(name) => asked.names.push(name),
                None => asked.odd.push(text.clone()),
            }
        }
        asked
    }
}

/// The names that a request asks for, as an index wants them: those that a Machine could have.
pub(crate) fn asked_for(request: &Request) -> Vec<ServerName> {
    // A request that cannot be read asks for nothing that a fact could change.
    asked(request).map_or_else(Vec::new, |asked| asked.names)
}

fn asked(request: &Request) -> Option<Asked> {
    let content = request.content.as_ref().ok()?;
    Some(Asked::of(content.names()))
}

/// What the machine is reached by, as any record of it says, and the name of the Node that it has become: that is its own
/// whatever its records list, as long as no other Machine that could be given it owns it too. What is the text of an IP address
/// is no name.
fn own_names<'a>(
    request: &Request,
    facts: &Facts<'a>,
    machine: &'a Machine,
) -> BTreeSet<ServerName> {
    let mut own = addresses(facts, machine);
    let is_own = |owner: &&Machine| facts.records(machine).any(|record| record.uid == owner.uid);
    if facts.owners.iter().all(is_own) {
        let name = request.node_name();
        own.extend(name.and_then(|name| ServerName::read_dns(name.as_str())));
    }
    own
}

fn addresses<'a>(facts: &Facts<'a>, machine: &'a Machine) -> BTreeSet<ServerName> {
    let records = facts.records(machine);
    records.flat_map(ServerName::of_machine).collect()
}

/// Whether another Machine has one of the names too, so that nobody can tell whose it is. In a range for its pool, machines
/// may have addresses in common.
fn check_shared(
    asked: &Asked,
    own: &BTreeSet<ServerName>,
    facts: &Facts<'_>,
    machine: &Machine,
    policy: &ServingPolicy,
) -> Option<Finding> {
    let shared = facts.elsewhere.iter().filter(|(name, _)| {
        own.contains(name) && asked.names.contains(name) && !policy.allows(machine, name)
    });
    let shared: Vec<String> = shared.map(describe).collect();
    (!shared.is_empty()).then(|| {
        Finding::new(
            Reason::MachineAmbiguous,
            format!(
                "Machine {} shares with others: {}",
                machine.reference,
                list(&shared)
            ),
        )
    })
}

fn describe((name, other): &(ServerName, &MachineReference)) -> String {
    format!("{name} (Machine {other})")
}

/// Whether every name is the Machine's, or in a range for its pool and no other single machine's: several that have it have
/// it in common. What another Node says of itself counts against, where no record has the address.
fn check_owned(
    asked: &Asked,
    own: &BTreeSet<ServerName>,
    facts: &Facts<'_>,
    machine: &Machine,
    policy: &ServingPolicy,
) -> Option<Finding> {
    let mut missing = asked.odd.clone();
    for name in asked.names.iter().filter(|name| !own.contains(name)) {
        let mut others = facts.elsewhere.iter().filter(|(other, _)| other == name);
        let mut stated = facts.stated.iter().filter(|(other, _)| other == name);
        match (others.next(), others.next(), stated.next()) {
            (Some(_), Some(_), _) | (None, None, None) if policy.allows(machine, name) => {}
            (Some(other), ..) => missing.push(describe(other)),
            (None, _, Some((_, node))) => missing.push(format!("{name} (Node {node})")),
            (None, _, None) => missing.push(name.to_string()),
        }
    }
    let known = addresses(facts, machine);
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    (!missing.is_empty()).then(|| {
        Finding::new(
            Reason::NameNotOwned,
            format!(
                "Machine {} does not have [{}]; its status.addresses are [{}]",
                machine.reference,
                list(&missing),
                list(&known)
            ),
        )
    })
}

#[cfg(test)]
#[path = "serving_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "serving_reserved_tests.rs"]
mod reserved_tests;
