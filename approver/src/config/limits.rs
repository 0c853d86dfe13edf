//! Lengths of time that nobody means: a slip of the keyboard there opens a door, and so stops the start.

use jiff::SignedDuration;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Duration;

/// The clocks of API servers differ by fractions of a second; a Machine must not count for requests that were made long
/// before it.
const LONGEST_SKEW: SignedDuration = SignedDuration::from_mins(10);
/// No machine takes longer to boot; one that waits for a host may do so outside of its window.
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longer than a restart or an upgrade of the API server takes.
const LONGEST_STALENESS: SignedDuration = SignedDuration::from_mins(15);

pub(super) fn clock_skew<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let remedy = "it allows for clocks that differ, which is a matter of seconds";
    at_most(LONGEST_SKEW, "clockSkew", remedy, deserializer)
}

pub(super) fn join_window<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let remedy = "it begins when the instance is ready (windowFrom), however long the Machine waited for that";
    at_most(LONGEST_WINDOW, "joinWindow", remedy, deserializer)
}

pub(super) fn max_staleness<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let remedy = "so long, Machines that were deleted could still join";
    at_most(LONGEST_STALENESS, "maxStaleness", remedy, deserializer)
}

fn at_most<'de, D: Deserializer<'de>>(
    longest: SignedDuration,
    field: &str,
    remedy: &str,
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let Some(duration) = Option::<Duration>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if duration.0 > longest {
        return Err(D::Error::custom(format!(
            "{field}: {:#} is more than {longest:#}; {remedy}",
            duration.0
        )));
    }
    Ok(Some(duration))
}
