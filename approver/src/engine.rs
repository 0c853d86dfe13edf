//! The engine: one task that owns all known facts, passes changes to the core, and starts the writes of its decisions.

mod annotations;
mod auditing;
mod clock;
mod fence;
mod news;
mod others;
mod queue;
mod report;
mod review;
mod takeover;
mod terms;
mod turns;
mod writes;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use rollcall_approver_core::{
    Change, Claim, Cluster, Decision, Dial, Feed, Finding, Request, RequestUid, Source, Verdict,
};
use rollcall_csr::NodeName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::time::DelayQueue;

use self::annotations::Told;
use self::fence::{Fenced, Known};
use self::queue::Queue;
use self::turns::Turns;
use self::writes::{Failures, Job};
use crate::Mode;
use crate::announce::Announcer;
use crate::audit::Audit;
use crate::convert::Target;
use crate::health::Health;
use crate::joins::Joins;
use crate::lease::Leadership;
use crate::metrics::{Feeds, Metrics};
use crate::reload::InForce;
use crate::write::{Outcome, Side};

/// The time for the start, or that of a new source, before requests are reported as held for missing facts.
const START_GRACE: Duration = Duration::from_secs(10);
/// The interval of the check for claims that must be recorded.
const RECORD_PERIOD: Duration = Duration::from_secs(60);
/// The delay of recording claims once an approved request has gone, so that a burst of deletions is one write.
const RECORD_SOON: Duration = Duration::from_secs(1);
/// The shortest time between two updates of the state of ExpectedMachines: many come at once when a whole rack boots.
const JOINS_PERIOD: Duration = Duration::from_millis(250);
/// The age at which a claim is recorded: long before the request cleaner deletes an approved request, one hour (Kubernetes:
/// `pkg/controller/certificates/cleaner`), and long after most machines have become Nodes.
const RECORD_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Requests decided per loop iteration, so that inputs and write results are handled soon.
const SLICE: usize = 64;
/// The time limit of the same: one decision takes microseconds, but milliseconds if signatures have to be verified.
const SLICE_TIME: Duration = Duration::from_millis(5);

/// An input of the engine.
#[derive(Debug)]
pub(crate) enum Input {
    /// A fact changed.
    Change(Change),
    /// A feed that a term depends on was read again since it began.
    Complete(Feed, Option<u64>),
    /// Another configuration takes effect.
    Config(Box<InForce>),
    /// A request appeared or changed.
    Request(Box<(Request, Target)>),
}

/// The channels and tasks around the engine.
pub(crate) struct Outside {
    pub(crate) requests: Api<CertificateSigningRequest>,
    pub(crate) announcer: Announcer,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) ready: watch::Sender<bool>,
    pub(crate) health: Health,
    /// Claims to be recorded, each time all of them.
    pub(crate) record: watch::Sender<Vec<Claim>>,
    /// Nodes to be dialled; the results are inputs.
    pub(crate) dials: mpsc::UnboundedSender<Dial>,
    /// Nodes for which Leases are to be read; the answers are inputs.
    pub(crate) leases: mpsc::UnboundedSender<NodeName>,
    /// The state of ExpectedMachines, each time all of them.
    pub(crate) joins: watch::Sender<Joins>,
}

/// The engine's state.
pub(crate) struct Engine {
    mode: Mode,
    cluster: Cluster,
    outside: Outside,
    targets: HashMap<RequestUid, Known>,
    /// The arrival time of each of them.
    came: HashMap<RequestUid, Instant>,
    feeds: Feeds,
    told: HashMap<RequestUid, Told>,
    /// Scheduled checks of the annotations of requests.
    annotations: DelayQueue<RequestUid>,
    to_judge: Turns,
    jobs: Queue,
    writes: JoinSet<(Job, Outcome)>,
    /// The number of denials among the writes in progress.
    denials: usize,
    retries: DelayQueue<RequestUid>,
    failures: HashMap<RequestUid, Failures>,
    /// The end of the time in which missing facts are not reported on requests; `None` once it is over.
    patience: Option<Instant>,
    heard: bool,
    /// The term in which this replica leads.
    term: Option<u64>,
    /// The number of terms so far, counted from when the requests were listed in each.
    terms: u64,
    fences: JoinSet<Fenced>,
    /// The requests that wait for changes of others before their approval.
    fencing: HashSet<RequestUid>,
    /// The feeds that have to be read again before anything is approved in this term.
    awaited: BTreeSet<Feed>,
    /// True if requests were woken that could not be decided then.
    missed: bool,
    /// The time by both clocks when they were last read.
    clocks: (std::time::Instant, Timestamp),
    /// The share of the waiting requests that is decided again next.
    share: u64,
    /// True if approved requests have gone, so that their claims are in memory only.
    claims_alone: bool,
    /// Pools of the configuration without any Machine, as last logged.
    empty_pools: BTreeSet<String>,
    /// True if anything happened since the state of ExpectedMachines was last sent.
    changed: bool,
    /// True if the last inputs contained only known facts.
    idle: bool,
}

