//! Retry helpers: exponential backoff, and a guard that logs each distinct error once.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses between attempts, without end: each is twice as long as the previous one, with jitter, up to the longest.
pub(crate) fn pauses(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

/// The current error, so that it is logged once until it changes.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<String>);

impl Complaint {
    /// Records the current error. Returns true if it has to be logged.
    pub(crate) fn is_news(&mut self, trouble: &str) -> bool {
        let news = self.0.as_deref() != Some(trouble);
        if news {
            self.0 = Some(trouble.to_owned());
        }
        news
    }

    /// Clears the current error. Returns true if there was one.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_changes_or_is_over() {
        let mut complaint = Complaint::default();
        assert!(!complaint.is_over());
        assert!(complaint.is_news("refused"));
        assert!(!complaint.is_news("refused"));
        assert!(complaint.is_news("forbidden"));
        assert!(complaint.is_over());
        assert!(!complaint.is_over());
        assert!(complaint.is_news("forbidden"));
    }
}
