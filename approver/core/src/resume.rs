//! Path 4: a node that was off until its certificate expired comes back through a bootstrapper, and proves that it holds
//! the key of a certificate that its Machine was issued before. It spends nothing.

use jiff::Timestamp;
use rollcall_csr::Statement;

use crate::evidence::{Proven, check_required};
use crate::freshness::check_stale;
use crate::profile::check_client_profile;
use crate::token::check_token;
use crate::{Decision, Facts, Finding, KubeletCa, Machine, Policy, Reason, Request, itself};

/// Whether a bootstrapper's request is one of a node that is known: a Machine has become it, or a Node of its name is
/// there, and a certificate of before is shown. What it is worth is for [`decide`] to say.
pub(crate) fn is_resume(request: &Request, facts: &Facts<'_>) -> bool {
    let known = facts.node.is_some() || !facts.bound.is_empty();
    known && shows_certificate(request)
}

fn shows_certificate(request: &Request) -> bool {
    // What cannot be read shows nothing.
    let content = request.content.as_ref().ok();
    let statements = content.and_then(|content| content.evidence().ok());
    statements
        .into_iter()
        .flatten()
        .any(|statement| matches!(statement, Statement::PreviousCertificate(_)))
}

/// Decides a pending request of a bootstrapper for a node that is known. Every check runs; every finding is kept.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let mut against = check_client_profile(request);
    against.extend(facts.stale.as_ref().map(|stale| check_stale(stale, now)));
    against.extend(itself::check_machine(request, facts));
    if let Some(machine) = itself::sole(facts) {
        against.extend(check_token(request, machine, facts));
        against.extend(match check_authority(facts, policy, now) {
            None => check_evidence(request, machine, facts, policy, now),
            Some(missing) => vec![missing],
        });
    }
    // A signature takes long to verify: others are looked at only where that still matters.
    if against.is_empty() {
        let mut newer = itself::newer(request, facts);
        let good = newer.find(|newer| is_good(newer, facts, policy, now));
        against.extend(good.map(itself::superseded_by));
    }
    itself::conclude(request, facts, policy, against, None, |machine, key| {
        Finding::new(
            Reason::Resume,
            format!(
                "whoever asks holds the key of a certificate that Machine {} was issued before; key {key}",
                machine.reference
            ),
        )
    })
}

/// Whether there is anything to verify a certificate by.
fn check_authority(facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Option<Finding> {
    let ca = facts.kubelet_ca;
    if ca.is_some_and(|ca| !ca.trusted(policy.max_staleness, now).is_empty()) {
        return None;
    }
    let places = match ca.map(KubeletCa::sources) {
        Some(places) if !places.is_empty() => format!("in {}", places.join(", ")),
        _ => "known".to_owned(),
    };
    Some(Finding::new(
        Reason::KubeletCaMissing,
        format!(
            "the certificate of before cannot be verified: there is no CA certificate {places}"
        ),
    ))
}

fn check_evidence(
    request: &Request,
    machine: &Machine,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Finding> {
    let proven = Proven::of(request, machine, facts, policy, now);
    let missing = proven.previous.is_none().then(|| {
        Finding::new(
            Reason::EvidenceInvalid,
            format!(
                "the request does not prove that it comes from Machine {}, which is known already: {}",
                machine.reference,
                proven.worthless.join("; ")
            ),
        )
    });
    let required = check_required(&proven, machine, facts, policy);
    if proven.forged.is_empty() {
        missing.into_iter().chain(required).collect()
    } else {
        proven.forged
    }
}

fn is_good(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> bool {
    policy.is_bootstrapper(&request.requestor)
        && check_client_profile(request).is_empty()
        && itself::sole(facts).is_some_and(|machine| {
            check_token(request, machine, facts).is_none()
                && check_evidence(request, machine, facts, policy, now).is_empty()
        })
}

#[cfg(test)]
#[path = "resume_tests.rs"]
pub(crate) mod tests;
