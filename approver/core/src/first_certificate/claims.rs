//! Whether a Machine is spent: what earlier approvals for it mean for another request.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_csr::KeyHash;

use super::sole_owner;
use crate::evidence::Proven;
use crate::{Facts, Finding, Policy, Reason, Request};

/// What earlier approvals for the Machine mean for a key.
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
    let claims = facts.claims.iter();
    let (Some(last), Some(machine)) = (
        claims.clone().max_by_key(|claim| claim.approved_at),
        sole_owner(facts),
    ) else {
        return Claimed::Free;
    };
    let previous = || Proven::of(request, machine, facts, policy, now).previous;
    let has = |key: Option<KeyHash>| claims.clone().any(|claim| Some(claim.key) == key);
    if has(request.key()) || has(previous()) {
        return Claimed::Free;
    }
    let rules = policy.rules(machine);
    let keys = claims.map(|claim| claim.key);
    let issued = keys.collect::<BTreeSet<KeyHash>>().len();
    let message = format!(
        "a certificate was approved at {} for another key ({}), {issued} of at most {}, and its Node has not appeared",
        last.approved_at, last.key, rules.max_issues
    );
    let free_at = last.approved_at.checked_add(rules.reissue_after).ok();
    match free_at {
        Some(at) if issued < rules.max_issues && at <= now => {
            Claimed::Again(Finding::new(Reason::Reissued, message))
        }
        at => {
            let until = at.filter(|_| issued < rules.max_issues);
            Claimed::Taken(Finding::new(Reason::AlreadyIssued, message), until)
        }
    }
}
