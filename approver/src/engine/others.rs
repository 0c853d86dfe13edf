//! Modes `enforce` and `manual`: approvals by others of requests that policy holds. Rollcall cannot revoke them, so it
//! reports them.

use jiff::Timestamp;
use rollcall_approver_core::{Decision, Finding, Request, Standing, Verdict};
use tracing::warn;

use super::Engine;
use super::report::Saying;
use crate::Mode;
use crate::convert::{Target, to_reference};
use crate::text::escaped;

impl Engine {
    /// Reports a request that another approver approved while it was pending here. Called before it changes the known facts.
    pub(super) fn decided_by_others(&self, request: &Request, target: &Target, now: Timestamp) {
        let approved = matches!(request.standing, Standing::Approved(_));
        let waited = self
            .cluster
            .request(&request.uid)
            .is_some_and(Request::is_pending);
        let leads = self.mode != Mode::Audit && self.outside.leadership.borrow().holds();
        if !approved || !waited || !leads || self.cluster.is_in_flight(&request.uid) {
            return;
        }
        let Some(decision) = self.cluster.preview(&request.uid, now) else {
            return;
        };
        match decision.verdict() {
            Verdict::Deny | Verdict::Hold(_) => self.tell_of_others(request, target, &decision),
            // Left to others, or approved by them first.
            Verdict::Approve(_) | Verdict::Ignore => {}
        }
    }

    fn tell_of_others(&self, request: &Request, target: &Target, decision: &Decision) {
        self.outside.metrics.approved_by_others(decision);
        let theirs = target.decided();
        let why = theirs.and_then(|condition| condition.reason.clone());
        let why = why.unwrap_or_default();
        let message = format!(
            "somebody else approved it ({}), but policy says {}: {}",
            escaped(&why),
            decision.reason(),
            decision.explanation()
        );
        warn!(
            request = request.name,
            requestor = request.requestor.username,
            reason = decision.reason().as_str(),
            "{message}"
        );
        let finding = Finding::new(decision.reason(), message);
        let say = Saying::warning(&request.requestor.username, &finding, "Approve");
        self.announce(to_reference(target), &say);
    }
}
