//! The check that a Machine is not spent: the effect of earlier approvals on another request.

use jiff::{SignedDuration, Timestamp};

use super::sole_owner;
use crate::evidence::Proven;
use crate::{Claim, Facts, Finding, MOST_CLAIMS, Policy, Reason, Request};

/// The resolution of object timestamps in the API server.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The effect of earlier approvals of the Machine on a key.
pub(super) enum Claimed {
    Again(Finding),
    Free,
    Taken(Finding, Option<Timestamp>),
}

pub(super) fn check_claims(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Claimed {
    if facts.full && !has_claim(request, facts) {
        let message = format!(
            "there are {MOST_CLAIMS} claims on Machines and more, and no further one could be recorded; those of Machines \
             that are gone are forgotten"
        );
        return Claimed::Taken(Finding::new(Reason::FactsStale, message), None);
    }
    let last = facts.claims.iter().max_by_key(|claim| claim.approved_at);
    let (Some(last), Some(machine)) = (last, sole_owner(facts)) else {
        return Claimed::Free;
    };
    if has_claim(request, facts) {
        return check_live(request, facts);
    }
    let rules = policy.rules(machine);
    let issued = facts.claims.len();
    let message = format!(
        "a certificate was approved at {} for another key ({}), {issued} of at most {}, and its Node has not appeared",
        last.approved_at, last.key, rules.max_issues
    );
    if issued >= rules.max_issues {
        return Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), None);
    }
    // The holder itself may have another key: its previous certificate identifies it.
    if let Some(used) = facts.used.filter(|used| is_since(*used, last))
        && Proven::of(request, machine, facts, policy, now)
            .previous
            .is_none()
    {
        let message = format!("{message}, but its holder has used the certificate ({used})");
        return Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), None);
    }
    match last.approved_at.checked_add(rules.reissue_after) {
        Ok(at) if at <= now => Claimed::Again(Finding::new(Reason::Reissued, message)),
        at => Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), at.ok()),
    }
}

/// Returns true if the key of a request has a claim on the Machine.
pub(super) fn has_claim(request: &Request, facts: &Facts<'_>) -> bool {
    let key = request.key();
    facts.claims.iter().any(|claim| Some(claim.key) == key)
}

/// Checks that no other request with the same key is approved: a key with a claim may get its certificate again, but
/// not twice at a time.
fn check_live(request: &Request, facts: &Facts<'_>) -> Claimed {
    let mut live = facts.live.iter();
    let key = request.key();
    let other = live.find(|(of, other)| Some(*of) == key && other.uid != request.uid);
    other.map_or(Claimed::Free, |(_, other)| {
        let message = format!(
            "request {} for the same key is approved, and still there",
            other.shown_name()
        );
        Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), None)
    })
}

/// Returns true if an event came after an approval, given timestamps in whole seconds.
fn is_since(at: Timestamp, claim: &Claim) -> bool {
    at.checked_add(RESOLUTION)
        .is_ok_and(|at| at > claim.approved_at)
}
