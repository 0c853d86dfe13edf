//! Path 4: a node that was off until its certificate expired returns through a bootstrapper, and proves possession of
//! the key of a certificate that was issued to its Machine. Each return counts towards a limit.

use jiff::Timestamp;
use rollcall_csr::Statement;

use crate::decide::combine;
use crate::evidence::{Previous, Proven, check_required};
use crate::freshness::check_stale;
use crate::profile::check_client_profile;
use crate::token::check_token;
use crate::{
    Claim, Decision, Facts, Finding, KubeletCa, Machine, Policy, Reason, Request, Verdict, itself,
};

/// Returns true if a bootstrapper's request is for a known node, with a bound Machine or an existing Node, and includes
/// a previous certificate. [`decide`] evaluates the certificate.
pub(crate) fn is_resume(request: &Request, facts: &Facts<'_>, policy: &Policy) -> bool {
    let known = facts.node.is_some() || !facts.bound.is_empty();
    policy.resume.enabled && known && shows_certificate(request)
}

fn shows_certificate(request: &Request) -> bool {
    // An unreadable request shows no certificate.
    let content = request.content.as_ref().ok();
    let statements = content.and_then(|content| content.evidence().ok());
    statements
        .into_iter()
        .flatten()
        .any(|statement| matches!(statement, Statement::PreviousCertificate(_)))
}

/// Decides a pending request of a bootstrapper for a known node. Runs every check, keeps every finding.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let mut against = check_client_profile(request);
    against.extend(facts.stale.as_ref().map(|stale| check_stale(stale, now)));
    against.extend(itself::check_machine(request, facts));
    against.extend(check_off(facts));
    if let Some(machine) = itself::sole(facts) {
        against.extend(check_token(request, machine, facts));
        against.extend(match check_authority(facts, policy, now) {
            None => check_evidence(request, machine, facts, policy, now),
            Some(missing) => vec![missing],
        });
    }
    // Verifying a signature is slow: other requests are only examined if that still matters.
    if against.is_empty() {
        let mut newer = itself::newer(request, facts);
        let good = newer.find(|newer| is_good(newer, facts, policy, now));
        against.extend(good.map(itself::superseded_by));
    }
    let waits = itself::waits(request, facts, None);
    let sole = itself::sole(facts);
    combine(request, policy, sole, against, waits, |machine, key| {
        let finding = Finding::new(
            Reason::Resume,
            format!(
                "whoever asks holds the key of a certificate that Machine {} was issued before; key {key}",
                machine.reference
            ),
        );
        let claim = Claim {
            approved_at: now,
            key,
            machine: machine.uid.clone(),
            request: request.uid.clone(),
        };
        let reference = Some(machine.reference.clone());
        Decision::new(
            Verdict::Approve(Some(claim)),
            finding,
            Vec::new(),
            reference,
        )
    })
}

/// Checks that the node is off: a running one renews its certificate itself.
fn check_off(facts: &Facts<'_>) -> Option<Finding> {
    facts.node.filter(|node| node.ready).map(|node| {
        Finding::new(
            Reason::NodeExists,
            format!(
                "the Node is Ready (uid {}), and a node that runs asks for itself",
                node.uid
            ),
        )
    })
}

/// Checks that the previous certificate is the newest known one, did not expire too long ago, and is not used for too
/// many returns.
fn check_limits(
    request: &Request,
    previous: &Previous,
    facts: &Facts<'_>,
    machine: &Machine,
    policy: &Policy,
    now: Timestamp,
) -> Option<Finding> {
    let limits = &policy.resume;
    let own = request.key();
    let newer = facts
        .latest
        .filter(|(at, key)| *at > previous.issued_by && *key != previous.key && Some(*key) != own);
    if let Some((at, key)) = newer {
        let message = format!(
            "the certificate that is shown is not the newest one: another was approved at {at} for the key {key}"
        );
        return Some(Finding::new(Reason::EvidenceInvalid, message));
    }
    let expired = now.duration_since(previous.not_after);
    if expired > limits.max_expired {
        let message = format!(
            "the certificate that is shown expired at {}, longer than {:#} ago (bootstrap.resume.maxExpired)",
            previous.not_after, limits.max_expired
        );
        return Some(Finding::new(Reason::EvidenceInvalid, message));
    }
    let records: Vec<&Machine> = facts.records(machine).collect();
    let recent = facts.claims.iter().filter(|claim| {
        let age = now.duration_since(claim.approved_at);
        let of_machine = records.iter().any(|record| record.uid == claim.machine);
        of_machine && Some(claim.key) != own && age <= limits.max_expired
    });
    let issued = recent.count();
    (issued >= limits.max_issues).then(|| {
        Finding::new(
            Reason::AlreadyIssued,
            format!(
                "Machine {} was given certificates for {issued} keys within {:#}, of at most {} \
                 (bootstrap.resume.maxIssues)",
                machine.reference, limits.max_expired, limits.max_issues
            ),
        )
    })
}

/// Checks that a CA is available to verify a certificate.
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
    let limits = proven
        .previous
        .as_ref()
        .and_then(|shown| check_limits(request, shown, facts, machine, policy, now));
    if proven.forged.is_empty() {
        missing.into_iter().chain(required).chain(limits).collect()
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
