//! A pending request: its age, the reason why it is held, and its reminders.

use std::time::Duration;

use super::reminder;
use super::vocabulary::{Note, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follow {
    /// The age of the request when this run began to follow it.
    age: Duration,
    /// The time at which this run began to follow it.
    since: Duration,
    pub(super) approved_since: Option<Duration>,
    /// The approver's reason for holding it, if there is one.
    pub(super) held: Option<Verdict>,
    pub(super) remind_at: Duration,
}

impl Follow {
    /// Starts to follow a request of this age; the first reminder is due at once.
    pub(super) fn begin(now: Duration, age: Duration) -> Self {
        Self {
            since: now,
            age,
            approved_since: None,
            held: None,
            remind_at: now,
        }
    }

    /// Sets the approver's reason for holding the request. A new reason is logged at once and counts as a reminder; if a
    /// reminder is due anyway, it includes the reason.
    pub(super) fn hold(&mut self, verdict: Verdict, now: Duration, notes: &mut Vec<Note>) {
        if self.held.as_ref() == Some(&verdict) {
            return;
        }
        if now < self.remind_at {
            notes.push(Note::Held(verdict.clone()));
            self.put_off(now);
        }
        self.held = Some(verdict);
    }

    /// Clears the reason, if there was one: then a reminder without a reason is due.
    pub(super) fn let_go(&mut self, now: Duration) {
        if self.held.take().is_some() {
            self.remind_at = now;
        }
    }

    /// Schedules the next reminder.
    pub(super) fn put_off(&mut self, now: Duration) {
        let lasted = now.saturating_sub(self.since);
        self.remind_at = now.saturating_add(reminder(lasted));
    }

    pub(super) fn pending(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since).saturating_add(self.age)
    }
}
