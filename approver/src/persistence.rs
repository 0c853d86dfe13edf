//! What everything that is tried until it works has in common: ever longer pauses, and one line in the log for each trouble.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses between tries, for ever: each is twice as long as the one before, with jitter, up to the longest.
pub(crate) fn pauses(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times()
        .build()
}

/// What is wrong now, so that it is told once until it changes.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<String>);

impl Complaint {
    /// This is wrong now. Returns whether that has to be told.
    pub(crate) fn is_news(&mut self, trouble: &str) -> bool {
        let news = self.0.as_deref() != Some(trouble);
        if news {
            self.0 = Some(trouble.to_owned());
        }
        news
    }

    /// Nothing is wrong now. Returns whether something was.
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
