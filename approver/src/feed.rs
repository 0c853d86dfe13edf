//! A feed: lists one resource, then watches it without end, and reports if its facts can be trusted.
//!
//! `kube::runtime::watcher` does not distinguish a quiet watch from a broken one that has recovered, and that difference
//! decides if facts may be used. So each watch lasts a short while only: its regular end proves the connection, and a watch
//! without events and without an end is lost.
//!
//! After a break, the answer to a new watch proves nothing: the missed events come after it, or never. So facts count as up
//! to date only after a full list, or, after a short break, after a bookmark or a regular end of the resumed watch.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use rollcall_approver_core::{Change, Feed};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info};

use crate::engine::Input;
use crate::errors::describe;
use crate::lease::Leadership;
use crate::pages::Pages;
use crate::persistence::{Complaint, pauses};

/// The duration of one watch, in seconds, before it is started again where it ended.
const WATCH_SECONDS: u32 = 25;
/// The longest silence of a watch before it counts as lost: a little longer than its duration.
const SILENCE: Duration = Duration::from_secs(30);
/// The limit for a list, or for the start of a watch.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Objects per page of a list: the page size of client-go (`tools/pager`).
pub(crate) const PAGE: u32 = 500;
/// The first pause before a broken feed is retried; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause before a broken feed is retried.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The shortest duration of a watch: when two in a row ended sooner and without an event, the next is not started before. A
/// proxy or a server that shuts down may end each at once. A single such end is how an API server drops a watch that it
/// cannot serve as fast as objects change, and then each moment counts.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// The longest break after which the next watch resumes where the last one was; after a longer one everything is listed.
const SHORT_BREAK: Duration = Duration::from_secs(5);
/// The duration from which on the end of a watch proves that nothing was missed: an earlier end can have any cause on the
/// network.
const REGULAR_END: Duration = Duration::from_secs(20);
/// The status code of a resource version that is too old: a full list is due (Kubernetes: API concepts, efficient detection
/// of changes).
const GONE: u16 = 410;
/// The pause before an optional resource is requested again.
const OPTIONAL_PAUSE: Duration = Duration::from_secs(300);
/// The status code of a missing RBAC right.
const FORBIDDEN: u16 = 403;
/// The status code of a resource that the API server does not have, or no longer in this version.
const NOT_FOUND: u16 = 404;

/// The differences between one feed and the next.
pub(crate) trait Watched: Send + Sync + 'static {
    /// The parsed fields of an object.
    type Resource: ResourceExt + Clone + Debug + DeserializeOwned + Send + Sync + 'static;
    /// The identity of an object.
    type Key: Eq + Hash + Send;
    /// Facts kept of parsed objects, so that not all of one is parsed again each time it changes.
    type Memory: Default + Send + Sync;
    /// Objects per page of a list, which is in memory as a whole: fewer than usual if objects are large.
    const PAGE: u32 = PAGE;
    /// Objects of the first page: fewer if their size is unknown. While pages are small, they grow.
    const FIRST_PAGE: u32 = Self::PAGE;
    /// True if its objects may be missing or unreadable: then they are requested again from time to time.
    const OPTIONAL: bool = false;

    /// Its name in logs and reasons.
    fn feed(&self) -> Feed;
    /// The current API of its objects. It is called before each full list, because an API may appear, or change its version,
    /// while the feed runs.
    fn locate(
        &self,
        client: &Client,
    ) -> impl Future<Output = kube::Result<Api<Self::Resource>>> + Send;
    /// The field selector of its objects.
    fn fields(&self) -> Option<String> {
        None
    }
    /// The label selector of its objects.
    fn labels(&self) -> Option<String> {
        None
    }
    /// Handles an object that appeared or changed: returns its key and the input for the engine.
    fn put(&self, memory: &mut Self::Memory, object: Self::Resource) -> Option<(Self::Key, Input)>;
    /// Handles the deletion of an object.
    fn gone(&self, memory: &mut Self::Memory, object: &Self::Resource) -> Option<Change>;
    /// Handles the end of a full list: `present` are all objects.
    fn all(&self, memory: &mut Self::Memory, present: HashSet<Self::Key>) -> Change;
}

