//! A fair queue: one queue for each requestor, taken from in turn, so that very many requests of one credential do not delay
//! the others.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// The queues.
#[derive(Debug)]
pub(crate) struct Fair<T> {
    waiting: BTreeMap<String, VecDeque<T>>,
    /// The requestor that was last in turn.
    last: String,
    len: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            last: String::new(),
            len: 0,
        }
    }
}

impl<T> Fair<T> {
    /// Adds something of this requestor.
    pub(crate) fn push(&mut self, requestor: &str, item: T) {
        let queue = self.waiting.entry(requestor.to_owned()).or_default();
        queue.push_back(item);
        self.len = self.len.saturating_add(1);
    }

    /// Takes out the next: the oldest of the next requestor in turn.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let after = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let mut turns = self.waiting.range::<str, _>(after);
        let (turn, _) = turns.next().or_else(|| self.waiting.first_key_value())?;
        self.last.clone_from(turn);
        let queue = self.waiting.get_mut(&self.last)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&self.last);
        }
        self.len = self.len.saturating_sub(1);
        Some(item)
    }

    /// The number of waiting items.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of waiting items of this requestor.
    pub(crate) fn len_of(&self, requestor: &str) -> usize {
        self.waiting.get(requestor).map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requestors_take_turns_and_each_keeps_its_order() {
        let mut fair = Fair::default();
        for (requestor, item) in [
            ("mallory", 0),
            ("mallory", 1),
            ("mallory", 2),
            ("alice", 3),
            ("bob", 4),
        ] {
            fair.push(requestor, item);
        }
        assert_eq!((fair.len(), fair.len_of("mallory")), (5, 3));
        let order: Vec<i32> = std::iter::from_fn(|| fair.pop()).collect();
        assert_eq!(order, [3, 4, 0, 1, 2]);
        assert_eq!((fair.len(), fair.len_of("mallory")), (0, 0));
        assert!(fair.waiting.is_empty());
    }
}
