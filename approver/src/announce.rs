//! Reports to the cluster's users why a request waits: Events on the request and its Machine, and annotations on the request
//! itself for the machine that made it. Runs off the approval path.

mod annotation;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

pub(crate) use self::annotation::Annotation;
use self::annotation::annotate;
use crate::convert::shorten;
use crate::errors::describe;
use crate::fair::Fair;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::persistence::Complaint;

/// The reporter name of the Events.
const REPORTER: &str = "rollcall-approver";
/// The namespace of Events about cluster-scoped objects (Kubernetes: `client-go/tools/events`).
const CLUSTER_SCOPED: &str = "default";
/// The number of Events and annotations that may wait to be written; more are dropped and counted.
const QUEUE: usize = 4096;
/// The limit for Events caused by one requestor, so that junk requests leave room for the others.
const PER_REQUESTOR: usize = 1024;
/// The shortest time between two writes: 50 a second leave the API server free for approvals.
const PACE: Duration = Duration::from_millis(20);

/// The limit of one write: while one cluster does not answer, the other's Events wait.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The time in which one reason is not repeated on one object: a hold that comes and goes writes one Event in this time. An
/// Event lives an hour (`--event-ttl` of kube-apiserver), so it still exists when it is repeated.
const REPEAT: Duration = Duration::from_secs(10 * 60);

/// The cluster that an object is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// The cluster that nodes join.
    #[default]
    Cluster,
    /// The cluster that keeps the Machine records, which may be the same.
    Management,
}

/// The content of an Event about one object.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) place: Place,
    pub(crate) about: ObjectReference,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

/// An Event or annotation to write.
#[derive(Debug)]
enum Telling {
    Annotation(Annotation),
    Event(Announcement),
}

/// The queue of pending writes.
type Waiting = Mutex<Fair<Telling>>;

/// The handle that queues announcements. Never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    waiting: Arc<Waiting>,
    /// Signals that something waits; its end is the end of the publisher.
    wake: mpsc::Sender<()>,
    silent: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Announcer {
    /// Creates the announcer, and the task that writes to the cluster that nodes join and to the one that keeps the Machine
    /// records.
    pub(crate) fn new(
        client: Client,
        management: Client,
        leadership: watch::Receiver<Leadership>,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (wake, woken) = mpsc::channel(1);
        let waiting = Arc::<Waiting>::default();
        let silent = Arc::new(AtomicBool::new(false));
        let publisher = Publisher {
            client,
            management,
            instance: crate::connect::host_name(),
            leadership,
            waiting: Arc::clone(&waiting),
            silent: Arc::clone(&silent),
            written: HashMap::new(),
            complaint: Complaint::default(),
            annotation_complaint: Complaint::default(),
        };
        let announcer = Self {
            waiting,
            wake,
            silent,
            metrics,
        };
        (announcer, publisher.run(woken))
    }

    /// Stops all writes from now on (mode `audit`), pending ones included, or allows them again.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Queues an announcement caused by a request of this requestor; drops it if too many wait already.
    pub(crate) fn tell(&self, requestor: &str, announcement: Announcement) {
        self.hand_in(requestor, Telling::Event(announcement));
    }

    /// Queues an annotation with the reason of the hold on a request of this requestor; drops it if too many wait already.
    pub(crate) fn annotate(&self, requestor: &str, annotation: Annotation) {
        self.hand_in(requestor, Telling::Annotation(annotation));
    }

    /// Returns true if one more may wait for this requestor; otherwise counts it as dropped.
    pub(crate) fn has_room(&self, requestor: &str) -> bool {
        self.is_room(&lock(&self.waiting), requestor)
    }

    fn hand_in(&self, requestor: &str, telling: Telling) {
        let mut waiting = lock(&self.waiting);
        if self.is_room(&waiting, requestor) {
            waiting.push(requestor, telling);
            // A publisher that is awake reads the whole queue; one that has ended writes nothing more.
            self.wake.try_send(()).ok();
        }
    }

    fn is_room(&self, waiting: &Fair<Telling>, requestor: &str) -> bool {
        let room = waiting.len() < QUEUE && waiting.len_of(requestor) < PER_REQUESTOR;
        if !room {
            self.metrics.events_dropped.inc();
        }
        room
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Fair<Telling>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one at once and returns the result.
pub(crate) async fn publish_now(client: &Client, announcement: Announcement) -> kube::Result<()> {
    let event = to_event(announcement, &crate::connect::host_name(), Timestamp::now());
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), &event).await.map(drop)
}

