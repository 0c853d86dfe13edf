//! Path 1: the first certificate of a machine, asked for through a bootstrapper.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use crate::decide::{Path, combine};
use crate::freshness::check_stale;
use crate::itself::check_stays;
use crate::profile::check_client_profile;
use crate::{
    Claim, Contested, Decision, Facts, Finding, Machine, Policy, Reason, Request, RequestUid,
    Verdict, Wait,
};

/// Decides a pending request of a bootstrapper. Every check runs; every finding is kept.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let Weighed {
        against,
        waits,
        warnings,
    } = weigh(request, facts, policy, now);
    let owner = sole_owner(facts);
    combine(request, policy, owner, against, waits, |machine, key| {
        approve(request, machine, key, warnings, now)
    })
}

/// What speaks against a request, what could change that, and what a person should see although it is approved.
struct Weighed {
    against: Vec<Finding>,
    waits: Vec<Wait>,
    warnings: Vec<Finding>,
}

fn weigh(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Weighed {
    let mut against = check_client_profile(request);
    let (mut waits, mut warnings) = (Vec::new(), Vec::new());
    if let Some(stale) = &facts.stale {
        against.push(check_stale(stale, now));
        waits.push(Wait::Feed);
    }
    if let Some(name) = request.node_name() {
        against.extend(check_owner(&name, facts));
        against.extend(check_node(&name, facts));
        waits.push(Wait::Name(name));
    }
    if let Some(machine) = sole_owner(facts) {
        against.extend(check_machine(machine));
        against.extend(check_window(request, machine, policy));
    }
    match check_claims(request, &facts.claims, policy, now) {
        Claimed::Free => {}
        Claimed::Again(warning) => warnings.push(warning),
        Claimed::Taken(finding, until) => {
            against.push(finding);
            let claims = facts.claims.iter();
            waits.extend(claims.map(|claim| Wait::Request(claim.request.clone())));
            waits.extend(until.map(Wait::Until));
        }
    }
    match check_rivals(request, facts, policy, now) {
        Rivals::None => {}
        Rivals::Lose(finding, to) => {
            against.push(finding);
            waits.push(Wait::Request(to));
        }
        Rivals::Win(warning) => warnings.push(warning),
    }
    Weighed {
        against,
        waits,
        warnings,
    }
}

fn approve(
    request: &Request,
    machine: &Machine,
    key: KeyHash,
    warnings: Vec<Finding>,
    now: Timestamp,
) -> Decision {
    let claim = Claim {
        approved_at: now,
        key,
        machine: machine.uid.clone(),
        request: request.uid.clone(),
    };
    let finding = Finding::new(
        Reason::FirstCertificate,
        format!(
            "Machine {} is expected and owns the node name; key {key}",
            machine.reference
        ),
    );
    Decision::new(
        Verdict::Approve(Some(claim)),
        finding,
        warnings,
        Some(machine.reference.clone()),
    )
}

/// The Machine that owns the name, when just one does.
fn sole_owner<'a>(facts: &Facts<'a>) -> Option<&'a Machine> {
    match facts.owners.as_slice() {
        [machine] => Some(machine),
        _ => None,
    }
}

fn check_owner(name: &NodeName, facts: &Facts<'_>) -> Option<Finding> {
    match facts.owners.as_slice() {
        [] => Some(Finding::new(
            Reason::MachineNotFound,
            format!(
                "no Machine owns the node name {name} (nameStrategies say how a Machine owns one)"
            ),
        )),
        [_] => None,
        several => {
            let references: Vec<String> = several
                .iter()
                .map(|machine| machine.reference.to_string())
                .collect();
            Some(Finding::new(
                Reason::MachineAmbiguous,
                format!(
                    "several Machines own the node name {name}: {}",
                    references.join(", ")
                ),
            ))
        }
    }
}

fn check_node(name: &NodeName, facts: &Facts<'_>) -> Option<Finding> {
    facts.node.map(|node| {
        Finding::new(
            Reason::NodeExists,
            format!(
                "Node {name} exists since {} (uid {}); a first certificate is for a new one",
                node.created_at, node.uid
            ),
        )
    })
}

/// Whether the Machine is pending: it became no Node, is not going away and has not failed.
fn check_machine(machine: &Machine) -> impl Iterator<Item = Finding> {
    let bound = machine.node_reference.as_ref().map(|node| {
        Finding::new(
            Reason::MachineBound,
            format!(
                "Machine {} has become Node {node} already (status.nodeRef)",
                machine.reference
            ),
        )
    });
    bound.into_iter().chain(check_stays(machine))
}

