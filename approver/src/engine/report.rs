//! What is told of decisions: log lines, numbers, Events.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use rollcall_approver_core::{Decision, Reason, RequestUid, Verdict};
use tracing::{debug, info, warn};

use super::Engine;
use super::writes::{About, Job};
use crate::Mode;
use crate::announce::Announcement;
use crate::convert::to_reference;
use crate::write::Side;

impl Engine {
    /// Logs, counts and announces a decision, once until its reasons change.
    pub(super) fn tell(&mut self, uid: &RequestUid, decision: &Decision) {
        let reasons: Vec<Reason> = decision.findings().map(|finding| finding.reason).collect();
        let Some(request) = self.cluster.request(uid) else {
            return;
        };
        if self.told.get(uid) == Some(&reasons) {
            return;
        }
        self.told.insert(uid.clone(), reasons);
        self.outside.metrics.decided(decision);
        let (request, requestor) = (request.name.clone(), request.requestor.username.clone());
        let message = decision.explanation();
        let (verdict, reason) = (decision.verdict().as_str(), decision.reason());
        if self.mode == Mode::Enforce && verdict != "hold" && verdict != "ignore" {
            debug!(
                request,
                requestor,
                verdict,
                reason = reason.as_str(),
                "{message}"
            );
            return;
        }
        info!(
            request,
            requestor,
            verdict,
            reason = reason.as_str(),
            "{verdict}: {message}"
        );
        let waits = matches!(decision.verdict(), Verdict::Hold(_) | Verdict::Ignore);
        let target = self.targets.get(uid);
        if let Some(target) = target.filter(|_| waits && self.mode != Mode::Audit) {
            // Right after a start both are normal for a while.
            let warning = !matches!(reason, Reason::MachineNotBound | Reason::MachineNotFound);
            self.announce(to_reference(target), warning, reason, message, "Hold");
        }
    }

    pub(super) fn about(&self, uid: &RequestUid, decision: &Decision) -> Option<About> {
        let (request, target) = (self.cluster.request(uid)?, self.targets.get(uid)?);
        Some(About {
            reference: to_reference(target),
            request: request.name.clone(),
            requestor: request.requestor.username.clone(),
            node: request
                .node_name()
                .map(|name| name.to_string())
                .unwrap_or_default(),
            machine: decision
                .machine()
                .map(ToString::to_string)
                .unwrap_or_default(),
            created_at: request.created_at,
        })
    }

    pub(super) fn announce(
        &self,
        about: ObjectReference,
        warning: bool,
        reason: Reason,
        note: String,
        action: &'static str,
    ) {
        self.outside.announcer.tell(Announcement {
            about,
            warning,
            reason: reason.as_str(),
            action,
            note,
        });
    }

    /// Tells a decision that was written.
    pub(super) fn decided(&self, job: &Job) {
        let About {
            request,
            requestor: _,
            node,
            machine,
            created_at,
            reference,
        } = &job.about;
        let age = Timestamp::now().duration_since(*created_at);
        let reason = job.finding.reason.as_str();
        match job.side {
            Side::Approved => {
                self.outside
                    .metrics
                    .approval_seconds
                    .observe(age.as_secs_f64().max(0.0));
                info!(request, node, machine, reason, "approved");
                for warning in &job.warnings {
                    warn!(
                        request,
                        node,
                        machine,
                        reason = warning.reason.as_str(),
                        "{}",
                        warning.message
                    );
                    let note = warning.message.clone();
                    self.announce(reference.clone(), true, warning.reason, note, "Approve");
                }
            }
            Side::Denied => {
                info!(
                    request,
                    node, machine, reason, "denied: {}", job.finding.message
                );
                let note = job.finding.message.clone();
                self.announce(reference.clone(), true, job.finding.reason, note, "Deny");
            }
        }
    }
}