/// The causes of a broken feed.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{}", describe(.0))]
    Api(#[from] kube::Error),
    #[error("{} ({})", .0.message, .0.code)]
    Watch(Box<Status>),
    #[error("no answer for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("each watch ends before it proves that nothing was missed")]
    Unproven,
    #[error("the list holds no resource version")]
    NoVersion,
    #[error("the receiver is gone")]
    Stopped,
}

impl Broken {
    /// The status code of the API server's answer, in the stream or instead of one, if it answered.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) | Self::Watch(status) => Some(status.code),
            Self::Api(_) | Self::NoVersion | Self::Silent(_) | Self::Stopped | Self::Unproven => {
                None
            }
        }
    }

    /// Returns true if the API server does not have the resource, or does not allow reading it.
    fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(FORBIDDEN | NOT_FOUND))
    }

    /// Returns true if the API server no longer knows the changes since the version.
    fn is_expired(&self) -> bool {
        self.code() == Some(GONE)
    }

    /// Returns true if a full list is due: the changes since are unknown, or the API server no longer has the resource.
    fn needs_list(&self) -> bool {
        self.is_expired() || self.code() == Some(NOT_FOUND)
    }
}

/// Runs a feed until the receiver is dropped. It never gives up: each distinct error is logged once and retried.
pub(crate) async fn run<W: Watched>(watched: W, client: Client, sink: mpsc::Sender<Input>) {
    Runner::new(watched, client, sink, None).run().await;
}

/// Runs a feed that lists everything again whenever this replica begins to lead, and reports when that is done.
pub(crate) async fn run_in_terms<W: Watched>(
    watched: W,
    client: Client,
    sink: mpsc::Sender<Input>,
    leadership: watch::Receiver<Leadership>,
) {
    Runner::new(watched, client, sink, Some(leadership))
        .run()
        .await;
}

/// Logs why a feed broke, once until the error changes.
fn log_broken(feed: &Feed, broken: &Broken, optional: bool, complaint: &mut Complaint) {
    let text = broken.to_string();
    if broken.is_expired() {
        // Not an error: the API server keeps changes only for a while, and none from before its start.
        debug!(%feed, error = text, "what has changed meanwhile is not known; listing again");
        return;
    }
    match (complaint.is_news(&text), optional && broken.is_refusal()) {
        (true, true) => log_refused(feed, &text),
        (true, false) => {
            error!(%feed, error = text, "the watch broke; it is tried again until it works");
        }
        (false, _) => debug!(%feed, error = text, "the watch is still broken"),
    }
}

fn log_refused(feed: &Feed, reason: &str) {
    info!(%feed, reason, "this cannot be read here; decisions rest on what else is known");
}

struct Runner<W: Watched> {
    watched: W,
    client: Client,
    sink: mpsc::Sender<Input>,
    feed: Feed,
    memory: W::Memory,
    /// The time until which the known facts are certainly complete.
    heard: Instant,
    /// The time at which the last list began.
    listed_at: Instant,
    /// True if nothing is missing since the last break.
    caught_up: bool,
    /// True if a list was ever followed by its watch: before, it cannot be resumed.
    completed: bool,
    leadership: Option<watch::Receiver<Leadership>>,
    /// The term of the last full list.
    listed_in: Option<u64>,
    waits: ExponentialBackoff,
    complaint: Complaint,
}

/// The point at which a feed resumes: the resource, and the version that was read.
type Place<W> = (Api<<W as Watched>::Resource>, String);

/// The result of a watch that ended regularly.
enum Watch {
    /// It brought no change.
    Silent,
    /// It brought changes.
    Spoke,
}

