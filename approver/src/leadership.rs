//! The conditions for a replica to write: it holds the Lease, if there are several replicas, and has read the record of
//! claims.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Fuse};
use jiff::Timestamp;
use rollcall_approver_core::{Change, Claim, Feed};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::Mode;
use crate::claims_record::ClaimsRecord;
use crate::engine::Input;
use crate::errors::describe;
use crate::lease::{Candidate, Leadership};
use crate::metrics::Metrics;
use crate::persistence::Complaint;
use crate::tasks::Tasks;

/// The pause before the record of claims is read again.
const RETRY: Duration = Duration::from_secs(2);
/// The pause before a failed write of the record is retried.
const STORE_RETRY: Duration = Duration::from_secs(10);

/// Permission for tasks other than the engine to write: the replica leads, and the mode is not `audit`, which writes nothing
/// even without an election.
#[derive(Clone)]
pub(crate) struct Turn {
    leadership: watch::Receiver<Leadership>,
    mode: watch::Receiver<Mode>,
}

impl Turn {
    /// Follows the leadership and the mode.
    pub(crate) fn new(
        leadership: watch::Receiver<Leadership>,
        mode: watch::Receiver<Mode>,
    ) -> Self {
        Self { leadership, mode }
    }

    /// Returns true if this replica may write now.
    pub(crate) fn holds(&self) -> bool {
        *self.mode.borrow() != Mode::Audit && self.leadership.borrow().holds()
    }
}

/// Starts the tasks that inform the engine when it may write.
pub(crate) fn start(
    tasks: &mut Tasks,
    record: ClaimsRecord,
    candidate: Option<Candidate>,
    mode: watch::Receiver<Mode>,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
) -> watch::Receiver<Leadership> {
    let (held, lease) = watch::channel(Leadership::default());
    match candidate {
        Some(candidate) => tasks.forever("lease", elect(candidate, held, mode.clone())),
        None => {
            held.send_replace(Leadership::forever());
            tasks.forever(
                "leadership without election",
                async move { held.closed().await },
            );
        }
    }
    let (leads, leadership) = watch::channel(Leadership::default());
    let following = follow((lease, mode), leads, record, news, metrics);
    tasks.forever("leadership", following);
    leadership
}

/// Takes part in the election, except in mode `audit`, which writes nothing, not even a Lease.
async fn elect(
    mut candidate: Candidate,
    held: watch::Sender<Leadership>,
    mut mode: watch::Receiver<Mode>,
) {
    loop {
        if *mode.borrow_and_update() == Mode::Audit {
            held.send_replace(Leadership::Observes);
            if mode.wait_for(|mode| *mode != Mode::Audit).await.is_err() {
                return;
            }
            held.send_replace(Leadership::None);
        }
        tokio::select! {
            () = candidate.run(&held) => return,
            audit = mode.wait_for(|mode| *mode == Mode::Audit) => if audit.is_err() {
                return;
            },
        }
        held.send_replace(Leadership::None);
        candidate.release().await;
    }
}

/// Forwards leadership changes to the engine. Each term begins by reading the record of claims, because another replica may
/// have recorded more while it led. The engine approves nothing before this is done.
async fn follow(
    (mut lease, mode): (watch::Receiver<Leadership>, watch::Receiver<Mode>),
    leads: watch::Sender<Leadership>,
    record: ClaimsRecord,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
) {
    let mut reads_for = None;
    let mut reading: Fuse<BoxFuture<'static, ()>> = Fuse::terminated();
    let mut held = *lease.borrow_and_update();
    loop {
        let (term, observes) = (held.term(), held == Leadership::Observes);
        let wanted = (term.is_some() || observes).then_some(term);
        if reads_for != wanted {
            reads_for = wanted;
            reading = match wanted {
                Some(term) => read_claims(record.clone(), news.clone(), (term, mode.clone()))
                    .boxed()
                    .fuse(),
                None => Fuse::terminated(),
            };
        }
        metrics.leader.set(i64::from(term.is_some()));
        if term.is_some() {
            metrics.lease_renewed.set(Timestamp::now().as_second());
        }
        leads.send_replace(held);
        held = tokio::select! {
            changed = lease.changed() => match changed {
                Ok(()) => *lease.borrow_and_update(),
                Err(_) => return,
            },
            () = held.runs_out() => {
                warn!("the Lease was not renewed in time; nothing is written until it is held again");
                Leadership::None
            }
            () = &mut reading => held,
        };
    }
}

/// Reads the claims that outlived their requests. A replica that writes first checks that the record can be written:
/// approvals made while it could not be written are in no record.
async fn read_claims(
    record: ClaimsRecord,
    news: mpsc::Sender<Input>,
    (term, mode): (Option<u64>, watch::Receiver<Mode>),
) {
    let mut complaint = Complaint::default();
    let claims = loop {
        let mut loaded = record.load().await;
        let writes = term.is_some() && *mode.borrow() != Mode::Audit;
        if writes && loaded.is_ok() {
            let writable = record.prove_writable().await;
            loaded = loaded.and_then(|claims| writable.map(|()| claims));
        }
        let text = match loaded {
            Ok(claims) => break claims,
            Err(error) => describe(&error),
        };
        if complaint.is_news(&text) {
            warn!(
                error = text,
                "the record of claims cannot be read and written; nothing is approved before it can"
            );
        }
        tokio::time::sleep(RETRY).await;
    };
    if complaint.is_over() {
        info!("the record of claims is read");
    }
    let claims = claims.into_iter().map(Change::Claimed).map(Input::Change);
    for input in claims.chain([Input::Complete(Feed::Claims, term)]) {
        // The engine has ended and needs no claims.
        if news.send(input).await.is_err() {
            return;
        }
    }
}

/// Writes all claims each time, while this replica leads. Reports to the engine when a write fails, and when writes work
/// again.
pub(crate) async fn record_claims(
    record: ClaimsRecord,
    mut claims: watch::Receiver<Vec<Claim>>,
    leadership: watch::Receiver<Leadership>,
    news: mpsc::Sender<Input>,
    metrics: Metrics,
) {
    let mut failed = false;
    loop {
        let changed = claims.changed();
        let changed = if failed {
            timeout(STORE_RETRY, changed).await.unwrap_or(Ok(()))
        } else {
            changed.await
        };
        if changed.is_err() {
            return;
        }
        // The next leader reads the record, and then it counts as written.
        failed &= leadership.borrow().holds();
        if !leadership.borrow().holds() {
            continue;
        }
        let current = claims.borrow_and_update().clone();
        let stored = record.store(current).await;
        if !stored {
            metrics.claims_failures.inc();
        }
        if stored == failed {
            let change = if stored {
                Change::Synced(Feed::Claims)
            } else {
                Change::Lost(Feed::Claims, Timestamp::now())
            };
            if news.send(Input::Change(change)).await.is_err() {
                return;
            }
        }
        failed = !stored;
    }
}

#[cfg(test)]
#[path = "leadership_tests.rs"]
mod tests;
