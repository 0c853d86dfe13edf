//! The queue of requests to decide: each once, and requestors in turn. So a change that affects very many requests of one
//! credential delays no other.

use std::collections::HashSet;

use rollcall_approver_core::RequestUid;

use crate::fair::Fair;

/// The requests that wait for a decision.
#[derive(Default)]
pub(super) struct Turns {
    waiting: Fair<RequestUid>,
    known: HashSet<RequestUid>,
}

impl Turns {
    /// Adds a request of this requestor, unless it waits already.
    pub(super) fn push(&mut self, requestor: &str, uid: RequestUid) {
        if self.known.insert(uid.clone()) {
            self.waiting.push(requestor, uid);
        }
    }

    /// Takes out the next.
    pub(super) fn pop(&mut self) -> Option<RequestUid> {
        let uid = self.waiting.pop()?;
        self.known.remove(&uid);
        Some(uid)
    }

    /// Returns true if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_woken_twice_is_judged_once_until_it_was() {
        let uid = |name: &str| RequestUid(name.to_owned());
        let mut turns = Turns::default();
        for _ in 0..2 {
            turns.push("mallory", uid("junk-0"));
            turns.push("mallory", uid("junk-1"));
        }
        turns.push("alice", uid("csr-0"));
        assert_eq!(turns.pop(), Some(uid("csr-0")));
        assert_eq!(turns.pop(), Some(uid("junk-0")));
        turns.push("mallory", uid("junk-0"));
        let rest: Vec<RequestUid> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, [uid("junk-1"), uid("junk-0")]);
        assert!(turns.is_empty());
    }
}