/// Whether the request was made while the Machine was expected; both ends of the window are outside of it.
fn check_window(request: &Request, machine: &Machine, policy: &Policy) -> Option<Finding> {
    let (made, created) = (request.created_at, machine.created_at);
    if is_inside_window(request, machine, policy) {
        return None;
    }
    let reference = &machine.reference;
    let message = match machine.join_by {
        _ if made <= created => format!(
            "the request was made at {made}, before Machine {reference} was created at {created} (clock skew allowed: {:#})",
            policy.clock_skew
        ),
        Some(end) => format!(
            "the request was made at {made}; Machine {reference} was to join before {end} (spec.joinBy)"
        ),
        None => format!(
            "the request was made at {made}, later than {:#} after Machine {reference} was created at {created}",
            policy.join_window
        ),
    };
    Some(Finding::new(Reason::OutsideJoinWindow, message))
}

fn is_inside_window(request: &Request, machine: &Machine, policy: &Policy) -> bool {
    let age = request.created_at.duration_since(machine.created_at);
    // Durations are seconds in 64 bits and both ends are years away from overflow; if not, nothing is inside.
    let begun = policy
        .clock_skew
        .checked_neg()
        .is_some_and(|earliest| earliest < age);
    begun
        && match machine.join_by {
            Some(end) => request.created_at < end,
            None => age < policy.join_window,
        }
}

/// What earlier approvals for the Machine mean for a key.
enum Claimed {
    Again(Finding),
    Free,
    Taken(Finding, Option<Timestamp>),
}

fn check_claims(request: &Request, claims: &[Claim], policy: &Policy, now: Timestamp) -> Claimed {
    let key = request.key();
    let Some(last) = claims.iter().max_by_key(|claim| claim.approved_at) else {
        return Claimed::Free;
    };
    if claims.iter().any(|claim| Some(claim.key) == key) {
        return Claimed::Free;
    }
    let keys = claims.iter().map(|claim| claim.key);
    let issued = keys.collect::<BTreeSet<KeyHash>>().len();
    let message = format!(
        "a certificate was approved at {} for another key ({}), {issued} of at most {}, and its Node has not appeared",
        last.approved_at, last.key, policy.max_issues
    );
    let free_at = last.approved_at.checked_add(policy.reissue_after).ok();
    match free_at {
        Some(at) if issued < policy.max_issues && at <= now => {
            Claimed::Again(Finding::new(Reason::Reissued, message))
        }
        at => {
            let until = at.filter(|_| issued < policy.max_issues);
            Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), until)
        }
    }
}

/// How a request stands against others for the same Machine.
enum Rivals {
    Lose(Finding, RequestUid),
    None,
    Win(Finding),
}

fn check_rivals(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Rivals {
    let eligible = |rival: &&Request| is_eligible(rival, facts, policy, now);
    // Ages are compared before the costly question whether a rival could be approved: one credential can file very many
    // requests for one name.
    let rivals = || facts.rivals.iter().copied();
    let newer = |rival: &&Request| rival.is_newer_than(request);
    if let Some(newer) = rivals().filter(newer).find(eligible) {
        let finding = Finding::new(
            Reason::Superseded,
            format!(
                "request {} of {} is newer and asks for the same node",
                newer.name, newer.created_at
            ),
        );
        return Rivals::Lose(finding, newer.uid.clone());
    }
    let key = request.key();
    let other = rivals().find(|rival| rival.key() != key && eligible(rival));
    // What was left out of a crowd may hold another key, and nobody looks at all of it.
    let crowd = rivals().next().filter(|_| facts.crowded);
    match (policy.contested, other, crowd) {
        (Contested::Newest, Some(other), _) => Rivals::Win(contested(other)),
        (Contested::Hold, Some(other), _) | (Contested::Hold, None, Some(other)) => {
            Rivals::Lose(contested(other), other.uid.clone())
        }
        (Contested::Hold, None, None) | (Contested::Newest, None, _) => Rivals::None,
    }
}

fn contested(other: &Request) -> Finding {
    Finding::new(
        Reason::Contested,
        format!(
            "request {} asks for the same node with another key",
            other.name
        ),
    )
}

/// Whether a rival could itself be approved, so that it may stand in another's way.
fn is_eligible(rival: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> bool {
    let free = !matches!(
        check_claims(rival, &facts.claims, policy, now),
        Claimed::Taken(_, _)
    );
    rival.is_pending()
        && Path::of(rival, policy) == Some(Path::FirstCertificate)
        && check_client_profile(rival).is_empty()
        && sole_owner(facts).is_some_and(|machine| is_inside_window(rival, machine, policy))
        && free
}
