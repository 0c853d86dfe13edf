//! The Machines of a source with records that lack the names of their instances: the cloud is queried in the background, and
//! its answers arrive as late addresses.
//!
//! This sits between the feed of the source and the engine. Inputs of the feed pass at once. While the cloud does not
//! answer, Machines keep the known names, and new ones have none.

mod book;

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use jiff::Timestamp;
use rollcall_approver_core::{Change, Feed, LookUp, Machine, Scope};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use self::book::{Asked, Book};
use crate::aws::{self, Aws, Environment, Instance, instance_id};
use crate::engine::Input;
use crate::metrics::Metrics;
use crate::persistence::{Complaint, pauses};

/// The shortest time between the starts of two queries: when many instances are launched, one query covers many. EC2 allows
/// ten times as many calls to a whole account (EC2 API Reference, "Request throttling": 20 a second).
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The limit of one query, including credentials and retries of a call.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The first pause after a query that failed; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a query that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A cloud that is queried.
#[derive(Debug)]
pub(crate) struct Cloud {
    environment: Environment,
    region: Option<String>,
    connected: OnceCell<Aws>,
}

/// An answer of the cloud: the instances that it knows, and their region.
type Answer = Result<(Vec<Instance>, String), aws::Error>;

impl Cloud {
    /// The cloud of a scope, queried with the settings and credentials of this process.
    pub(crate) fn of_process(look_up: LookUp) -> Self {
        Self::new(look_up, Environment::of_process())
    }

    fn new(look_up: LookUp, environment: Environment) -> Self {
        let LookUp::Ec2 { region } = look_up;
        Self {
            environment,
            region,
            connected: OnceCell::new(),
        }
    }

    /// Queries instances.
    async fn ask(&self, asked: &Asked) -> Answer {
        let question = async {
            let connect = || Aws::connect(self.environment.clone(), self.region.as_deref());
            let aws = self.connected.get_or_try_init(connect).await?;
            let mut ids: Vec<String> = asked.iter().map(|(_, id)| id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok((aws.instances(&ids).await?, aws.region().to_owned()))
        };
        let answer = timeout(CALL_LIMIT, question).await;
        answer.unwrap_or_else(|_| {
            Err(aws::Error::Unreachable {
                host: "EC2".to_owned(),
                message: format!("no answer for {} s", CALL_LIMIT.as_secs()),
            })
        })
    }
}

/// Forwards the inputs of a scope's feed and adds the instance addresses known to the cloud. Runs until the receiver is
/// dropped.
pub(crate) async fn run(
    scope: Scope,
    cloud: Cloud,
    mut told: mpsc::Receiver<Input>,
    sink: mpsc::Sender<Input>,
    metrics: Metrics,
) {
    let mut asking = Asking::new(scope, cloud, sink, metrics);
    // At most one query at a time: requests that arrive meanwhile are combined into the next.
    let mut question = JoinSet::new();
    loop {
        let next = asking.next_question().filter(|_| question.is_empty());
        let outcome = tokio::select! {
            input = told.recv() => match input {
                Some(input) => asking.pass_on(input).await,
                None => return,
            },
            Some(Ok((asked, answer))) = question.join_next() => asking.hear(&asked, answer).await,
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let asked = asking.begin();
                let cloud = asking.cloud.clone();
                question.spawn(async move {
                    let answer = cloud.ask(&asked).await;
                    (asked, answer)
                });
                Ok(())
            }
        };
        if outcome.is_err() {
            return;
        }
    }
}

/// The receiver is gone.
struct Stopped;

/// The result of the last query, as reported.
enum State {
    /// Nothing is known yet.
    Starting,
    /// It was answered, as reported.
    Live,
    /// It was not answered, as reported.
    Lost,
}

struct Asking {
    feed: Feed,
    cloud: Arc<Cloud>,
    sink: mpsc::Sender<Input>,
    metrics: Metrics,
    book: Book,
    /// True if all Machines were reported once.
    listed: bool,
    state: State,
    /// The time since when all queries have failed.
    failing: Option<Timestamp>,
    pauses: ExponentialBackoff,
    /// The earliest time of the next query.
    not_before: Instant,
    /// The last logged failure.
    complaint: Complaint,
}

impl Asking {
    fn new(scope: Scope, cloud: Cloud, sink: mpsc::Sender<Input>, metrics: Metrics) -> Self {
        Self {
            feed: Feed::Instances(scope),
            cloud: Arc::new(cloud),
            sink,
            metrics,
            book: Book::default(),
            listed: false,
            state: State::Starting,
            failing: None,
            pauses: pauses(FIRST_PAUSE, LONGEST_PAUSE),
            not_before: Instant::now(),
            complaint: Complaint::default(),
        }
    }

    /// The time of the next query.
    fn next_question(&self) -> Option<Instant> {
        Some(self.book.next_due()?.max(self.not_before))
    }

