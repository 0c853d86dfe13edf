//! Path 2: a node renews its own client certificate. It spends no Machine, so no claim is made.

use jiff::Timestamp;

use crate::profile::check_client_profile;
use crate::{Decision, Facts, Finding, Policy, Reason, Request, itself};

/// Decides a pending request of a node for its own client certificate. Runs every check, keeps every finding.
pub(crate) fn decide(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let mut against = check_client_profile(request);
    against.extend(itself::check(request, facts, policy, now));
    against.extend(itself::check_newest(request, facts, check_client_profile));
    itself::conclude(request, facts, policy, against, None, |machine, key| {
        Finding::new(
            Reason::Renewal,
            format!(
                "Machine {} has become the Node that asks for itself; key {key}",
                machine.reference
            ),
        )
    })
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
pub(crate) mod tests;
