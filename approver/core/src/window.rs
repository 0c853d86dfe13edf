//! The join window of a Machine: from its creation until some time after it, or after its instance was ready.

use jiff::{SignedDuration, Timestamp};

use crate::{Machine, Policy, Request};

/// The maximum time from the creation of a Machine until its instance is ready for the window to start then: a month. A
/// bare-metal Machine waits until a host is free. Without a limit, a record that becomes ready repeatedly would be expected
/// forever.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The start of a Machine's join window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowFrom {
    /// The time at which its instance was ready, if its record has it; otherwise its creation.
    #[default]
    Instance,
    /// The creation of its record.
    Record,
}

/// The time at which the instance of a Machine was ready, if its window starts then. A time before the creation of the
/// Machine or in the future is ignored.
fn ready(machine: &Machine, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    machine.ready_at.filter(|ready| {
        let waited = ready.duration_since(machine.created_at);
        policy.window_from == WindowFrom::Instance
            && (SignedDuration::ZERO..=LONGEST_WAIT).contains(&waited)
            && *ready <= now
    })
}

/// Returns true if a request was made while the Machine was expected, exclusive of both ends. The window starts at its
/// creation, because the record may show only later that the instance was ready.
pub(crate) fn is_inside(
    request: &Request,
    machine: &Machine,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let age = request.created_at.duration_since(machine.created_at);
    // Durations are seconds in 64 bits and both ends are years away from overflow; otherwise, nothing is inside.
    let begun = policy
        .clock_skew
        .checked_neg()
        .is_some_and(|earliest| earliest < age);
    begun && end(machine, policy, now).is_some_and(|end| request.created_at < end)
}

/// Returns true if a request has been pending too long to represent the current requestor: longer than the window, or
/// past the deadline in the record.
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

/// The end of the window; `None` if it cannot be computed.
pub(crate) fn end(machine: &Machine, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let window = policy.rules(machine).join_window;
    let counted = || {
        let start = ready(machine, policy, now).unwrap_or(machine.created_at);
        start.checked_add(window).ok()
    };
    machine.join_by.or_else(counted)
}

/// The message for a request that was made outside the window.
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
