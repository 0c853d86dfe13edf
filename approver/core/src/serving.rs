//! Path 3: the serving certificate of a kubelet. Every name in it belongs to the one Machine that is bound to the Node,
//! or all of them are in the certificate that the node serves now (`served.rs`). Data that the kubelet itself wrote into
//! the Node does not count.

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

/// Decides a pending request of a node for its serving certificate. Runs every check, keeps every finding.
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

/// Checks the node and the requested names, including their owners if relevant.
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
        let own = own_names(request, facts, machine, policy);
        against.extend(check_shared(&asked, &own, facts, machine, serving));
        against.extend(check_owned(&asked, &own, facts, machine, policy));
    }
    against
}

/// Checks the certificate that the node serves now, if only that could still vouch for names that neither the Machine
/// nor another one has.
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

/// The requested names, in canonical form, and those without one.
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

/// The requested names for the index: those that a Machine could have.
pub(crate) fn asked_for(request: &Request) -> Vec<ServerName> {
    // Facts cannot change an unreadable request.
    asked(request).map_or_else(Vec::new, |asked| asked.names)
}

fn asked(request: &Request) -> Option<Asked> {
    let content = request.content.as_ref().ok()?;
    Some(Asked::of(content.names()))
}

/// The names and addresses in the records that vouch for the machine, and the name of its Node, which is its own regardless of
/// the records, unless another Machine that could get a certificate owns it too. The text of an IP address is not a name.
fn own_names<'a>(
    request: &Request,
    facts: &Facts<'a>,
    machine: &'a Machine,
    policy: &Policy,
) -> BTreeSet<ServerName> {
    let mut own = addresses(facts, machine, policy);
    let is_own = |owner: &&Machine| facts.records(machine).any(|record| record.uid == owner.uid);
    if facts.owners.iter().all(is_own) {
        let name = request.node_name();
        own.extend(name.and_then(|name| ServerName::read_dns(name.as_str())));
    }
    own
}

fn addresses<'a>(facts: &Facts<'a>, machine: &'a Machine, policy: &Policy) -> BTreeSet<ServerName> {
    let records = facts.vouching(machine, policy).into_iter();
    records.flat_map(ServerName::of_machine).collect()
}

/// Describes a record that has one of these names and may not vouch for it.
fn unheard<'a>(
    names: &[&ServerName],
    facts: &Facts<'a>,
    machine: &'a Machine,
    policy: &Policy,
) -> String {
    let vouching = facts.vouching(machine, policy);
    let is_heard = |record: &Machine| vouching.iter().any(|heard| heard.uid == record.uid);
    let lists = |record: &Machine| ServerName::of_machine(record).any(|own| names.contains(&&own));
    let mut unheard = facts
        .records(machine)
        .filter(|record| !is_heard(record) && lists(record));
    unheard.next().map_or_else(String::new, |record| {
        format!(
            "; {} {} has such, and of the records of this machine it does not vouch (vouching: first)",
            record.source.as_str(),
            record.reference
        )
    })
}

/// Checks that no other Machine has one of the names too, so that the owner is unambiguous. Addresses in a range of its
/// pool may be shared.
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

/// Checks that every name is the Machine's, or in a range of its pool and not another single machine's: if several have it,
/// it is shared. An address in the status of another Node counts against it, if no record has the address.
fn check_owned<'a>(
    asked: &Asked,
    own: &BTreeSet<ServerName>,
    facts: &Facts<'a>,
    machine: &'a Machine,
    policy: &Policy,
) -> Option<Finding> {
    let mut missing = asked.odd.clone();
    let foreign = || asked.names.iter().filter(|name| !own.contains(name));
    for name in foreign() {
        let mut others = facts.elsewhere.iter().filter(|(other, _)| other == name);
        let mut stated = facts.stated.iter().filter(|(other, _)| other == name);
        match (others.next(), others.next(), stated.next()) {
            (Some(_), Some(_), _) | (None, None, None) if policy.serving.allows(machine, name) => {}
            (Some(other), ..) => missing.push(describe(other)),
            (None, _, Some((_, node))) => missing.push(format!("{name} (Node {node})")),
            (None, _, None) => missing.push(name.to_string()),
        }
    }
    let known = addresses(facts, machine, policy);
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    (!missing.is_empty()).then(|| {
        Finding::new(
            Reason::NameNotOwned,
            format!(
                "Machine {} does not have [{}]; its status.addresses are [{}]{}",
                machine.reference,
                list(&missing),
                list(&known),
                unheard(&foreign().collect::<Vec<_>>(), facts, machine, policy)
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
