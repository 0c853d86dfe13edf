//! The times at which requests must be judged again because time passed, not because a fact changed.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::RequestUid;

/// At most one time per request.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, RequestUid)>,
    by_request: HashMap<RequestUid, Timestamp>,
}

impl Timers {
    /// Sets, moves or clears the time of a request.
    pub(crate) fn set(&mut self, uid: &RequestUid, at: Option<Timestamp>) {
        if let Some(before) = self.by_request.remove(uid) {
            self.by_time.remove(&(before, uid.clone()));
        }
        if let Some(at) = at {
            self.by_request.insert(uid.clone(), at);
            self.by_time.insert((at, uid.clone()));
        }
    }

    /// Removes and returns the requests that are due.
    pub(crate) fn due(&mut self, now: Timestamp) -> BTreeSet<RequestUid> {
        let due: BTreeSet<RequestUid> = self
            .by_time
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, uid)| uid.clone())
            .collect();
        for uid in &due {
            self.set(uid, None);
        }
        due
    }

    /// The earliest time that is set.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_time() {
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let (a, b) = (RequestUid("a".to_owned()), RequestUid("b".to_owned()));
        let mut timers = Timers::default();
        timers.set(&a, Some(at(10)));
        timers.set(&b, Some(at(20)));
        timers.set(&a, Some(at(30)));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.due(at(20)), BTreeSet::from([b]));
        assert!(timers.due(at(29)).is_empty());
        timers.set(&a, None);
        assert_eq!(timers.next(), None);
    }
}
