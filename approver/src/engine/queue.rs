//! The queue of decisions to be written: approvals before denials, and requestors in turn. So very many requests of one
//! credential delay neither the machines of another one nor its own machines that are on the roll.

use super::writes::Job;
use crate::fair::Fair;
use crate::write::Side;

/// The decisions that wait.
#[derive(Default)]
pub(super) struct Queue {
    approvals: Fair<Job>,
    denials: Fair<Job>,
}

impl Queue {
    /// Adds a decision.
    pub(super) fn push(&mut self, job: Job) {
        let queue = match job.side {
            Side::Approved => &mut self.approvals,
            Side::Denied => &mut self.denials,
        };
        let requestor = job.about.requestor.clone();
        queue.push(&requestor, job);
    }

    /// Takes out the next approval.
    pub(super) fn pop_approval(&mut self) -> Option<Job> {
        self.approvals.pop()
    }

    /// Takes out the next denial.
    pub(super) fn pop_denial(&mut self) -> Option<Job> {
        self.denials.pop()
    }

    /// Takes out the next decision of either kind.
    pub(super) fn pop(&mut self) -> Option<Job> {
        self.pop_approval().or_else(|| self.pop_denial())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;
    use rollcall_approver_core::{Finding, Reason, RequestUid};

    use super::super::writes::About;
    use super::*;

    fn job(requestor: &str, uid: &str, side: Side) -> Job {
        Job {
            uid: RequestUid(uid.to_owned()),
            about: About {
                reference: ObjectReference::default(),
                request: uid.to_owned(),
                requestor: requestor.to_owned(),
                node: String::new(),
                machine: String::new(),
                came: None,
                machines: Vec::new(),
            },
            side,
            finding: Finding::new(Reason::FirstCertificate, ""),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn requestors_take_turns_and_each_keeps_its_order() {
        let mut queue = Queue::default();
        for number in 0..3 {
            queue.push(job("mallory", &format!("junk-{number}"), Side::Denied));
        }
        queue.push(job("alice", "mistake-0", Side::Denied));
        queue.push(job("bob", "mistake-1", Side::Denied));
        queue.push(job("mallory", "machine-0", Side::Approved));
        let approved = queue.pop_approval().map(|job| job.uid.0);
        assert_eq!(approved.as_deref(), Some("machine-0"));
        assert!(queue.pop_approval().is_none());
        let denied: Vec<String> = std::iter::from_fn(|| queue.pop_denial())
            .map(|job| job.uid.0)
            .collect();
        let expected = ["mistake-0", "mistake-1", "junk-0", "junk-1", "junk-2"];
        assert_eq!(denied, expected);
        assert!(queue.pop().is_none());
    }
}
