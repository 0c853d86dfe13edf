//! An index of the requests that wait for the result of another request.

use std::collections::{BTreeSet, HashMap};

use crate::RequestUid;

/// For each request that blocks others, the others.
#[derive(Debug, Default)]
pub(crate) struct Blockers {
    by_blocker: HashMap<RequestUid, BTreeSet<RequestUid>>,
    by_request: HashMap<RequestUid, Vec<RequestUid>>,
}

impl Blockers {
    /// Sets or replaces the requests that a request waits for.
    pub(crate) fn set(&mut self, uid: &RequestUid, blockers: Vec<RequestUid>) {
        for blocker in self.by_request.remove(uid).unwrap_or_default() {
            if let Some(blocked) = self.by_blocker.get_mut(&blocker) {
                blocked.remove(uid);
                if blocked.is_empty() {
                    self.by_blocker.remove(&blocker);
                }
            }
        }
        if blockers.is_empty() {
            return;
        }
        for blocker in &blockers {
            let blocked = self.by_blocker.entry(blocker.clone()).or_default();
            blocked.insert(uid.clone());
        }
        self.by_request.insert(uid.clone(), blockers);
    }

    /// The requests that wait for this one.
    pub(crate) fn blocked_by(&self, blocker: &RequestUid) -> BTreeSet<RequestUid> {
        self.by_blocker.get(blocker).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::request_uid;

    #[test]
    fn what_a_request_waits_for_is_replaced_whole() {
        let [a, b, c] = ["a", "b", "c"].map(request_uid);
        let mut blockers = Blockers::default();
        blockers.set(&a, vec![b.clone(), c.clone()]);
        assert_eq!(blockers.blocked_by(&b), BTreeSet::from([a.clone()]));
        blockers.set(&a, vec![c.clone()]);
        assert_eq!(blockers.blocked_by(&b), BTreeSet::new());
        assert_eq!(blockers.blocked_by(&c), BTreeSet::from([a.clone()]));
        blockers.set(&a, Vec::new());
        assert!(blockers.by_blocker.is_empty() && blockers.by_request.is_empty());
    }
}
