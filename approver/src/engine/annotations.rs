//! Has requests tell what they are held for, for the machines that made them: they may read nothing else. Each is looked at
//! a while after what is told of it changes, so that one that is approved soon costs no write.

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

/// How long a request is held before it tells so. Machines that are expected wait some tenths of a second; five seconds are
/// little beside the time that a person takes to look at a console.
const HELD: Duration = Duration::from_secs(5);
/// How much longer each next pause is than the one before, so that a reason that comes and goes is not written each time.
const SLOWER: u32 = 4;
/// The longest pause: as long as an Event is not repeated.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What was told of a request.
#[derive(Default)]
pub(super) struct Told {
    reasons: Vec<Reason>,
    /// Where it is counted among those that wait.
    pub(super) counted: Option<Waiting>,
    /// How often the request was to tell something else itself.
    annotated: u32,
    /// When it is looked at next for that.
    look: Option<delay_queue::Key>,
}

impl Told {
    /// Whether these reasons are others than those told last. They are told from now on.
    pub(super) fn is_news(&mut self, reasons: Vec<Reason>) -> bool {
        let news = self.reasons != reasons;
        self.reasons = reasons;
        news
    }

    /// How long to wait before the request tells something else.
    fn pause(&self) -> Duration {
        let factor = SLOWER.saturating_pow(self.annotated);
        HELD.saturating_mul(factor).min(LONGEST)
    }
}

impl Engine {
    /// Whether a request is to tell this of itself, or that there is nothing to tell. What is left to others is never
    /// touched, and what is approved or denied in a moment will tell that by its condition.
    pub(super) fn may_annotate(&self, decision: &Decision) -> bool {
        match (decision.verdict(), self.mode) {
            (Verdict::Hold(_), Mode::Enforce | Mode::Manual)
            | (Verdict::Approve(_) | Verdict::Deny, Mode::Manual) => true,
            (Verdict::Ignore, _)
            | (Verdict::Approve(_) | Verdict::Deny, Mode::Enforce)
            | (_, Mode::Audit) => false,
        }
    }

    /// Looks at a request after a pause, unless it is looked at anyway.
    pub(super) fn annotate_later(&mut self, uid: &RequestUid) {
        if let Some(told) = self.told.get_mut(uid).filter(|told| told.look.is_none()) {
            told.look = Some(self.annotations.insert(uid.clone(), told.pause()));
        }
    }

    /// Has a request tell what it is held for now, if it does not, and looks at it again later: something may have come
    /// between. When too many of its requestor wait, it is left.
    pub(super) fn annotate(&mut self, uid: &RequestUid) {
        if let Some(told) = self.told.get_mut(uid) {
            told.look = None;
        }
        let (Some(known), Some(request)) = (self.targets.get(uid), self.cluster.request(uid))
        else {
            return;
        };
        // Of what is left out anyway, not even the reason is looked for.
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

    /// What a request is to tell of itself now: what it is held for, or that it is not held; none if it is to be left.
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

    /// Forgets what was told of a request that is decided or gone.
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