/// The task that writes.
struct Publisher {
    client: Client,
    management: Client,
    instance: String,
    leadership: watch::Receiver<Leadership>,
    waiting: Arc<Waiting>,
    silent: Arc<AtomicBool>,
    /// The last time of each reason on each object. The pace limits their number.
    written: HashMap<(String, &'static str), Instant>,
    complaint: Complaint,
    annotation_complaint: Complaint,
}

impl Publisher {
    async fn run(mut self, mut woken: mpsc::Receiver<()>) {
        let mut swept = Instant::now();
        while let Some(telling) = self.next(&mut woken).await {
            if swept.elapsed() > REPEAT {
                swept = Instant::now();
                self.written.retain(|_, at| at.elapsed() < REPEAT);
            }
            if self.silent.load(Ordering::Relaxed) {
                continue;
            }
            let tried = match telling {
                Telling::Annotation(annotation) => self.annotate(&annotation).await,
                Telling::Event(announcement) => self.announce(announcement).await,
            };
            if tried {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// Returns the next one to write; `None` once all senders are gone.
    async fn next(&self, woken: &mut mpsc::Receiver<()>) -> Option<Telling> {
        loop {
            let next = lock(&self.waiting).pop();
            if next.is_some() {
                return next;
            }
            woken.recv().await?;
        }
    }

    /// Writes an annotation, if this replica still leads: another leader writes its own. Returns true if it tried.
    async fn annotate(&mut self, annotation: &Annotation) -> bool {
        let leads = self.leadership.borrow().holds();
        if leads {
            match annotate(self.client.clone(), annotation).await {
                None => {
                    self.annotation_complaint.is_over();
                }
                Some(error) if self.annotation_complaint.is_news(&error) => warn!(
                    request = annotation.target.name,
                    error,
                    "what a request is held for could not be written on it, so its machine cannot show it"
                ),
                Some(_) => {}
            }
        }
        leads
    }

    /// Writes an Event, unless the same was reported on the object recently. Returns true if it tried.
    async fn announce(&mut self, announcement: Announcement) -> bool {
        let uid = announcement.about.uid.clone().unwrap_or_default();
        let key = (uid, announcement.reason);
        let repeats = self.written.get(&key);
        if repeats.is_some_and(|at| at.elapsed() < REPEAT) {
            return false;
        }
        match self.publish(announcement).await {
            None => {
                self.complaint.is_over();
                self.written.insert(key, Instant::now());
            }
            Some(error) if self.complaint.is_news(&error) => warn!(
                error,
                "an Event could not be written; the reason stands in this log only"
            ),
            Some(_) => {}
        }
        true
    }

    /// Writes one. Returns the error.
    async fn publish(&self, announcement: Announcement) -> Option<String> {
        let client = match announcement.place {
            Place::Cluster => &self.client,
            Place::Management => &self.management,
        };
        let event = to_event(announcement, &self.instance, Timestamp::now());
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let params = PostParams::default();
        match timeout(CALL_LIMIT, api.create(&params, &event)).await {
            Ok(written) => written.err().map(|error| describe(&error)),
            Err(_) => Some(format!("no answer for {} s", CALL_LIMIT.as_secs())),
        }
    }
}

/// The Event object. Its name contains the uid of the object it is about, because a request's name may contain capitals and
/// an Event's may not.
fn to_event(announcement: Announcement, instance: &str, now: Timestamp) -> Event {
    let Announcement {
        place: _,
        about,
        warning,
        reason,
        action,
        note,
    } = announcement;
    let uid = about.uid.clone().unwrap_or_default();
    Event {
        action: Some(action.to_owned()),
        event_time: Some(MicroTime(now)),
        metadata: ObjectMeta {
            name: Some(format!("rollcall-{uid}.{:x}", now.as_nanosecond())),
            namespace: Some(
                about
                    .namespace
                    .clone()
                    .unwrap_or_else(|| CLUSTER_SCOPED.to_owned()),
            ),
            ..ObjectMeta::default()
        },
        note: Some(shorten(&note)),
        reason: Some(reason.to_owned()),
        regarding: Some(about),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
#[path = "announce_tests.rs"]
mod tests;
