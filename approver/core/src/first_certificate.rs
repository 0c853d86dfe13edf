//! Path 1: the first certificate of a machine, requested through a bootstrapper.

mod claims;
mod leftover;
mod rivals;

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use self::claims::{Claimed, check_claims};
use self::leftover::Left;
use self::rivals::{Rivals, check_rivals};
use crate::decide::combine;
use crate::evidence::{Proven, check_required};
use crate::freshness::check_stale;
use crate::itself::check_stays;
use crate::profile::check_client_profile;
use crate::token::check_first_token;
use crate::{
    Claim, Decision, Facts, Finding, Machine, Policy, Reason, Request, RequestUid, Verdict, Wait,
    window,
};

/// Decides a pending request of a bootstrapper. Runs every check, keeps every finding.
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
        replaces: _,
    } = weigh(request, facts, policy, now);
    let owner = sole_owner(facts);
    combine(request, policy, owner, against, waits, |machine, key| {
        approve(request, machine, key, warnings, now)
    })
}

/// The findings against a request, the changes to wait for, and the warnings for an approval.
#[derive(Default)]
struct Weighed {
    against: Vec<Finding>,
    waits: Vec<Wait>,
    warnings: Vec<Finding>,
    /// True if it replaces a leftover Node.
    replaces: bool,
}

