//! The engine: one task that owns everything known, feeds changes to the core, and has its decisions written.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Api;
use rollcall_approver_core::{
    Change, Claim, Cluster, Decision, Feed, Finding, Reason, Request, RequestUid, Settlement,
    Verdict,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::time::{DelayQueue, delay_queue};
use tracing::{debug, info, warn};

use crate::Mode;
use crate::announce::{Announcement, Announcer};
use crate::convert::{Target, to_reference};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::write::{Outcome, Side, write};

/// Writes under way at one time. The API server takes 200 changing calls at a time by default
/// (`--max-mutating-requests-inflight`); a third of that leaves room for everybody else.
const WRITES: usize = 64;
/// How many pieces of news are taken in before requests are judged.
const BATCH: usize = 1024;
/// How long the start may take before requests are told that facts are missing.
const START_GRACE: Duration = Duration::from_secs(10);
/// How often claims are looked through for those that must be recorded.
const RECORD_PERIOD: Duration = Duration::from_secs(60);
/// How soon claims are recorded once an approved request has gone, so that a burst of deletions is one write.
const RECORD_SOON: Duration = Duration::from_secs(1);
/// How old a claim is when it is recorded: long before the request cleaner takes an approved request away, one hour
/// (Kubernetes: `pkg/controller/certificates/cleaner`), and long after most machines have become Nodes.
const RECORD_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How long to wait before a failed write is thought of again; doubled for each failure, to this many doublings.
const RETRY: (Duration, u32) = (Duration::from_millis(250), 6);
/// How long a stop waits for writes under way.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// News for the engine.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something changed.
    Change(Change),
    /// A request appeared or changed.
    Request(Box<(Request, Target)>),
}

/// What the engine talks to.
pub(crate) struct Outside {
    pub(crate) requests: Api<CertificateSigningRequest>,
    pub(crate) announcer: Announcer,
    pub(crate) metrics: Metrics,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) ready: watch::Sender<bool>,
    /// Claims to be recorded, each time all of them.
    pub(crate) record: watch::Sender<Vec<Claim>>,
}

struct Job {
    uid: RequestUid,
    about: About,
    side: Side,
    finding: Finding,
    warnings: Vec<Finding>,
}

/// What a log line says of a request, kept because the request may be gone when its write ends.
#[derive(Clone)]
struct About {
    reference: ObjectReference,
    request: String,
    node: String,
    machine: String,
    created_at: Timestamp,
}

/// The writes of one request that failed.
#[derive(Default)]
struct Failures {
    count: u32,
    /// The next try in the queue of retries: never more than one.
    retry: Option<delay_queue::Key>,
}

/// The engine's state.
pub(crate) struct Engine {
    mode: Mode,
    cluster: Cluster,
    outside: Outside,
    targets: HashMap<RequestUid, Target>,
    told: HashMap<RequestUid, Vec<Reason>>,
    jobs: VecDeque<Job>,
    writes: JoinSet<(Job, Outcome)>,
    retries: DelayQueue<RequestUid>,
    failures: HashMap<RequestUid, Failures>,
    started: Instant,
    heard: bool,
    led: bool,
    /// Whether approved requests have gone, so that their claims stand in memory only.
    claims_alone: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub(crate) fn new(mode: Mode, cluster: Cluster, outside: Outside) -> Self {
        Self {
            mode,
            cluster,
            outside,
            targets: HashMap::new(),
            told: HashMap::new(),
            jobs: VecDeque::new(),
            writes: JoinSet::new(),
            retries: DelayQueue::new(),
            failures: HashMap::new(),
            started: Instant::now(),
            heard: false,
            led: false,
            claims_alone: false,
        }
    }

