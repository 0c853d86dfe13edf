//! The time in which a Machine is expected: from its creation until a while after it, or after its instance was ready.

use jiff::{SignedDuration, Timestamp};

use crate::{Machine, Policy, Request};

/// How long a Machine may wait for its instance so that its window still begins when that is ready: a month. A bare-metal
/// Machine waits until a host is free. Without an end, a record that becomes ready again and again would be expected always.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the join window of a Machine is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowFrom {
    /// The time at which its instance was ready, where its record says so; otherwise its creation.
    #[default]
    Instance,
    /// The creation of its record.
    Record,
}

/// Since when the instance of a Machine was ready, if its window begins then. A time before the Machine or in the future is
/// not believed.
fn ready(machine: &Machine, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    machine.ready_at.filter(|ready| {
        let waited = ready.duration_since(machine.created_at);
        policy.window_from == WindowFrom::Instance
            && (SignedDuration::ZERO..=LONGEST_WAIT).contains(&waited)
            && *ready <= now
    })
}

/// Whether a request was made while the Machine was expected. Both ends are outside. It is expected from its creation: the
/// record may say only later that the instance was ready.
pub(crate) fn is_inside(
    request: &Request,
    machine: &Machine,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let age = request.created_at.duration_since(machine.created_at);
    // Durations are seconds in 64 bits and both ends are years away from overflow; if not, nothing is inside.
    let begun = policy
        .clock_skew
        .checked_neg()
        .is_some_and(|earliest| earliest < age);
    begun && end(machine, policy, now).is_some_and(|end| request.created_at < end)
}

/// Whether a request has waited for so long that it says nothing any more of who asks now: longer than the window is, or
/// past its end where the record names one.
pub(crate) fn is_over_for(
    request: &Request,
    machine: &Machine,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    match machine.join_by {
        Some(end) => now >= end,
        None => now.duration_since(request.created_at) >= policy.rules(machine).join_window,
    }
}

/// When a Machine is no longer expected; nothing where that cannot be said.
pub(crate) fn end(machine: &Machine, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let window = policy.rules(machine).join_window;
    let counted = || {
        let start = ready(machine, policy, now).unwrap_or(machine.created_at);
        start.checked_add(window).ok()
    };
    machine.join_by.or_else(counted)
}

/// The sentence for a request that was made outside the window.
pub(crate) fn describe(
    request: &Request,
    machine: &Machine,
    policy: &Policy,
    now: Timestamp,
) -> String {
    let (made, created) = (request.created_at, machine.created_at);
    let reference = &machine.reference;
    match machine.join_by {
        _ if made <= created => format!(
            "the request was made at {made}, before Machine {reference} was created at {created} (clock skew allowed: {:#})",
            policy.clock_skew
        ),
        Some(end) => format!(
            "the request was made at {made}; Machine {reference} was to join before {end} (spec.joinBy)"
        ),
        None => {
            let window = policy.rules(machine).join_window;
            let start = match (ready(machine, policy, now), machine.ready_at) {
                (Some(at), _) => format!("the instance of Machine {reference} was ready at {at}"),
                (None, Some(at)) if policy.window_from == WindowFrom::Instance => format!(
                    "Machine {reference} was created at {created} (that its instance was ready at {at} is not believed)"
                ),
                (None, _) => format!("Machine {reference} was created at {created}"),
            };
            format!("the request was made at {made}, later than {window:#} after {start}")
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
