//! Decisions on their way to the API server: how many at one time, and what happens when one fails.

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

/// Writes under way at one time. The API server takes 200 changing calls at a time by default
/// (`--max-mutating-requests-inflight`); a third of that leaves room for everybody else.
const WRITES: usize = 64;
/// Denials under way at one time: approvals always find room.
const DENIALS: usize = 16;
/// How long to wait before a failed write is thought of again; doubled for each failure, to this many doublings.
pub(super) const RETRY: (Duration, u32) = (Duration::from_millis(250), 6);
/// The doublings of that pause after which a write that the API server refused is tried again: some eight minutes. What an
/// admission policy refuses it may take once the policy is changed.
const REFUSED: u32 = 11;
/// How long a stop waits for writes under way.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(5);

/// One decision to be written.
pub(super) struct Job {
    pub(super) uid: RequestUid,
    pub(super) about: About,
    pub(super) side: Side,
    pub(super) finding: Finding,
    pub(super) warnings: Vec<Finding>,
}

/// What a log line says of a request, kept because the request may be gone when its write ends.
#[derive(Clone)]
pub(super) struct About {
    pub(super) reference: ObjectReference,
    pub(super) request: String,
    /// The user name of who made it.
    pub(super) requestor: String,
    pub(super) node: String,
    pub(super) machine: String,
    /// When it came.
    pub(super) came: Option<Instant>,
    /// What Events on its Machine point at.
    pub(super) machines: Vec<ObjectReference>,
}

/// The writes of one request that failed.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// What went wrong last, where the API server certainly did not take the decision.
    pub(super) trouble: Option<String>,
    /// The next try in the queue of retries: never more than one.
    pub(super) retry: Option<delay_queue::Key>,
}

impl Engine {
    /// Starts as many writes as may run at one time. Without leadership nothing is written.
    /// Returns the requests to judge again because a decision could not be handed on.
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

    /// A write ended; nothing when it ended without an answer, which no write does.
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

    /// Tells that a decision could not be written, once until something else goes wrong with it: in the log and, unless it may
    /// have been written or may well be by the next try, on the request.
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

    /// The pause after a failed write is over.
    pub(super) fn retry(&mut self, uid: RequestUid) -> BTreeSet<RequestUid> {
        if let Some(failures) = self.failures.get_mut(&uid) {
            failures.retry = None;
        }
        BTreeSet::from([uid])
    }

    /// Thinks of a failed write again after a pause; a pause that has not ended yet gives way to the new one.
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
