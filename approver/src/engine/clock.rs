//! The time by a clock that may be set, and the age of facts by one that may not.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::Engine;

impl Engine {
    /// The time now. If the clock was set back, the age of facts is counted on as it was.
    pub(super) fn read_clock(&mut self) -> Timestamp {
        let (before, clocks) = (self.clocks, (Instant::now(), Timestamp::now()));
        self.clocks = clocks;
        let passed = clocks.0.duration_since(before.0);
        let shown = clocks.1.duration_since(before.1);
        let missing = SignedDuration::try_from(passed)
            .unwrap_or_default()
            .saturating_sub(shown);
        // Less is how clocks are disciplined all the time.
        if missing > SignedDuration::from_millis(500) {
            self.cluster.clock_set_back(missing);
        }
        clocks.1
    }
}
