//! The engine: one task that owns everything known, feeds changes to the core, and has its decisions written.

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

/// How long the start, or that of a new source, may take before requests are told that facts are missing.
const START_GRACE: Duration = Duration::from_secs(10);
/// How often claims are looked through for those that must be recorded.
const RECORD_PERIOD: Duration = Duration::from_secs(60);
/// How soon claims are recorded once an approved request has gone, so that a burst of deletions is one write.
const RECORD_SOON: Duration = Duration::from_secs(1);
/// The shortest time between two accounts of how ExpectedMachines stand: many come at once when a whole rack boots.
const JOINS_PERIOD: Duration = Duration::from_millis(250);
/// How old a claim is when it is recorded: long before the request cleaner takes an approved request away, one hour
/// (Kubernetes: `pkg/controller/certificates/cleaner`), and long after most machines have become Nodes.
const RECORD_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How many requests are judged before news and the answers to writes are looked at again,
const SLICE: usize = 64;
/// and for how long: one judgement takes microseconds, but milliseconds where signatures have to be verified.
const SLICE_TIME: Duration = Duration::from_millis(5);

/// News for the engine.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something changed.
    Change(Change),
    /// What a term rests on was read anew since it began.
    Complete(Feed, Option<u64>),
    /// Another configuration is in force from here on.
    Config(Box<InForce>),
    /// A request appeared or changed.
    Request(Box<(Request, Target)>),
}

/// What the engine talks to.
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
    /// Nodes to be dialled; what comes of it is news.
    pub(crate) dials: mpsc::UnboundedSender<Dial>,
    /// Nodes whose Leases are to be asked for; the answers are news.
    pub(crate) leases: mpsc::UnboundedSender<NodeName>,
    /// How ExpectedMachines stand, each time all of them.
    pub(crate) joins: watch::Sender<Joins>,
}

/// The engine's state.
pub(crate) struct Engine {
    mode: Mode,
    cluster: Cluster,
    outside: Outside,
    targets: HashMap<RequestUid, Known>,
    /// When each of them came.
    came: HashMap<RequestUid, Instant>,
    feeds: Feeds,
    told: HashMap<RequestUid, Told>,
    /// When requests are looked at that may have to tell something else.
    annotations: DelayQueue<RequestUid>,
    to_judge: Turns,
    jobs: Queue,
    writes: JoinSet<(Job, Outcome)>,
    /// How many of the writes under way are denials.
    denials: usize,
    retries: DelayQueue<RequestUid>,
    failures: HashMap<RequestUid, Failures>,
    /// How long requests are not told yet what facts are missing; `None` once that is over.
    patience: Option<Instant>,
    heard: bool,
    /// The term in which this replica leads.
    term: Option<u64>,
    /// How many terms have begun, counted from when the requests were listed in each.
    terms: u64,
    fences: JoinSet<Fenced>,
    /// The requests for whose approval others are being changed.
    fencing: HashSet<RequestUid>,
    /// What has to be read anew before anything is approved in this term.
    awaited: BTreeSet<Feed>,
    /// Whether requests were woken that could not be judged just then.
    missed: bool,
    /// The time by both clocks when they were read last.
    clocks: (std::time::Instant, Timestamp),
    /// Which share of what waits is judged anew next.
    share: u64,
    /// Whether approved requests have gone, so that their claims stand in memory only.
    claims_alone: bool,
    /// Pools named by the configuration that no Machine is in, as told last.
    empty_pools: BTreeSet<String>,
    /// Whether something happened since it was told how ExpectedMachines stand.
    changed: bool,
    /// Whether the news that came last said what is known already.
    idle: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
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

    /// Runs until it is told to stop, then lets the writes under way end.
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

    /// Judges a share of all that is pending again, whatever woke it or did not.
    fn review(&mut self) {
        self.outside.health.turned();
        self.read_clock();
        let woken = self.next_share();
        self.judge_and_dispatch(woken);
    }

    /// Judges what a turn of the loop woke, and reports what it left.
    fn end_turn(&mut self, woken: BTreeSet<RequestUid>) {
        self.outside.health.turned();
        let idle = std::mem::take(&mut self.idle);
        self.changed |= !(idle && woken.is_empty() && self.to_judge.is_empty());
        self.judge_and_dispatch(woken);
        let metrics = &self.outside.metrics;
        metrics.machines.set(count(self.cluster.roll().len()));
        metrics.pending.set(count(self.targets.len()));
    }

    /// Judges some of the requests that wait for it, and hands the decisions on.
    fn judge_and_dispatch(&mut self, woken: BTreeSet<RequestUid>) {
        self.wake(woken);
        self.judge_some();
        let woken = self.dispatch();
        self.wake(woken);
    }

    /// Notes requests to be judged. While nothing may be, they are left: all that is pending is woken when that is over.
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
            // What a node serves, or its Lease, is known in a moment, and then there is more to tell.
            None if self.dial(decision) || self.ask_for_lease(decision) => {}
            None => self.tell(&uid, decision),
        }
    }

    /// Has a node dialled, if a decision waits for that.
    fn dial(&self, decision: &Decision) -> bool {
        let dial = decision.dial().cloned();
        dial.is_some_and(|dial| self.outside.dials.send(dial).is_ok())
    }

    /// Asks for the Lease of a Node, if a decision waits for that.
    fn ask_for_lease(&self, decision: &Decision) -> bool {
        let node = decision.lease().cloned();
        node.is_some_and(|node| self.outside.leases.send(node).is_ok())
    }

    /// Says how ExpectedMachines stand, where somebody keeps their status. Not before everything is known: half the facts
    /// would take back what an earlier replica wrote.
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

    /// Does what is due every minute. Wakes nobody.
    fn look_through(&mut self) -> BTreeSet<RequestUid> {
        self.look_at_pools();
        self.record_claims();
        BTreeSet::new()
    }

    fn record_claims(&mut self) {
        // Of those that no longer matter, a replica that stands by forgets as much as the one that leads.
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

/// Waits for this moment, and for ever when there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
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
