//! Tells the cluster's users why a request waits: Events on the request, off the approval path.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tracing::warn;

use crate::convert::shorten;
use crate::errors::describe;
use crate::metrics::Metrics;

/// The name under which Events are reported.
const REPORTER: &str = "rollcall-approver";
/// Where Events about cluster-scoped objects go (Kubernetes: `client-go/tools/events`).
const CLUSTER_SCOPED: &str = "default";
/// How many Events may wait to be written; what is more is left out, and counted.
const QUEUE: usize = 4096;
/// The shortest time between two Events: 50 a second leave the API server free for approvals.
const PACE: Duration = Duration::from_millis(20);

/// One thing to tell about one object.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) about: ObjectReference,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

/// Where announcements are handed in. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    sink: mpsc::Sender<Announcement>,
    metrics: Metrics,
}

impl Announcer {
    /// The announcer, and the task that does its writing.
    pub(crate) fn new(client: Client, metrics: Metrics) -> (Self, impl Future<Output = ()> + Send) {
        let (sink, source) = mpsc::channel(QUEUE);
        (Self { sink, metrics }, publish(client, source))
    }

    /// Hands one in; when too many wait already, it is left out.
    pub(crate) fn tell(&self, announcement: Announcement) {
        if self.sink.try_send(announcement).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

/// Writes one at once, and says how that ended.
pub(crate) async fn publish_now(client: &Client, announcement: Announcement) -> kube::Result<()> {
    let event = to_event(announcement, &crate::connect::host_name(), Timestamp::now());
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    api.create(&PostParams::default(), &event).await.map(drop)
}

async fn publish(client: Client, mut source: mpsc::Receiver<Announcement>) {
    let instance = crate::connect::host_name();
    let mut told = None;
    while let Some(announcement) = source.recv().await {
        let event = to_event(announcement, &instance, Timestamp::now());
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => told = None,
            Err(error) => {
                let text = describe(&error);
                if told.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "an Event could not be written; the reason stands in this log only"
                    );
                    told = Some(text);
                }
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The Event object. It is named by the uid of what it is about, because a request's name may hold capitals and an
/// Event's may not.
fn to_event(announcement: Announcement, instance: &str, now: Timestamp) -> Event {
    let Announcement {
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