impl<W: Watched> Runner<W> {
    fn new(
        watched: W,
        client: Client,
        sink: mpsc::Sender<Input>,
        leadership: Option<watch::Receiver<Leadership>>,
    ) -> Self {
        Self {
            feed: watched.feed(),
            watched,
            client,
            sink,
            memory: W::Memory::default(),
            heard: Instant::now(),
            listed_at: Instant::now(),
            caught_up: false,
            completed: false,
            leadership,
            listed_in: None,
            waits: pauses(FIRST_PAUSE, LONGEST_PAUSE),
            complaint: Complaint::default(),
        }
    }

    async fn run(mut self) {
        let mut place = None;
        let mut ended_early = false;
        loop {
            let started = Instant::now();
            let broken = match self.follow(&mut place).await {
                Ok(_) if self.heard.elapsed() > SILENCE => Broken::Unproven,
                Ok(Watch::Spoke) => {
                    ended_early = false;
                    continue;
                }
                Ok(Watch::Silent) => {
                    let missing = SHORTEST_WATCH.saturating_sub(started.elapsed());
                    if std::mem::replace(&mut ended_early, !missing.is_zero()) {
                        tokio::time::sleep(missing).await;
                    }
                    continue;
                }
                Err(broken) => broken,
            };
            self.caught_up = false;
            if matches!(broken, Broken::Stopped) || self.tell_lost().await.is_err() {
                return;
            }
            if broken.needs_list() {
                place = None;
            }
            let pause = if W::OPTIONAL && broken.is_refusal() {
                OPTIONAL_PAUSE
            } else {
                self.waits.next().unwrap_or(LONGEST_PAUSE)
            };
            log_broken(&self.feed, &broken, W::OPTIONAL, &mut self.complaint);
            tokio::time::sleep(pause).await;
        }
    }

    /// Reports since when facts are uncertain, as an elapsed time: the clock may have been set meanwhile.
    async fn tell_lost(&self) -> Result<(), Broken> {
        let ago = SignedDuration::try_from(self.heard.elapsed()).unwrap_or_default();
        let now = Timestamp::now();
        let since = now.checked_sub(ago).unwrap_or(now);
        self.tell(Change::Lost(self.feed.clone(), since)).await
    }

    /// Lists if the version to resume from is unknown, or if too much may have been missed, then runs one watch to its end.
    async fn follow(&mut self, place: &mut Option<Place<W>>) -> Result<Watch, Broken> {
        let missed = !self.completed || self.heard.elapsed() > SHORT_BREAK;
        let behind = !self.caught_up && missed;
        if behind || self.begins_term() {
            *place = None;
        }
        let listed = place.is_none();
        let (api, from) = match place.take() {
            Some(place) => place,
            None => self.list().await?,
        };
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.field_selector = self.watched.fields();
        params.label_selector = self.watched.labels();
        // The version survives a broken connection, so that changes during the break are not missed.
        let (api, version) = place.insert((api, from.clone()));
        let started = Instant::now();
        let start = timeout(CALL_LIMIT, api.watch(&params, &from));
        let events = start.await.map_err(|_| Broken::Silent(CALL_LIMIT))??;
        let mut events = pin!(events);
        if listed {
            self.complete().await?;
        }
        let mut watch = Watch::Silent;
        loop {
            let next = tokio::select! {
                next = timeout(SILENCE, events.try_next()) => {
                    next.map_err(|_| Broken::Silent(SILENCE))??
                }
                () = term_begins(&mut self.leadership, self.listed_in) => return Ok(Watch::Spoke),
            };
            let Some(event) = next else {
                if started.elapsed() >= REGULAR_END {
                    self.catch_up().await?;
                }
                return Ok(watch);
            };
            let proves = matches!(event, WatchEvent::Bookmark(_));
            self.pass_on(event, version).await?;
            if proves {
                self.catch_up().await?;
            } else {
                watch = Watch::Spoke;
                // Events before the end of the missed ones are not the newest state.
                if self.caught_up {
                    self.heard = Instant::now();
                }
            }
        }
    }

    /// Reports that everything was listed and the watch continues from there.
    async fn complete(&mut self) -> Result<(), Broken> {
        self.catch_up().await?;
        self.completed = true;
        self.heard = self.listed_at;
        if self.listed_in.is_some() {
            let complete = Input::Complete(self.feed.clone(), self.listed_in);
            self.send(complete).await?;
        }
        Ok(())
    }