impl Engine {
    /// Creates an engine without facts.
    pub(crate) fn new(mode: Mode, cluster: Cluster, outside: Outside) -> Self {
        Self {
            mode,
            cluster,
            outside,
            targets: HashMap::new(),
            came: HashMap::new(),
            feeds: Feeds::default(),
            told: HashMap::new(),
            annotations: DelayQueue::new(),
            to_judge: Turns::default(),
            jobs: Queue::default(),
            writes: JoinSet::new(),
            denials: 0,
            retries: DelayQueue::new(),
            failures: HashMap::new(),
            patience: Instant::now().checked_add(START_GRACE),
            heard: false,
            term: None,
            terms: 0,
            fences: JoinSet::new(),
            fencing: HashSet::new(),
            awaited: BTreeSet::new(),
            missed: false,
            clocks: (std::time::Instant::now(), Timestamp::now()),
            share: 0,
            claims_alone: false,
            empty_pools: BTreeSet::new(),
            changed: false,
            idle: false,
        }
    }

    /// Runs until `stop` is cancelled, then lets the writes in progress end.
    pub(crate) async fn run(mut self, mut news: mpsc::Receiver<Input>, stop: CancellationToken) {
        let mut record = period(RECORD_PERIOD);
        let mut joins = period(JOINS_PERIOD);
        let mut review = period(review::TICK);
        let mut soon = false;
        self.leadership_changed();
        loop {
            let due = self.cluster.next_due().and_then(until);
            let due = due.unwrap_or(RECORD_PERIOD);
            let woken = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.writes.join_next() => match self.written(ended) {
                    Some(woken) => woken,
                    None => break,
                },
                Some(ended) = self.fences.join_next() => match self.fenced(ended) {
                    Some(woken) => woken,
                    None => break,
                },
                input = news.recv() => match input {
                    Some(input) => self.take_in(input, &mut news),
                    None => break,
                },
                Some(expired) = self.retries.next() => self.retry(expired.into_inner()),
                Some(expired) = self.annotations.next() => {
                    self.annotate(&expired.into_inner());
                    continue;
                }
                () = tokio::time::sleep(due) => self.cluster.due(Timestamp::now()),
                changed = self.outside.leadership.changed() => match changed {
                    Ok(()) => self.leadership_changed(),
                    Err(_) => break,
                },
                _ = joins.tick(), if self.changed => {
                    self.hand_over_joins();
                    continue;
                }
                _ = review.tick() => {
                    self.review();
                    continue;
                }
                _ = record.tick() => {
                    soon = false;
                    self.look_through()
                }
                () = tokio::task::yield_now(), if !self.to_judge.is_empty() => BTreeSet::new(),
                () = at(self.patience) => {
                    self.patience = None;
                    self.cluster.pending().filter(|_| !self.heard).collect()
                }
            };
            if std::mem::take(&mut self.claims_alone) && !soon {
                soon = true;
                record.reset_after(RECORD_SOON);
            }
            self.end_turn(woken);
        }
        self.drain().await;
    }

    /// Decides a share of all pending requests again, whether woken or not.
    fn review(&mut self) {
        self.outside.health.turned();
        self.read_clock();
        let woken = self.next_share();
        self.judge_and_dispatch(woken);
    }

    /// Decides the requests woken by one loop iteration, and reports the state.
    fn end_turn(&mut self, woken: BTreeSet<RequestUid>) {
        self.outside.health.turned();
        let idle = std::mem::take(&mut self.idle);
        self.changed |= !(idle && woken.is_empty() && self.to_judge.is_empty());
        self.judge_and_dispatch(woken);
        let metrics = &self.outside.metrics;
        metrics.machines.set(count(self.cluster.roll().len()));
        metrics.pending.set(count(self.targets.len()));
    }

    /// Decides some of the waiting requests and queues the decisions.
    fn judge_and_dispatch(&mut self, woken: BTreeSet<RequestUid>) {
        self.wake(woken);
        self.judge_some();
        let woken = self.dispatch();
        self.wake(woken);
    }

    /// Queues requests to be decided. While deciding is not possible, they are dropped: all pending requests are woken
    /// later.
    fn wake(&mut self, woken: BTreeSet<RequestUid>) {
        let ready = self.heard || self.patience.is_none();
        if !ready || (self.mode != Mode::Audit && !self.leads()) {
            self.to_judge = Turns::default();
            self.missed = true;
            return;
        }
        for uid in woken {
            if let Some(request) = self.cluster.request(&uid) {
                self.to_judge.push(&request.requestor.username, uid);
            }
        }
    }

    fn judge_some(&mut self) {
        let (now, started) = (self.read_clock(), std::time::Instant::now());
        for _ in 0..SLICE {
            if started.elapsed() > SLICE_TIME {
                return;
            }
            let Some(uid) = self.to_judge.pop() else {
                return;
            };
            let decision = match self.mode {
                Mode::Enforce => self.cluster.judge(&uid, now),
                Mode::Audit | Mode::Manual if self.targets.contains_key(&uid) => {
                    self.cluster.consider(&uid, now)
                }
                Mode::Audit | Mode::Manual => None,
            };
            if let Some(decision) = decision {
                if self.mode == Mode::Audit {
                    self.outside.audit.keep(&uid, &decision);
                }
                self.act(uid, &decision);
            }
        }
    }

    /// Queues a decision for writing, or reports why there is nothing to write.
    fn act(&mut self, uid: RequestUid, decision: &Decision) {
        let side = match decision.verdict() {
            Verdict::Approve(_) => Some(Side::Approved),
            Verdict::Deny => Some(Side::Denied),
            Verdict::Hold(_) | Verdict::Ignore => None,
        };
        match side.filter(|_| self.mode == Mode::Enforce) {
            Some(side) => {
                self.tell(&uid, decision);
                if matches!(decision.verdict(), Verdict::Approve(Some(_))) {
                    let rivals = self.to_fence(&uid);
                    if !rivals.is_empty() {
                        return self.fence(uid, rivals);
                    }
                }
                let Some(about) = self.about(&uid, decision) else {
                    return;
                };
                let message = match side {
                    Side::Approved => decision.message().to_owned(),
                    Side::Denied => decision.explanation(),
                };
                let finding = Finding::new(decision.reason(), message);
                let warnings = decision.warnings().cloned().collect();
                self.jobs.push(Job {
                    uid,
                    about,
                    side,
                    finding,
                    warnings,
                });
            }
            // The dial or the Lease answers in a moment, and then there is more to report.
            None if self.dial(decision) || self.ask_for_lease(decision) => {}
            None => self.tell(&uid, decision),
        }
    }

    /// Requests a dial of a node, if a decision waits for that. Returns true if so.
    fn dial(&self, decision: &Decision) -> bool {
        let dial = decision.dial().cloned();
        dial.is_some_and(|dial| self.outside.dials.send(dial).is_ok())
    }

    /// Requests the Lease of a Node, if a decision waits for that. Returns true if so.
    fn ask_for_lease(&self, decision: &Decision) -> bool {
        let node = decision.lease().cloned();
        node.is_some_and(|node| self.outside.leases.send(node).is_ok())
    }

    /// Sends the state of ExpectedMachines to the task that writes their status, if there is one. Not before all facts are
    /// known: partial facts would revert what an earlier replica wrote.
    fn hand_over_joins(&mut self) {
        self.changed = false;
        if !self.heard || self.outside.joins.is_closed() {
            return;
        }
        let joins = self
            .cluster
            .joins(Source::ExpectedMachine, Timestamp::now());
        self.outside.joins.send_if_modified(|told| {
            let news = *told != joins;
            *told = joins;
            news
        });
    }

    /// Does the periodic work of every minute. Wakes no request.
    fn look_through(&mut self) -> BTreeSet<RequestUid> {
        self.look_at_pools();
        self.record_claims();
        BTreeSet::new()
    }

    fn record_claims(&mut self) {
        // A standby replica forgets irrelevant claims just as the leader does.
        self.cluster.forget_claims_of_gone_machines();
        if self.mode != Mode::Enforce || !self.heard || !self.leads() {
            return;
        }
        let Ok(before) = Timestamp::now().checked_sub(RECORD_AFTER) else {
            return;
        };
        self.outside
            .record
            .send_replace(self.cluster.claims_to_record(before));
    }
}

fn period(every: Duration) -> Interval {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for this moment, or without end if it is `None`.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The time left until a moment; `None` if it has passed.
fn until(at: Timestamp) -> Option<Duration> {
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "engine_annotations_tests.rs"]
mod annotations_tests;

#[cfg(test)]
#[path = "engine_audit_tests.rs"]
mod audit_tests;

#[cfg(test)]
#[path = "engine_dial_tests.rs"]
mod dial_tests;

#[cfg(test)]
#[path = "engine_fairness_tests.rs"]
mod fairness_tests;

#[cfg(test)]
#[path = "engine_report_tests.rs"]
mod report_tests;

#[cfg(test)]
#[path = "engine_takeover_tests.rs"]
mod takeover_tests;

#[cfg(test)]
#[path = "engine_terms_tests.rs"]
mod terms_tests;
