//! The time by a clock that may be set, and the age of facts by a monotonic one.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::Engine;

impl Engine {
    /// Returns the current time. If the clock was set back, the age of facts still grows correctly.
    pub(super) fn read_clock(&mut self) -> Timestamp {
        let (before, clocks) = (self.clocks, (Instant::now(), Timestamp::now()));
        self.clocks = clocks;
        let passed = clocks.0.duration_since(before.0);
        let shown = clocks.1.duration_since(before.1);
        let missing = SignedDuration::try_from(passed)
            .unwrap_or_default()
            .saturating_sub(shown);
        // Smaller steps are the usual adjustments of clocks.
        if missing > SignedDuration::from_millis(500) {
            self.cluster.clock_set_back(missing);
        }
        clocks.1
    }
}
