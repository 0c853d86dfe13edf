//! How requests for one Machine stand against each other: the newest wins, or all wait.

use jiff::Timestamp;

use super::claims::{Claimed, check_claims};
use super::{check_evidence, is_expected, sole_owner};
use crate::profile::check_client_profile;
use crate::token::check_first_token;
use crate::{Contested, Facts, Finding, Machine, Policy, Reason, Request, RequestUid};

/// How a request stands against others for the same Machine.
pub(super) enum Rivals {
    Lose(Finding, RequestUid),
    None,
    Win(Finding),
}

pub(super) fn check_rivals(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Rivals {
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
                newer.shown_name(),
                newer.created_at
            ),
        );
        return Rivals::Lose(finding, newer.uid.clone());
    }
    let key = request.key();
    let other = rivals().find(|rival| rival.key() != key && eligible(rival));
    // What was left out of a crowd may hold another key, and nobody looks at all of it.
    let crowd = rivals().next().filter(|_| facts.crowded);
    let contest = sole_owner(facts).map_or(policy.rules.contested, |machine| {
        policy.rules(machine).contested
    });
    match (contest, other, crowd) {
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
            other.shown_name()
        ),
    )
}

/// Whether a rival could itself be approved, so that it may stand in another's way. What takes longest comes last.
fn is_eligible(rival: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> bool {
    let fits = |machine: &Machine| {
        is_expected(rival, machine, facts, policy, now)
            && check_first_token(rival, machine, facts).is_none()
            && check_evidence(rival, machine, facts, policy, now).is_empty()
    };
    let free = || {
        !matches!(
            check_claims(rival, facts, policy, now),
            Claimed::Taken(_, _)
        )
    };
    rival.is_pending()
        && policy.is_bootstrapper(&rival.requestor)
        && check_client_profile(rival).is_empty()
        && sole_owner(facts).is_some_and(fits)
        && free()
}
