//! Decides all waiting requests again from time to time, although nothing woke them: a lost wake-up, by a defect here or a
//! missing event, then costs only this delay. A share is due each second, so that nothing else has to wait for it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use rollcall_approver_core::RequestUid;

use super::Engine;

/// The pause between two shares.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The number of shares, and so the number of seconds until each request has been decided again.
const SHARES: u64 = 45;

impl Engine {
    /// The requests of the next share, without those that have a scheduled retry.
    pub(super) fn next_share(&mut self) -> BTreeSet<RequestUid> {
        self.share = self.share.wrapping_add(1);
        let now = self.share.checked_rem(SHARES);
        let waits = |uid: &&RequestUid| {
            let failures = self.failures.get(*uid);
            failures.is_none_or(|failures| failures.retry.is_none())
        };
        let mine = self.targets.keys().filter(|uid| share_of(uid) == now);
        mine.filter(waits).cloned().collect()
    }
}

/// The share that a request belongs to.
fn share_of(uid: &RequestUid) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish().checked_rem(SHARES)
}
