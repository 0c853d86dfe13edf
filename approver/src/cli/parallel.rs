//! One function over many things on every processor: reading a request means verifying a signature.

use std::num::NonZeroUsize;
use std::thread;

/// The fewest things for which a thread is worth its start.
const WORTHWHILE: usize = 64;

/// Applies `work` to each, and keeps the order.
pub(super) fn map<T: Send, U: Send>(things: Vec<T>, work: impl Fn(T) -> U + Sync) -> Vec<U> {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = things.len().div_ceil(processors.max(1)).max(WORTHWHILE);
    if things.len() <= share {
        return things.into_iter().map(work).collect();
    }
    let mut things = things.into_iter();
    let mut shares = Vec::new();
    loop {
        let next: Vec<T> = things.by_ref().take(share).collect();
        if next.is_empty() {
            break;
        }
        shares.push(next);
    }
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(work).collect::<Vec<U>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_lost_and_the_order_is_kept() {
        for count in [0, 1, 63, 64, 65, 1000] {
            let things: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = (0..count).map(|thing| thing * 2).collect();
            assert_eq!(super::map(things, |thing| thing * 2), doubled);
        }
    }
}
