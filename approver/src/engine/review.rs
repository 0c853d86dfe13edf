//! Everything that waits is judged again from time to time, although nothing woke it: should a wake-up ever be lost, by a
//! mistake here or in what others tell, it costs this time and not the machine. A share of it comes each second, so that
//! nothing else has to wait for it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use rollcall_approver_core::RequestUid;

use super::Engine;

/// The pause between two shares.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How many shares there are, and so how many seconds it takes until each request has been judged again.
const SHARES: u64 = 45;

impl Engine {
    /// The requests whose turn it is. What is tried again after a pause anyway is left to that.
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
