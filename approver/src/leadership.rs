//! What makes a replica the one that writes: the Lease, where there are others, and then the record of claims.

use std::time::Duration;

use kube::Client;
use rollcall_approver_core::{Change, Claim, Feed};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::claims_record::ClaimsRecord;
use crate::engine::Input;
use crate::errors::describe;
use crate::lease::{Candidate, Leadership};
use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// The pause before the record of claims is read again.
const RETRY: Duration = Duration::from_secs(2);

/// Starts the tasks that tell the engine when it may write.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    namespace: &str,
    candidate: Option<Candidate>,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
) -> watch::Receiver<Leadership> {
    let (held, lease) = watch::channel(Leadership::default());
    match candidate {
        Some(candidate) => tasks.forever("lease", candidate.run(held)),
        None => {
            held.send_replace(Leadership::forever());
            tasks.forever(
                "leadership without election",
                async move { held.closed().await },
            );
        }
    }
    let (leads, leadership) = watch::channel(Leadership::default());
    let record = ClaimsRecord::new(client.clone(), namespace);
    tasks.forever("leadership", follow(lease, leads, record, news, metrics));
    leadership
}

/// Passes leadership on, each time after the record of claims was read.
async fn follow(
    mut lease: watch::Receiver<Leadership>,
    leads: watch::Sender<Leadership>,
    record: ClaimsRecord,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
) {
    let mut led = false;
    loop {
        let held = *lease.borrow_and_update();
        if held.holds() && !led {
            load_claims(&record, &news).await;
        }
        led = held.holds();
        metrics.leader.set(i64::from(led));
        leads.send_replace(held);
        if lease.changed().await.is_err() {
            return;
        }
    }
}

/// Reads the claims that outlived their requests; nothing is approved before.
async fn load_claims(record: &ClaimsRecord, news: &mpsc::Sender<Input>) {
    let mut told = None;
    loop {
        match record.load().await {
            Ok(claims) => {
                for change in claims
                    .into_iter()
                    .map(Change::Claimed)
                    .chain([Change::Synced(Feed::Claims)])
                {
                    if news.send(Input::Change(change)).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Err(error) => {
                let text = describe(&error);
                if told.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "the record of claims cannot be read; nothing is approved before it is"
                    );
                    told = Some(text);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Writes claims down, each time all of them.
pub(crate) async fn record_claims(record: ClaimsRecord, mut claims: watch::Receiver<Vec<Claim>>) {
    while claims.changed().await.is_ok() {
        let current = claims.borrow_and_update().clone();
        record.store(current).await;
    }
}

#[cfg(test)]
#[path = "leadership_tests.rs"]
mod tests;
