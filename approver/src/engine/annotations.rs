//! Annotates held requests with the reason, because the machines that made them cannot read Events. A request is checked
//! some time after its reason changes, so that one that is approved soon costs no write.

use std::time::Duration;

use jiff::Timestamp;
use rollcall_approver_core::{Decision, Reason, RequestUid, Verdict};
use tokio_util::time::delay_queue;

use super::Engine;
use super::report::not_written;
use crate::Mode;
use crate::announce::Annotation;
use crate::convert::Hold;
use crate::metrics::Waiting;

/// The time for which a request is held before it is annotated. Expected machines wait some tenths of a second; five seconds
/// are short for a person at a console.
const HELD: Duration = Duration::from_secs(5);
/// The factor from one pause to the next, so that a reason that comes and goes is not written each time.
const SLOWER: u32 = 4;
/// The longest pause: the time in which an Event is not repeated.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The last report on a request.
#[derive(Default)]
pub(super) struct Told {
    reasons: Vec<Reason>,
    /// The labels under which it is counted as pending.
    pub(super) counted: Option<Waiting>,
    /// The number of times that its annotation had to change.
    annotated: u32,
    /// The next scheduled check of its annotation.
    look: Option<delay_queue::Key>,
}

impl Told {
    /// Stores these reasons as reported. Returns true if they differ from those reported last.
    pub(super) fn is_news(&mut self, reasons: Vec<Reason>) -> bool {
        let news = self.reasons != reasons;
        self.reasons = reasons;
        news
    }

    /// The pause before the next change of the annotation.
    fn pause(&self) -> Duration {
        let factor = SLOWER.saturating_pow(self.annotated);
        HELD.saturating_mul(factor).min(LONGEST)
    }
}

impl Engine {
    /// Returns true if the annotations of a request may be written or removed. Requests left to others are never changed,
    /// and approved or denied ones will soon have a condition.
    pub(super) fn may_annotate(&self, decision: &Decision) -> bool {
        match (decision.verdict(), self.mode) {
            (Verdict::Hold(_), Mode::Enforce | Mode::Manual)
            | (Verdict::Approve(_) | Verdict::Deny, Mode::Manual) => true,
            (Verdict::Ignore, _)
            | (Verdict::Approve(_) | Verdict::Deny, Mode::Enforce)
            | (_, Mode::Audit) => false,
        }
    }

    /// Schedules a check of the annotation of a request, unless one is scheduled already.
    pub(super) fn annotate_later(&mut self, uid: &RequestUid) {
        if let Some(told) = self.told.get_mut(uid).filter(|told| told.look.is_none()) {
            told.look = Some(self.annotations.insert(uid.clone(), told.pause()));
        }
    }

    /// Annotates a request now, if its annotation is not current, and checks it again later, because it may change
    /// meanwhile. Does nothing if too many writes of its requestor wait.
    pub(super) fn annotate(&mut self, uid: &RequestUid) {
        if let Some(told) = self.told.get_mut(uid) {
            told.look = None;
        }
        let (Some(known), Some(request)) = (self.targets.get(uid), self.cluster.request(uid))
        else {
            return;
        };
        // If it would be dropped anyway, its reason is not computed.
        let requestor = &request.requestor.username;
        if !self.outside.announcer.has_room(requestor) {
            return;
        }
        if self.leads() {
            let Some(hold) = self.to_tell(uid) else {
                return;
            };
            if known.target.tells(hold.as_ref()) {
                return;
            }
            let target = known.target.clone();
            let annotation = Annotation { target, hold };
            self.outside.announcer.annotate(requestor, annotation);
        }
        if let Some(told) = self.told.get_mut(uid) {
            told.annotated = told.annotated.saturating_add(1);
        }
        self.annotate_later(uid);
    }

    /// The annotation that a request should have now: the hold, or that it is not held; `None` if it is to be left
    /// unchanged.
    fn to_tell(&self, uid: &RequestUid) -> Option<Option<Hold>> {
        let decision = self.cluster.preview(uid, Timestamp::now())?;
        let held = matches!(decision.verdict(), Verdict::Hold(_));
        let failures = self.failures.get(uid).filter(|_| !held);
        if let Some(trouble) = failures.and_then(|failures| failures.trouble.as_deref()) {
            return Some(Some(Hold::new(Reason::WriteFailed, &not_written(trouble))));
        }
        let tell = || {
            let decision = self
                .cluster
                .explained(self.cluster.request(uid)?, &decision);
            Some(Hold::new(decision.reason(), &decision.explanation()))
        };
        self.may_annotate(&decision)
            .then(|| held.then(tell).flatten())
    }

    /// Forgets the reports on a request that is decided or gone.
    pub(super) fn forget_told(&mut self, uid: &RequestUid) {
        let Some(told) = self.told.remove(uid) else {
            return;
        };
        self.outside.metrics.waits_no_more(told.counted.as_ref());
        if let Some(look) = told.look {
            self.annotations.try_remove(&look);
        }
    }
}
