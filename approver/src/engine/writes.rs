//! Writes of decisions to the API server: the number of concurrent ones, and the handling of failures.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use rollcall_approver_core::{Finding, RequestUid, Settlement};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::time::delay_queue;
use tracing::{debug, error, info, warn};

use super::Engine;
use crate::lease::ended;
use crate::write::{Outcome, Side, write};

/// Writes in progress at one time. The API server accepts 200 mutating calls at a time by default
/// (`--max-mutating-requests-inflight`); a third of that leaves room for the other clients.
const WRITES: usize = 64;
/// Denials in progress at one time: approvals always find room.
const DENIALS: usize = 16;
/// The pause before a failed write is retried; doubled for each failure, up to this many doublings.
pub(super) const RETRY: (Duration, u32) = (Duration::from_millis(250), 6);
/// The doublings of that pause after which a write that the API server refused is retried: about eight minutes. An admission
/// policy may accept it once the policy is changed.
const REFUSED: u32 = 11;
/// The time that a stop waits for writes in progress.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(5);

/// One decision to be written.
pub(super) struct Job {
    pub(super) uid: RequestUid,
    pub(super) about: About,
    pub(super) side: Side,
    pub(super) finding: Finding,
    pub(super) warnings: Vec<Finding>,
}

/// The log fields of a request, kept because the request may be gone when its write ends.
#[derive(Clone)]
pub(super) struct About {
    pub(super) reference: ObjectReference,
    pub(super) request: String,
    /// The user name of the requestor.
    pub(super) requestor: String,
    pub(super) node: String,
    pub(super) machine: String,
    /// The time of its arrival.
    pub(super) came: Option<Instant>,
    /// The references for Events on its Machine.
    pub(super) machines: Vec<ObjectReference>,
}

/// The writes of one request that failed.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// The last error, if the API server certainly did not accept the decision.
    pub(super) trouble: Option<String>,
    /// The scheduled retry: never more than one.
    pub(super) retry: Option<delay_queue::Key>,
}

impl Engine {
    /// Starts as many writes as may run at one time. Without leadership nothing is written. Returns the requests to decide
    /// again because a decision could not be sent.
    pub(super) fn dispatch(&mut self) -> BTreeSet<RequestUid> {
        let mut woken = BTreeSet::new();
        let term = self.term.filter(|_| self.leads());
        while let Some(job) = self.next_job() {
            let known = self.targets.get(&job.uid);
            let target = known.map(|known| known.target.clone());
            let (Some(target), Some(term)) = (target, term) else {
                woken.extend(self.cluster.settle(&job.uid, Settlement::Undone));
                continue;
            };
            if job.side == Side::Denied {
                self.denials = self.denials.saturating_add(1);
            }
            let api = self.outside.requests.clone();
            let ended = ended(self.outside.leadership.clone(), term);
            self.writes.spawn(async move {
                let outcome = tokio::select! {
                    outcome = write(api, &target, job.side, &job.finding) => outcome,
                    () = ended => Outcome {
                        settlement: Settlement::Unknown,
                        trouble: Some("this replica no longer leads".to_owned()),
                        again: true,
                    },
                };
                (job, outcome)
            });
        }
        woken
    }

    /// The decision to write next, if there is room for it.
    fn next_job(&mut self) -> Option<Job> {
        if self.writes.len() >= WRITES {
            return None;
        }
        let approval = self.jobs.pop_approval();
        approval.or_else(|| {
            let room = self.denials < DENIALS;
            room.then(|| self.jobs.pop_denial()).flatten()
        })
    }

    /// Handles the end of a write; `None` is a write that ended without a result, which does not happen.
    pub(super) fn written(
        &mut self,
        ended: Result<(Job, Outcome), JoinError>,
    ) -> Option<BTreeSet<RequestUid>> {
        let (job, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                error!(%error, "a write ended without an answer");
                return None;
            }
        };
        if job.side == Side::Denied {
            self.denials = self.denials.saturating_sub(1);
        }
        if outcome.settlement == Settlement::Written {
            self.decided(&job);
        }
        if let Some(trouble) = &outcome.trouble {
            self.outside.metrics.write_failures.inc();
            self.failed(&job, &outcome, trouble);
        }
        if outcome.again && self.targets.contains_key(&job.uid) {
            let refused = outcome.settlement == Settlement::Refused;
            self.retry_later(&job.uid, if refused { REFUSED } else { RETRY.1 });
        }
        Some(self.cluster.settle(&job.uid, outcome.settlement))
    }

    /// Reports that a decision could not be written, once until the error changes: in the log and, unless it may have been
    /// written or the next retry is likely to succeed, on the request.
    fn failed(&mut self, job: &Job, outcome: &Outcome, trouble: &str) {
        let (request, error) = (&job.about.request, trouble);
        let certain = outcome.settlement != Settlement::Unknown;
        let pending = self.targets.contains_key(&job.uid);
        let failures = self.failures.entry(job.uid.clone()).or_default();
        let told = certain.then(|| trouble.to_owned());
        if told.is_some() && failures.trouble == told {
            debug!(request, error, "the decision could still not be written");
        } else {
            warn!(request, error, "the decision could not be written");
        }
        failures.trouble = told;
        let lasting = outcome.settlement == Settlement::Refused || failures.count > 0;
        if !pending {
            self.failures.remove(&job.uid);
        } else if certain && lasting {
            self.tell_of_failure(job, trouble);
        }
    }

    /// Handles the end of the pause after a failed write.
    pub(super) fn retry(&mut self, uid: RequestUid) -> BTreeSet<RequestUid> {
        if let Some(failures) = self.failures.get_mut(&uid) {
            failures.retry = None;
        }
        BTreeSet::from([uid])
    }

    /// Schedules a retry of a failed write after a pause; replaces a retry that is scheduled already.
    pub(super) fn retry_later(&mut self, uid: &RequestUid, doublings: u32) {
        let failures = self.failures.entry(uid.clone()).or_default();
        if let Some(key) = failures.retry.take() {
            self.retries.try_remove(&key);
        }
        let factor = 2_u32.saturating_pow(failures.count.min(doublings));
        failures.count = failures.count.saturating_add(1);
        let pause = RETRY.0.saturating_mul(factor);
        failures.retry = Some(self.retries.insert(uid.clone(), pause));
    }

    pub(super) async fn drain(mut self) {
        if self.writes.is_empty() {
            return;
        }
        info!(
            writes = self.writes.len(),
            "stopping: waiting for the writes under way"
        );
        let drained = async { while self.writes.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_GRACE, drained).await.is_err() {
            warn!(
                "some writes did not end in time; the requests will be judged again by the next approver"
            );
        }
    }
}
