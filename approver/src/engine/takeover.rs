//! Taking over another configuration.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_approver_core::{RequestUid, Settlement};
use tokio::time::Instant;

use super::{Engine, START_GRACE};
use crate::Mode;
use crate::reload::InForce;

impl Engine {
    /// From here on everything is judged by this configuration. What was decided by the one before and is not on its way to
    /// the API server yet is judged again, like everything else that waits.
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
            // What was told in one mode stands where the other has to say it too, or must not.
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