fn weigh(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Weighed {
    let mut weighed = Weighed {
        against: check_client_profile(request),
        ..Weighed::default()
    };
    if let Some(stale) = &facts.stale {
        weighed.against.push(check_stale(stale, now));
        weighed.waits.push(Wait::Feed);
    }
    if let Some(name) = request.node_name() {
        weighed.against.extend(check_owner(&name, facts));
        if let Some(node) = facts.node {
            weighed.take_node(leftover::check_node(&name, node, facts, policy, now));
        }
        weighed.warnings.extend(check_length(&name));
        weighed.waits.push(Wait::Name(name));
    }
    if let Some(machine) = sole_owner(facts) {
        weighed
            .against
            .extend(facts.check_records(machine, check_machine));
        weighed.against.extend(check_instance(machine, facts));
        weighed
            .against
            .extend(check_window(request, machine, facts, policy, now));
        weighed.take_token(check_first_token(request, machine, facts));
        let evidence = check_evidence(request, machine, facts, policy, now);
        weighed.against.extend(evidence);
    }
    weighed.take_claims(check_claims(request, facts, policy, now), facts);
    weighed.take_rivals(check_rivals(request, facts, policy, now));
    // Reading a Lease costs a call, so it is only checked if there is no other finding.
    if weighed.replaces
        && weighed.against.is_empty()
        && let (Some(name), Some(node)) = (request.node_name(), facts.node)
        && let Some(taken) = leftover::check_lease(&name, node, facts, now)
    {
        weighed.take_node(taken);
    }
    weighed
}

impl Weighed {
    fn take_node(&mut self, node: Left) {
        match node {
            Left::Replaceable(warning) => {
                self.warnings.push(warning);
                self.replaces = true;
            }
            Left::Taken(finding, wait) => {
                self.against.push(finding);
                self.waits.extend(wait);
            }
        }
    }

    fn take_token(&mut self, finding: Option<Finding>) {
        let missing = finding
            .as_ref()
            .is_some_and(|finding| finding.reason == Reason::FactsStale);
        self.waits.extend(missing.then_some(Wait::Feed));
        self.against.extend(finding);
    }

    fn take_claims(&mut self, claimed: Claimed, facts: &Facts<'_>) {
        match claimed {
            Claimed::Free => {}
            Claimed::Again(warning) => self.warnings.push(warning),
            Claimed::Taken(finding, until) => {
                self.against.push(finding);
                let claims = facts.claims.iter().map(|claim| &claim.request);
                let live = facts.live.iter().map(|(_, request)| &request.uid);
                let requests: BTreeSet<&RequestUid> = claims.chain(live).collect();
                self.waits
                    .extend(requests.into_iter().cloned().map(Wait::Request));
                self.waits.extend(until.map(Wait::Until));
            }
        }
    }

    fn take_rivals(&mut self, rivals: Rivals) {
        match rivals {
            Rivals::None => {}
            Rivals::Lose(finding, to, until) => {
                self.against.push(finding);
                self.waits.push(Wait::Request(to));
                self.waits.extend(until.map(Wait::Until));
            }
            Rivals::Win(warning) => self.warnings.push(warning),
        }
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

/// The Machine that owns the name, if exactly one does.
fn sole_owner<'a>(facts: &Facts<'a>) -> Option<&'a Machine> {
    match facts.owners.as_slice() {
        [machine] => Some(machine),
        _ => None,
    }
}

/// The maximum length of a label value: kubelet puts its host name, usually the node name, into the label
/// `kubernetes.io/hostname`, and the API server rejects a Node with a longer value (Kubernetes
/// `validation.LabelValueMaxLength`).
const LONGEST_LABEL: usize = 63;

/// Warns of a name that is too long for that label: its certificate is valid, but its machine gets no Node.
fn check_length(name: &NodeName) -> Option<Finding> {
    let length = name.as_str().len();
    (length > LONGEST_LABEL).then(|| {
        Finding::new(
            Reason::NameTooLong,
            format!(
                "the node name {name} has {length} characters, and the label kubernetes.io/hostname takes {LONGEST_LABEL}: the \
                 API server may refuse the Node that kubelet registers; give the machine a shorter host name"
            ),
        )
    })
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

/// Checks that the Machine is pending: not bound to a Node, not being deleted and not failed.
fn check_machine(machine: &Machine) -> impl Iterator<Item = Finding> + use<> {
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

/// Checks that the Machine has not become the Node of that name without a reference in its record (yet): both would share an
/// instance.
fn check_instance(machine: &Machine, facts: &Facts<'_>) -> Option<Finding> {
    let own = |bound: &&&Machine| bound.uid == machine.uid || bound.is_same_as(machine);
    let bound = facts.bound.iter().find(own)?;
    bound.node_reference.is_none().then(|| {
        Finding::new(
            Reason::MachineBound,
            format!(
                "Machine {} is the Node's own already: its provider id, or the id of its hardware, is that of the Node; \
                 it has no status.nodeRef yet",
                bound.reference
            ),
        )
    })
}

/// Checks that the request was made while the Machine was expected.
fn check_window<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
    policy: &Policy,
    now: Timestamp,
) -> Option<Finding> {
    let expected = is_expected(request, machine, facts, policy, now);
    let message = if !expected {
        window::describe(request, machine, policy, now)
    } else if window::is_over_for(request, machine, policy, now) {
        format!(
            "the request was made at {}, and Machine {} is expected no more by now: a request is approved for as long as it could \
             be made, and the machine has to ask anew",
            request.created_at, machine.reference
        )
    } else {
        return None;
    };
    Some(Finding::new(Reason::OutsideJoinWindow, message))
}

/// Returns true if a record that vouches for the machine expected it when the request was made.
fn is_expected<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let is_unheard = |record: &Machine| {
        facts
            .unheard
            .iter()
            .any(|unheard| unheard.uid == record.uid)
    };
    let mut records = facts.records(machine).filter(|record| !is_unheard(record));
    records.any(|record| window::is_inside(request, record, policy, now))
}

/// Checks that a request proves what the Machine requires, and that none of its evidence is forged.
fn check_evidence(
    request: &Request,
    machine: &Machine,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Finding> {
    let mut proven = Proven::of(request, machine, facts, policy, now);
    let missing = check_required(&proven, machine, facts, policy);
    let forged = std::mem::take(&mut proven.forged);
    forged.into_iter().chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_label_takes_is_warned_of() {
        for (length, warned) in [
            (1, false),
            (52, false),
            (62, false),
            (63, false),
            (64, true),
            (65, true),
            (253, true),
        ] {
            // A label of a DNS name is not longer than 63 either.
            let name: String = "n"
                .repeat(length)
                .chars()
                .enumerate()
                .map(|(place, letter)| {
                    if place % 50 == 49 && place + 1 < length {
                        '.'
                    } else {
                        letter
                    }
                })
                .collect();
            let warning = check_length(&name.parse().unwrap());
            assert_eq!(warning.is_some(), warned, "{length}");
            let said = warning.map(|finding| finding.message).unwrap_or_default();
            assert_eq!(
                said.contains(&format!("has {length} characters")),
                warned,
                "{said}"
            );
        }
    }
}
