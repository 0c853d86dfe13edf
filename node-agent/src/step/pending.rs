//! A filed request that nothing has come of yet: since when, what for, and when people are reminded of it.

use std::time::Duration;

use super::reminder;
use super::vocabulary::{Note, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follow {
    /// How old it was when this run began to follow it.
    age: Duration,
    /// When this run began to follow it.
    since: Duration,
    pub(super) approved_since: Option<Duration>,
    /// What the approver holds it for, if it says so.
    pub(super) held: Option<Verdict>,
    pub(super) remind_at: Duration,
}

impl Follow {
    /// Follows a request that is `age` old from now on; the first reminder is due at once.
    pub(super) fn begin(now: Duration, age: Duration) -> Self {
        Self {
            since: now,
            age,
            approved_since: None,
            held: None,
            remind_at: now,
        }
    }

    /// The approver says what it holds the request for. News is told at once, which is as good as a reminder; if a reminder
    /// is due anyway, that will say it.
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

    /// The approver says nothing, or no longer: then the reminder that names no reason is due.
    pub(super) fn let_go(&mut self, now: Duration) {
        if self.held.take().is_some() {
            self.remind_at = now;
        }
    }

    /// The next reminder comes later.
    pub(super) fn put_off(&mut self, now: Duration) {
        let lasted = now.saturating_sub(self.since);
        self.remind_at = now.saturating_add(reminder(lasted));
    }

    pub(super) fn pending(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since).saturating_add(self.age)
    }
}
