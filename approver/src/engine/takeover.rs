//! The change to another configuration.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_approver_core::{RequestUid, Settlement};
use tokio::time::Instant;

use super::{Engine, START_GRACE};
use crate::Mode;
use crate::reload::InForce;

impl Engine {
    /// Applies a configuration. Decisions by the previous one that are not yet on their way to the API server are made
    /// again, like those of all other waiting requests.
    pub(super) fn take_over(&mut self, config: InForce) -> BTreeSet<RequestUid> {
        let InForce {
            mode,
            policy,
            machines,
        } = config;
        let mut woken = self.cluster.reconfigure(policy, &machines);
        self.feeds.retain(&machines, &self.outside.metrics);
        while let Some(job) = self.jobs.pop() {
            woken.extend(self.cluster.settle(&job.uid, Settlement::Undone));
        }
        if mode != self.mode {
            self.mode = mode;
            // Everything is reported again: reports of one mode must not suppress those of the other.
            for told in self.told.drain() {
                self.outside.metrics.waits_no_more(told.1.counted.as_ref());
            }
            self.annotations.clear();
            self.outside.announcer.set_silent(mode == Mode::Audit);
            if mode == Mode::Audit && self.heard {
                self.outside.audit.begin(Timestamp::now());
            }
        }
        self.empty_pools.clear();
        self.look_at_pools();
        if !self.cluster.freshness().all_heard() {
            self.heard = false;
            self.patience = Instant::now().checked_add(START_GRACE);
        }
        woken
    }
}
