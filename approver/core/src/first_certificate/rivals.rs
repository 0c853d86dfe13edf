//! The choice between competing requests for one Machine, by its rules.
//!
//! With `settle`, the default, no key wins because it came last. Stronger evidence comes first. Otherwise all keys wait
//! until no new one has come for a while: then the key that asked first gets the certificate, and if it does not use it
//! within the time after which a Machine is reissued, the key that asked last.

use std::cmp::Ordering;

use jiff::Timestamp;
use rollcall_csr::KeyHash;

use super::claims::{Claimed, check_claims, has_claim};
use super::{check_evidence, is_expected, sole_owner};
use crate::evidence::Proven;
use crate::profile::check_client_profile;
use crate::token::check_first_token;
use crate::{
    Contested, Facts, Finding, Machine, Policy, Reason, Request, RequestUid, Strength, window,
};

/// The position of a request among others for the same Machine.
pub(super) enum Rivals {
    /// It must wait for another one, and possibly for a time.
    Lose(Finding, RequestUid, Option<Timestamp>),
    None,
    Win(Finding),
}

pub(super) fn check_rivals(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Rivals {
    let contest = Contest {
        request,
        facts,
        policy,
        now,
    };
    let rules = sole_owner(facts).map_or(&policy.rules, |machine| policy.rules(machine));
    match rules.contested {
        Contested::Hold => contest.by_age(true),
        Contested::Newest => contest.by_age(false),
        Contested::Settle => contest.settle(rules.settle_after),
    }
}

/// A request, and the context in which its rivals are compared.
struct Contest<'a> {
    request: &'a Request,
    facts: &'a Facts<'a>,
    policy: &'a Policy,
    now: Timestamp,
}

impl<'a> Contest<'a> {
    fn rivals(&self) -> impl Iterator<Item = &'a Request> {
        self.facts.rivals.iter().copied()
    }

    // Ages and keys are compared before this costly check: one credential can file very many requests for one name.
    fn is_eligible(&self, rival: &Request) -> bool {
        is_eligible(rival, self.facts, self.policy, self.now)
    }

    /// The newest rival of a crowd. The rivals omitted from it may hold another key; they are not all examined.
    fn crowd(&self) -> Option<&'a Request> {
        self.rivals().next().filter(|_| self.facts.crowded)
    }

    /// Returns the result for a contest by age: the newest request wins, or all of them wait.
    fn by_age(&self, hold: bool) -> Rivals {
        let mut newer = self
            .rivals()
            .filter(|rival| rival.is_newer_than(self.request));
        if let Some(newer) = newer.find(|rival| self.is_eligible(rival)) {
            return superseded(newer);
        }
        let key = self.request.key();
        let mut others = self.rivals().filter(|rival| rival.key() != key);
        match others.find(|rival| self.is_eligible(rival)) {
            Some(other) if hold => lose(contested(other), other, None),
            Some(other) => Rivals::Win(contested(other)),
            None => self.lose_to_crowd(hold),
        }
    }

    fn lose_to_crowd(&self, hold: bool) -> Rivals {
        match self.crowd().filter(|_| hold) {
            Some(other) => lose(crowded(other), other, None),
            None => Rivals::None,
        }
    }

    fn settle(&self, after: jiff::SignedDuration) -> Rivals {
        // A request that cannot be approved does not compete.
        if !self.is_eligible(self.request) {
            return Rivals::None;
        }
        let key = self.request.key();
        let (same, others): (Vec<&Request>, Vec<&Request>) =
            self.rivals().partition(|rival| rival.key() == key);
        let mut newer = same.iter().filter(|one| one.is_newer_than(self.request));
        if let Some(newer) = newer.find(|one| self.is_eligible(one)) {
            return superseded(newer);
        }
        let others: Vec<&Request> = others
            .into_iter()
            .filter(|rival| self.is_eligible(rival))
            .collect();
        let rank = self.rank(self.request);
        if let Some(better) = others.iter().find(|other| self.rank(other) > rank) {
            return lose(proves_more(better), better, None);
        }
        let equals = others.iter().copied();
        let equals: Vec<&Request> = equals.filter(|other| self.rank(other) == rank).collect();
        let Some(newest) = equals.first() else {
            let weaker = others.first().map(|other| Rivals::Win(contested(other)));
            return weaker.unwrap_or_else(|| self.lose_to_crowd(true));
        };
        let last = self.request.created_at.max(newest.created_at);
        let quiet = last.checked_add(after);
        if !quiet.as_ref().is_ok_and(|quiet| *quiet <= self.now) {
            return lose(contested(newest), newest, quiet.ok());
        }
        match self.first_of_turn(&equals) {
            Some(before) => lose(contested(before), before, None),
            None => Rivals::Win(contested(newest)),
        }
    }

    /// The rank of a request: its evidence, then a claim of its key.
    fn rank(&self, request: &Request) -> (Strength, bool) {
        let proven = sole_owner(self.facts).map(|machine| {
            Proven::of(request, machine, self.facts, self.policy, self.now).strength()
        });
        (
            proven.unwrap_or(Strength::None),
            has_claim(request, self.facts),
        )
    }

    /// The rival with precedence over the request once no new key comes: for a Machine without a claim, one with a key
    /// that asked earlier, otherwise one with a key that asked later. Keys from the same second have no order:
    /// requestors choose the names.
    fn first_of_turn(&self, equals: &[&'a Request]) -> Option<&'a Request> {
        let own = self.asked(self.request.key());
        let before = if self.facts.claims.is_empty() {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        let mut equals = equals.iter().copied();
        equals.find(|other| {
            let order = self.asked(other.key()).cmp(&own);
            order == before || order == Ordering::Equal
        })
    }

    /// The time of a key's first request, among the pending ones.
    fn asked(&self, key: Option<KeyHash>) -> Option<Timestamp> {
        let all = self.rivals().chain([self.request]);
        let of_key = all.filter(|one| one.key() == key);
        of_key.map(|one| one.created_at).min()
    }
}

fn superseded(newer: &Request) -> Rivals {
    let message = format!(
        "request {} of {} is newer and asks for the same node",
        newer.shown_name(),
        newer.created_at
    );
    lose(Finding::new(Reason::Superseded, message), newer, None)
}

fn lose(finding: Finding, to: &Request, until: Option<Timestamp>) -> Rivals {
    Rivals::Lose(finding, to.uid.clone(), until)
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

fn crowded(other: &Request) -> Finding {
    Finding::new(
        Reason::Contested,
        format!(
            "so many requests ask for the same node, {} the newest of them, that not all are looked at, and some may be for another key",
            other.shown_name()
        ),
    )
}

fn proves_more(other: &Request) -> Finding {
    Finding::new(
        Reason::Contested,
        format!(
            "request {} asks for the same node with another key, and proves more",
            other.shown_name()
        ),
    )
}

/// Returns true if a rival could itself be approved, so that it may block another. The slowest checks come last.
fn is_eligible(rival: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> bool {
    let fits = |machine: &Machine| {
        is_expected(rival, machine, facts, policy, now)
            && !window::is_over_for(rival, machine, policy, now)
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
