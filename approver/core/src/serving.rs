//! Path 3: the serving certificate of a kubelet. Every name in it belongs to the one Machine that has become the Node, or
//! all of them stand in the certificate that the node serves now (`served.rs`). What the kubelet itself wrote into the
//! Node counts for nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::RequestedNames;

use crate::profile::{check_serving_profile, list};
use crate::served::{self, Way};
use crate::{
    Decision, Facts, Finding, Machine, MachineReference, Policy, Reason, Request, ServerName,
    ServingPolicy, itself,
};

/// Names that mean the machine itself to every machine (RFC 6761 section 6.3, and what Linux distributions add).
const LOCAL_NAMES: [&str; 2] = ["localhost", "localhost.localdomain"];
/// The name of the API server in every cluster, and the first label of its longer forms (Kubernetes: Service
/// `default/kubernetes`).
const API_SERVER: &str = "kubernetes";
/// What the names of Services end in before the cluster domain, as the search list of pods completes them.
const SERVICES: &str = "svc";

/// Decides a pending request of a node for its serving certificate. Every check runs; every finding is kept.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let mut against = check_serving_profile(request);
    if let Ok(content) = &request.content {
        against.extend(check_reserved(content.names(), &policy.serving));
    }
    against.extend(itself::check(request, facts, policy, now));
    if let (Ok(content), Some(machine)) = (&request.content, itself::sole(facts)) {
        let asked = Asked::of(content.names());
        let own = own_names(request, facts, machine);
        against.extend(check_shared(&asked, &own, facts, machine));
        against.extend(check_owned(&asked, &own, facts, machine, &policy.serving));
    }
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

/// Whether a requested name would let a node pass for something else than itself, whatever its Machine says.
fn check_reserved(names: &RequestedNames, policy: &ServingPolicy) -> Option<Finding> {
    let dns = names.dns.iter().filter(|name| is_reserved(name, policy));
    let ips = names.ips.iter().filter(|ip| is_reserved_ip(**ip, policy));
    let reserved: Vec<String> = dns.cloned().chain(ips.map(ToString::to_string)).collect();
    (!reserved.is_empty()).then(|| {
        Finding::new(
            Reason::NameReserved,
            format!("no node may serve under [{}]", list(&reserved)),
        )
    })
}

fn is_reserved(text: &str, policy: &ServingPolicy) -> bool {
    let folded = text.trim_end_matches('.').to_ascii_lowercase();
    let is_under = |parent: &str| {
        folded
            .strip_suffix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let first_label = folded.split('.').next();
    text.contains('*')
        || first_label == Some(API_SERVER)
        || LOCAL_NAMES.into_iter().any(is_under)
        || is_under(SERVICES)
        || is_under(&policy.cluster_domain)
        || match ServerName::read(&folded) {
            Some(ServerName::Ip(ip)) => is_reserved_ip(ip, policy),
            Some(name) => policy.api_servers.contains(&name),
            None => false,
        }
}

fn is_reserved_ip(ip: IpAddr, policy: &ServingPolicy) -> bool {
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || policy.api_servers.contains(&ServerName::of_ip(ip))
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

/// Whether another Machine has one of the names too: nobody can tell whose it is.
fn check_shared(
    asked: &Asked,
    own: &BTreeSet<ServerName>,
    facts: &Facts<'_>,
    machine: &Machine,
) -> Option<Finding> {
    let shared = facts
        .elsewhere
        .iter()
        .filter(|(name, _)| own.contains(name) && asked.names.contains(name));
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

/// Whether every name is the Machine's, or in a range for its pool and nobody else's.
fn check_owned(
    asked: &Asked,
    own: &BTreeSet<ServerName>,
    facts: &Facts<'_>,
    machine: &Machine,
    policy: &ServingPolicy,
) -> Option<Finding> {
    let elsewhere = |name: &ServerName| facts.elsewhere.iter().find(|(other, _)| other == name);
    let mut missing = asked.odd.clone();
    for name in asked.names.iter().filter(|name| !own.contains(name)) {
        match elsewhere(name) {
            Some(other) => missing.push(describe(other)),
            None if policy.allows(machine, name) => {}
            None => missing.push(name.to_string()),
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
