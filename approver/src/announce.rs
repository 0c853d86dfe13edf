//! Tells the cluster's users why a request waits: Events on the request, off the approval path.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tracing::warn;

use crate::convert::shorten;
use crate::errors::describe;
use crate::metrics::Metrics;

/// The name under which Events are reported.
const REPORTER: &str = "rollcall-approver";
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

async fn publish(client: Client, mut source: mpsc::Receiver<Announcement>) {
    let recorder = Recorder::new(
        client,
        Reporter {
            controller: REPORTER.to_owned(),
            instance: None,
        },
    );
    let mut told = None;
    while let Some(Announcement {
        about,
        warning,
        reason,
        action,
        note,
    }) = source.recv().await
    {
        let event = Event {
            type_: if warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: reason.to_owned(),
            note: Some(shorten(&note)),
            action: action.to_owned(),
            secondary: None,
        };
        match recorder.publish(&event, &about).await {
            Ok(()) => told = None,
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
