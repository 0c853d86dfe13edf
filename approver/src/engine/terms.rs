//! The terms in which this replica leads. A term ends with its hold on the Lease, and the next one begins like a start of
//! this replica: approvals that others may have made meanwhile are read first, then all waiting requests are decided.

use std::collections::BTreeSet;

use rollcall_approver_core::{Change, Feed, RequestUid, Settlement};
use rollcall_csr::Signer;
use tokio::time::Instant;

use super::{Engine, START_GRACE};

/// The requests by which Machines are spent.
const REQUESTS: Feed = Feed::Requests(Signer::KubeApiserverClientKubelet);

impl Engine {
    /// Returns true if this replica may write now, in the term that it knows of.
    pub(super) fn leads(&self) -> bool {
        let now = self.outside.leadership.borrow().term();
        now.is_some() && now == self.term
    }

    /// Applies the current leadership. A renewal changes nothing, unless something was woken while the hold had run out.
    pub(super) fn leadership_changed(&mut self) -> BTreeSet<RequestUid> {
        let now = self.outside.leadership.borrow_and_update().term();
        if now != self.term {
            self.drop_queued();
            self.term = now;
            if now.is_some() {
                self.begin_term();
                self.missed = true;
            }
        }
        if now.is_some() && std::mem::take(&mut self.missed) {
            return self.cluster.pending().collect();
        }
        BTreeSet::new()
    }

    /// Drops the unwritten decisions of an earlier term; the next term decides again.
    fn drop_queued(&mut self) {
        while let Some(job) = self.jobs.pop() {
            self.cluster.settle(&job.uid, Settlement::Undone);
        }
    }

    fn begin_term(&mut self) {
        let rests_on = [Feed::Claims, REQUESTS];
        let anew = rests_on
            .into_iter()
            .filter(|feed| self.cluster.expect_anew(feed));
        self.awaited = anew.collect();
        if !self.awaited.is_empty() {
            self.heard = false;
            self.patience = Instant::now().checked_add(START_GRACE);
        }
    }

    /// Records that a feed was read again in a term; one of an earlier term proves nothing.
    pub(super) fn complete(&mut self, feed: Feed, term: Option<u64>) -> Option<Change> {
        if term != self.term {
            return None;
        }
        if self.awaited.remove(&feed) && feed == REQUESTS {
            self.terms = self.terms.saturating_add(1);
        }
        Some(Change::Synced(feed))
    }
}