    /// The instances to query now.
    fn begin(&mut self) -> Asked {
        let now = Instant::now();
        self.not_before = now.checked_add(SHORTEST_PAUSE).unwrap_or(now);
        self.book.due(now)
    }

    /// Handles an input of the feed, and forwards it.
    async fn pass_on(&mut self, input: Input) -> Result<(), Stopped> {
        let input = match input {
            Input::Change(Change::Machine(record)) => {
                if !self.book.knows(&record)
                    && let Some(remark) = strange(&record)
                {
                    warn!(feed = %self.feed, machine = %record.reference, "{remark}");
                }
                let whole = self.book.put(*record, Instant::now());
                Input::Change(Change::Machine(Box::new(whole)))
            }
            Input::Change(Change::MachineGone(uid)) => {
                self.book.forget(&uid);
                Input::Change(Change::MachineGone(uid))
            }
            Input::Change(Change::MachineList(scope, present)) => {
                self.book.retain(&present);
                Input::Change(Change::MachineList(scope, present))
            }
            input @ (Input::Change(_)
            | Input::Complete(_, _)
            | Input::Config(_)
            | Input::Request(_)) => {
                self.listed |= matches!(&input, Input::Change(Change::Synced(_)));
                input
            }
        };
        self.send(input).await?;
        self.tell_state().await
    }

    /// Handles the result of a query.
    async fn hear(&mut self, asked: &Asked, answer: Answer) -> Result<(), Stopped> {
        match answer {
            Ok((instances, region)) => {
                if self.complaint.is_over() {
                    info!(feed = %self.feed, "EC2 answers again");
                }
                self.pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE);
                self.failing = None;
                let heard = self.book.hear(asked, &instances, &region, Instant::now());
                for remark in heard.remarks {
                    warn!(feed = %self.feed, "{remark}");
                }
                for machine in heard.changed {
                    let change = Change::Machine(Box::new(machine));
                    self.send(Input::Change(change)).await?;
                }
            }
            Err(error) => self.failed(&error),
        }
        self.tell_state().await
    }

    fn failed(&mut self, error: &aws::Error) {
        self.metrics.look_up_failures.inc();
        self.failing.get_or_insert_with(Timestamp::now);
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        if let Some(at) = Instant::now().checked_add(pause) {
            self.not_before = at;
        }
        let text = error.to_string();
        if self.complaint.is_news(&text) {
            error!(
                feed = %self.feed,
                error = text,
                "instances cannot be looked up; Machines keep the names that are known, and new ones wait"
            );
        } else {
            debug!(feed = %self.feed, error = text, "instances still cannot be looked up");
        }
    }

    /// Reports if names are missing because the cloud did not answer, when that changes.
    async fn tell_state(&mut self) -> Result<(), Stopped> {
        // No instance is left to query.
        if self.book.next_due().is_none() {
            self.failing = None;
        }
        let (state, change) = match (self.failing, &self.state) {
            (Some(since), State::Starting | State::Live) => {
                (State::Lost, Change::Lost(self.feed.clone(), since))
            }
            (None, State::Starting | State::Lost) if self.listed && self.book.is_complete() => {
                (State::Live, Change::Synced(self.feed.clone()))
            }
            (None, _) | (Some(_), State::Lost) => return Ok(()),
        };
        self.state = state;
        self.send(Input::Change(change)).await
    }

    async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.sink.send(input).await.map_err(|_| Stopped)
    }
}

/// The reason why a Machine's instance cannot be queried although it has one.
fn strange(record: &Machine) -> Option<String> {
    let id = record.provider_id.as_deref()?;
    instance_id(id)
        .is_none()
        .then(|| format!("its providerID {id:?} names no instance of EC2, so that nobody can be asked what it is called"))
}

/// Adds the cloud's facts about instances to a list of a scope's Machines, once, for the commands.
///
/// # Errors
/// If the cloud does not answer: then the list stays without them.
pub(crate) async fn complete(
    scope: &Scope,
    cloud: &Cloud,
    told: &[Change],
) -> Result<Vec<Change>, aws::Error> {
    let now = Instant::now();
    let mut book = Book::default();
    for change in told {
        if let Change::Machine(record) = change {
            book.put((**record).clone(), now);
        }
    }
    let mut changes = Vec::new();
    loop {
        let asked = book.due(now);
        if asked.is_empty() {
            break;
        }
        let (instances, region) = cloud.ask(&asked).await?;
        // An instance without a name is due again a moment later than `now`: nothing is queried twice.
        let heard = book.hear(&asked, &instances, &region, now);
        let changed = heard.changed.into_iter().map(Box::new);
        changes.extend(changed.map(Change::Machine));
    }
    changes.push(Change::Synced(Feed::Instances(scope.clone())));
    Ok(changes)
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
