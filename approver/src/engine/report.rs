//! Reports of decisions: log lines, metrics, Events.

use k8s_openapi::api::core::v1::ObjectReference;
use rollcall_approver_core::{Decision, Finding, Machine, Reason, Request, RequestUid, Verdict};
use tracing::{debug, info, warn};

use super::Engine;
use super::writes::{About, Job};
use crate::Mode;
use crate::announce::{Announcement, Place};
use crate::convert::to_reference;
use crate::sources;
use crate::write::Side;

/// The number of Machines that get an Event for one request, if the right one is not clear.
const MACHINES: usize = 4;

/// The text of an Event, for any object.
pub(super) struct Saying {
    /// The requestor of the request that caused it.
    requestor: String,
    warning: bool,
    reason: Reason,
    message: String,
    action: &'static str,
}

impl Saying {
    pub(super) fn warning(requestor: &str, finding: &Finding, action: &'static str) -> Self {
        Self {
            requestor: requestor.to_owned(),
            warning: true,
            reason: finding.reason,
            message: finding.message.clone(),
            action,
        }
    }
}

/// The sentence that explains why a decision is not written to its request.
pub(super) fn not_written(trouble: &str) -> String {
    format!("it was decided, but the decision could not be written: {trouble}")
}

impl Engine {
    /// Logs, counts and announces a decision, once until its reasons change.
    pub(super) fn tell(&mut self, uid: &RequestUid, decision: &Decision) {
        let reasons: Vec<Reason> = decision.findings().map(|finding| finding.reason).collect();
        let Some(request) = self.cluster.request(uid) else {
            return;
        };
        let requestor = request.requestor.username.clone();
        let told = self.told.entry(uid.clone()).or_default();
        if !told.is_news(reasons) {
            return;
        }
        let metrics = &self.outside.metrics;
        metrics.decided(decision);
        metrics.waits_no_more(told.counted.as_ref());
        told.counted = Some(metrics.waits(decision));
        let explained = self.cluster.explained(request, decision);
        let (request, decision) = (request.name.clone(), explained.as_ref());
        if self.may_annotate(decision) {
            self.annotate_later(uid);
        }
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
        let target = self.targets.get(uid).map(|known| &known.target);
        if let Some(target) = target.filter(|_| waits && self.mode != Mode::Audit) {
            // Shortly after a start both are normal for a while.
            let warning = !matches!(reason, Reason::MachineNotBound | Reason::MachineNotFound);
            let say = Saying {
                requestor,
                warning,
                reason,
                message,
                action: "Hold",
            };
            self.announce(to_reference(target), &say);
            if matches!(decision.verdict(), Verdict::Hold(_)) {
                self.announce_on_machines(&self.machines_meant(uid, decision), &request, &say);
            }
        }
    }

    /// The Machine that a decision is about; if that is not clear, the candidates.
    fn machines_meant(&self, uid: &RequestUid, decision: &Decision) -> Vec<ObjectReference> {
        let name = self.cluster.request(uid).and_then(Request::node_name);
        let known = name.iter().flat_map(|name| {
            let bound = self.cluster.bound(name).into_iter();
            self.cluster.owners(name).into_iter().chain(bound)
        });
        let mut meant: Vec<&Machine> = Vec::new();
        for machine in known {
            let clear = decision
                .machine()
                .is_none_or(|one| *one == machine.reference);
            if clear && meant.iter().all(|other| other.uid != machine.uid) {
                meant.push(machine);
            }
        }
        meant
            .into_iter()
            .take(MACHINES)
            .map(sources::to_reference)
            .collect()
    }

    /// Repeats the Event of a request on Machines. That a newer request replaces it does not concern the Machine.
    fn announce_on_machines(&self, machines: &[ObjectReference], request: &str, say: &Saying) {
        if say.reason == Reason::Superseded {
            return;
        }
        for machine in machines {
            let announcement = Announcement {
                place: Place::Management,
                about: machine.clone(),
                warning: say.warning,
                reason: say.reason.as_str(),
                action: say.action,
                note: format!("CertificateSigningRequest {request}: {}", say.message),
            };
            self.outside.announcer.tell(&say.requestor, announcement);
        }
    }

    pub(super) fn about(&self, uid: &RequestUid, decision: &Decision) -> Option<About> {
        let (request, known) = (self.cluster.request(uid)?, self.targets.get(uid)?);
        Some(About {
            reference: to_reference(&known.target),
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
            came: self.came.get(uid).copied(),
            // An approval reports only its warnings.
            machines: if decision.warnings().next().is_some()
                || *decision.verdict() == Verdict::Deny
            {
                self.machines_meant(uid, decision)
            } else {
                Vec::new()
            },
        })
    }

    pub(super) fn announce(&self, about: ObjectReference, say: &Saying) {
        let announcement = Announcement {
            place: Place::Cluster,
            about,
            warning: say.warning,
            reason: say.reason.as_str(),
            action: say.action,
            note: say.message.clone(),
        };
        self.outside.announcer.tell(&say.requestor, announcement);
    }

    /// Reports on a request that it was decided, and that the decision could not be written.
    pub(super) fn tell_of_failure(&mut self, job: &Job, trouble: &str) {
        let finding = Finding::new(Reason::WriteFailed, not_written(trouble));
        let say = Saying::warning(&job.about.requestor, &finding, "Decide");
        self.announce(job.about.reference.clone(), &say);
        self.annotate_later(&job.uid);
    }

    /// Reports a decision that was written.
    pub(super) fn decided(&self, job: &Job) {
        let About {
            request,
            requestor,
            node,
            machine,
            came,
            reference,
            machines,
        } = &job.about;
        let reason = job.finding.reason.as_str();
        match job.side {
            Side::Approved => {
                if let Some(came) = came {
                    let took = came.elapsed().as_secs_f64();
                    self.outside.metrics.approval_seconds.observe(took);
                }
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
                    let say = Saying::warning(requestor, warning, "Approve");
                    self.announce(reference.clone(), &say);
                    self.announce_on_machines(machines, request, &say);
                }
            }
            Side::Denied => {
                info!(
                    request,
                    node, machine, reason, "denied: {}", job.finding.message
                );
                let say = Saying::warning(requestor, &job.finding, "Deny");
                self.announce(reference.clone(), &say);
                self.announce_on_machines(machines, request, &say);
            }
        }
    }
}