    /// Reports that nothing is missing up to now.
    async fn catch_up(&mut self) -> Result<(), Broken> {
        self.heard = Instant::now();
        self.caught_up = true;
        self.tell(Change::Synced(self.feed.clone())).await?;
        self.waits = pauses(FIRST_PAUSE, LONGEST_PAUSE);
        if self.complaint.is_over() {
            info!(feed = %self.feed, "the watch is back");
        }
        Ok(())
    }

    /// The term in which this replica leads, if the feed depends on terms.
    fn term(&self) -> Option<u64> {
        self.leadership.as_ref()?.borrow().term()
    }

    /// Returns true if this replica leads in a term without a list so far.
    fn begins_term(&self) -> bool {
        let term = self.term();
        term.is_some() && term != self.listed_in
    }

    async fn pass_on(
        &mut self,
        event: WatchEvent<W::Resource>,
        version: &mut String,
    ) -> Result<(), Broken> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                remember(version, &object);
                match self.watched.put(&mut self.memory, object) {
                    Some((_, input)) => self.send(input).await,
                    None => Ok(()),
                }
            }
            WatchEvent::Deleted(object) => {
                remember(version, &object);
                match self.watched.gone(&mut self.memory, &object) {
                    Some(change) => self.tell(change).await,
                    None => Ok(()),
                }
            }
            WatchEvent::Bookmark(bookmark) => {
                version.clone_from(&bookmark.metadata.resource_version);
                Ok(())
            }
            WatchEvent::Error(status) => Err(Broken::Watch(status)),
        }
    }

    /// Finds the resource and lists everything, again if a term begins meanwhile. Returns the resource and the version to
    /// watch from.
    async fn list(&mut self) -> Result<Place<W>, Broken> {
        let api = timeout(CALL_LIMIT, self.watched.locate(&self.client));
        let api = api.await.map_err(|_| Broken::Silent(CALL_LIMIT))??;
        let params = ListParams {
            field_selector: self.watched.fields(),
            label_selector: self.watched.labels(),
            ..ListParams::default()
        };
        let mut pages = Pages::new(&self.client, &api, params, (W::FIRST_PAGE, W::PAGE));
        let (mut present, mut from) = (HashSet::new(), None);
        loop {
            if from.is_none() || self.begins_term() {
                from = None;
                present.clear();
                self.listed_in = self.term();
                // The pages of one list show the state at its beginning.
                self.listed_at = Instant::now();
            }
            let page = timeout(CALL_LIMIT, pages.read(from));
            let page = page.await.map_err(|_| Broken::Silent(CALL_LIMIT))??;
            for object in page.items {
                if let Some((key, input)) = self.watched.put(&mut self.memory, object) {
                    present.insert(key);
                    self.send(input).await?;
                }
            }
            from = page.metadata.continue_.filter(|token| !token.is_empty());
            if from.is_none() && !self.begins_term() {
                let all = self.watched.all(&mut self.memory, present);
                self.tell(all).await?;
                let version = page.metadata.resource_version;
                return Ok((api, version.ok_or(Broken::NoVersion)?));
            }
        }
    }

    async fn tell(&self, change: Change) -> Result<(), Broken> {
        self.send(Input::Change(change)).await
    }

    async fn send(&self, input: Input) -> Result<(), Broken> {
        self.sink.send(input).await.map_err(|_| Broken::Stopped)
    }
}

/// Waits until this replica leads in another term than that of the last list.
async fn term_begins(leadership: &mut Option<watch::Receiver<Leadership>>, listed_in: Option<u64>) {
    let begins = |now: &Leadership| now.term().is_some_and(|term| Some(term) != listed_in);
    if let Some(leadership) = leadership
        && leadership.wait_for(begins).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn remember(version: &mut String, object: &impl ResourceExt) {
    if let Some(current) = object.resource_version() {
        *version = current;
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "feed_kinds_tests.rs"]
mod kinds_tests;