    /// Runs until it is told to stop, then lets the writes under way end.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<Input>, stop: CancellationToken) {
        let mut record = period(RECORD_PERIOD);
        let mut soon = false;
        let grace = tokio::time::sleep(START_GRACE);
        tokio::pin!(grace);
        let mut patience = true;
        loop {
            let due = self
                .cluster
                .next_due()
                .and_then(until)
                .unwrap_or(RECORD_PERIOD);
            let woken = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.writes.join_next() => self.written(ended),
                input = news.recv() => match input {
                    Some(input) => self.take_in(input, &mut news),
                    None => break,
                },
                Some(expired) = self.retries.next() => self.retry(expired.into_inner()),
                () = tokio::time::sleep(due) => self.cluster.due(Timestamp::now()),
                changed = self.outside.leadership.changed() => match changed {
                    Ok(()) => self.leadership_changed(),
                    Err(_) => break,
                },
                _ = record.tick() => {
                    soon = false;
                    self.record_claims();
                    BTreeSet::new()
                }
                () = &mut grace, if patience => {
                    patience = false;
                    self.cluster.pending().filter(|_| !self.heard).collect()
                }
            };
            if std::mem::take(&mut self.claims_alone) && !soon {
                soon = true;
                record.reset_after(RECORD_SOON);
            }
            self.judge_all(woken);
            self.dispatch();
            self.outside
                .metrics
                .machines
                .set(count(self.cluster.roll().len()));
            self.outside.metrics.pending.set(count(self.targets.len()));
        }
        self.drain().await;
    }

    /// Takes in one piece of news, and those that wait behind it.
    fn take_in(&mut self, first: Input, news: &mut mpsc::Receiver<Input>) -> BTreeSet<RequestUid> {
        let now = Timestamp::now();
        let mut woken = self.apply(first, now);
        for _ in 1..BATCH {
            let Ok(input) = news.try_recv() else { break };
            woken.extend(self.apply(input, now));
        }
        self.look_at_watches();
        if !self.heard && self.cluster.freshness().all_heard() {
            self.heard = true;
            info!(
                machines = self.cluster.roll().len(),
                pending = self.targets.len(),
                "every watch is complete; deciding"
            );
            woken.extend(self.cluster.pending());
        }
        woken
    }

    /// A replica is ready once its watches are complete. The record of claims is not asked for: only the replica that
    /// leads reads it, and one that stands by must not look broken.
    fn look_at_watches(&mut self) {
        let mut starting = self.cluster.freshness().starting();
        if !*self.outside.ready.borrow() && starting.all(|feed| *feed == Feed::Claims) {
            info!("watching; the replica that holds the Lease decides");
            self.outside.ready.send_replace(true);
        }
    }

    /// A replica that has just begun to lead judges everything that waits; a renewal changes nothing.
    fn leadership_changed(&mut self) -> BTreeSet<RequestUid> {
        let leads = self.outside.leadership.borrow_and_update().holds();
        let begins = leads && !self.led;
        self.led = leads;
        if begins {
            self.cluster.pending().collect()
        } else {
            BTreeSet::new()
        }
    }

    fn apply(&mut self, input: Input, now: Timestamp) -> BTreeSet<RequestUid> {
        match input {
            Input::Request(news) => {
                let (request, target) = *news;
                if request.is_pending() {
                    self.targets.insert(request.uid.clone(), target);
                } else {
                    self.forget(&request.uid);
                }
                self.cluster.apply(Change::Request(Box::new(request)), now)
            }
            Input::Change(change) => {
                let list = matches!(&change, Change::RequestList(_, _));
                if let Change::RequestGone(uid) = &change {
                    let gone = self.cluster.request(uid);
                    self.claims_alone |= gone.is_some_and(|request| !request.is_pending());
                    self.forget(uid);
                }
                self.claims_alone |= list;
                let woken = self.cluster.apply(change, now);
                if list {
                    let gone = |uid: &&RequestUid| self.cluster.request(uid).is_none();
                    let gone: Vec<RequestUid> = self.targets.keys().filter(gone).cloned().collect();
                    gone.iter().for_each(|uid| self.forget(uid));
                }
                woken
            }
        }
    }

    fn forget(&mut self, uid: &RequestUid) {
        self.targets.remove(uid);
        self.told.remove(uid);
        if let Some(key) = self
            .failures
            .remove(uid)
            .and_then(|failures| failures.retry)
        {
            self.retries.try_remove(&key);
        }
    }

    /// The pause after a failed write is over.
    fn retry(&mut self, uid: RequestUid) -> BTreeSet<RequestUid> {
        if let Some(failures) = self.failures.get_mut(&uid) {
            failures.retry = None;
        }
        BTreeSet::from([uid])
    }

    /// Thinks of a failed write again after a pause; a pause that has not ended yet gives way to the new one.
    fn retry_later(&mut self, uid: &RequestUid) {
        let failures = self.failures.entry(uid.clone()).or_default();
        if let Some(key) = failures.retry.take() {
            self.retries.try_remove(&key);
        }
        let factor = 2_u32.saturating_pow(failures.count.min(RETRY.1));
        failures.count = failures.count.saturating_add(1);
        let pause = RETRY.0.saturating_mul(factor);
        failures.retry = Some(self.retries.insert(uid.clone(), pause));
    }

    fn judge_all(&mut self, woken: BTreeSet<RequestUid>) {
        let ready = self.heard || self.started.elapsed() >= START_GRACE;
        if !ready || (self.mode != Mode::Audit && !self.outside.leadership.borrow().holds()) {
            return;
        }
        let now = Timestamp::now();
        for uid in woken {
            let decision = match self.mode {
                Mode::Enforce => self.cluster.judge(&uid, now),
                Mode::Audit | Mode::Manual => self
                    .cluster
                    .preview(&uid, now)
                    .filter(|_| self.targets.contains_key(&uid)),
            };
            if let Some(decision) = decision {
                self.act(uid, &decision);
            }
        }
    }

    /// Hands a decision to the writers, or tells why there is nothing to write.
    fn act(&mut self, uid: RequestUid, decision: &Decision) {
        let side = match decision.verdict() {
            Verdict::Approve(_) => Some(Side::Approved),
            Verdict::Deny => Some(Side::Denied),
            Verdict::Hold(_) | Verdict::Ignore => None,
        };
        match side.filter(|_| self.mode == Mode::Enforce) {
            Some(side) => {
                self.tell(&uid, decision);
                let Some(about) = self.about(&uid, decision) else {
                    return;
                };
                let message = match side {
                    Side::Approved => decision.message().to_owned(),
                    Side::Denied => decision.explanation(),
                };
                let finding = Finding::new(decision.reason(), message);
                let warnings = decision.findings().skip(1).cloned().collect();
                self.jobs.push_back(Job {
                    uid,
                    about,
                    side,
                    finding,
                    warnings,
                });
            }
            None => self.tell(&uid, decision),
        }
    }

    /// Logs, counts and announces a decision, once until its reasons change.
    fn tell(&mut self, uid: &RequestUid, decision: &Decision) {
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

    fn about(&self, uid: &RequestUid, decision: &Decision) -> Option<About> {
        let (request, target) = (self.cluster.request(uid)?, self.targets.get(uid)?);
        Some(About {
            reference: to_reference(target),
            request: request.name.clone(),
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

    fn announce(
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

    /// Starts as many writes as may run at one time. Without leadership nothing is written.
    fn dispatch(&mut self) {
        let leads = self.outside.leadership.borrow().holds();
        while self.writes.len() < WRITES {
            let Some(job) = self.jobs.pop_front() else {
                return;
            };
            let target = self.targets.get(&job.uid).filter(|_| leads).cloned();
            let Some(target) = target else {
                self.cluster.settle(&job.uid, Settlement::Undone);
                continue;
            };
            let api = self.outside.requests.clone();
            self.writes.spawn(async move {
                let outcome = write(api, target, job.side, job.finding.clone()).await;
                (job, outcome)
            });
        }
    }

    /// A write ended.
    fn written(
        &mut self,
        ended: Result<(Job, Outcome), tokio::task::JoinError>,
    ) -> BTreeSet<RequestUid> {
        let (job, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                warn!(%error, "a write ended without an answer");
                return BTreeSet::new();
            }
        };
        if outcome.settlement == Settlement::Written {
            self.decided(&job);
        }
        if let Some(trouble) = &outcome.trouble {
            self.outside.metrics.write_failures.inc();
            warn!(
                request = job.about.request,
                error = trouble,
                "the decision could not be written"
            );
        }
        if outcome.again && self.targets.contains_key(&job.uid) {
            self.retry_later(&job.uid);
        }
        self.cluster.settle(&job.uid, outcome.settlement)
    }

    /// Tells a decision that was written.
    fn decided(&self, job: &Job) {
        let About {
            request,
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

    fn record_claims(&mut self) {
        if self.mode != Mode::Enforce || !self.heard || !self.outside.leadership.borrow().holds() {
            return;
        }
        self.cluster.forget_claims_of_gone_machines();
        let Ok(before) = Timestamp::now().checked_sub(RECORD_AFTER) else {
            return;
        };
        self.outside
            .record
            .send_replace(self.cluster.claims_to_record(before));
    }

    async fn drain(mut self) {
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

fn period(every: Duration) -> Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// How long until a time; nothing when it has passed.
fn until(at: Timestamp) -> Option<Duration> {
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
