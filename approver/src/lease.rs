//! The leader election: of several replicas only the holder of a Lease writes, and only while its hold is certain.
//!
//! The hold ends by this process's own clock before another replica may take the Lease. Writes that a former holder has
//! already sent may still arrive later; `engine/fence.rs` explains why they do no harm.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::errors::{Failure, classify, describe};
use crate::limit::in_time;
use crate::persistence::Complaint;

/// The name of the Lease.
const NAME: &str = "rollcall-approver";
/// The time that a Lease lasts without renewal, by the clock of the waiting replica. client-go's default is 15 s
/// (`tools/leaderelection`); with 13 s, another replica approves within 15 s of the end of this one.
const DURATION: Duration = Duration::from_secs(13);
/// The time that its holder trusts it, from the start of the call that renewed it: client-go's renewal deadline, so that 3 s
/// lie between two holders.
const TRUST: Duration = Duration::from_secs(10);
/// The limit of one call: half of the trust, so that after an unanswered call there is time for another.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// The time from one renewal to the next: client-go's retry period.
const PERIOD: Duration = Duration::from_secs(2);
/// The longest pause between two reads of another replica's Lease, and after a failure. A released Lease is taken within
/// this time.
const LOOK: Duration = Duration::from_secs(1);

/// The permission of this replica to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leadership {
    /// It may not: another replica leads, or no replica does.
    #[default]
    None,
    /// It may not and need not: it writes nothing, so it requests no Lease (mode `audit`).
    Observes,
    /// It may, until this time, in this term. A hold that was interrupted, however briefly, continues in a new term.
    Until(Instant, u64),
}

impl Leadership {
    /// Without election, a replica leads as long as it runs.
    pub(crate) fn forever() -> Self {
        // A year from now is practically unlimited and cannot overflow.
        Self::until(Instant::now(), Duration::from_secs(365 * 24 * 3600), 1)
    }

    /// It may write from a time on, for this duration.
    fn until(from: Instant, trust: Duration, term: u64) -> Self {
        from.checked_add(trust)
            .map_or(Self::None, |end| Self::Until(end, term))
    }

    /// Returns true if this replica may write now.
    pub(crate) fn holds(self) -> bool {
        self.term().is_some()
    }

    /// The term in which this replica may write now.
    pub(crate) fn term(self) -> Option<u64> {
        match self {
            Self::None | Self::Observes => None,
            Self::Until(end, term) => (Instant::now() < end).then_some(term),
        }
    }

    /// Waits until the hold runs out by itself.
    pub(crate) async fn runs_out(self) {
        match self {
            Self::None | Self::Observes => std::future::pending().await,
            Self::Until(end, _) => tokio::time::sleep_until(end).await,
        }
    }
}

/// Waits until this replica may no longer write in a term. Renewals prolong it.
pub(crate) async fn ended(mut leadership: watch::Receiver<Leadership>, term: u64) {
    loop {
        let now = *leadership.borrow_and_update();
        if now.term() != Some(term) {
            return;
        }
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            () = now.runs_out() => {}
        }
    }
}

/// The state of the Lease.
enum Look {
    /// This replica has held it at least since this time.
    Ours(Instant),
    /// Another replica holds it, at least for this duration.
    Theirs(Duration),
}

/// A candidate for the Lease.
#[derive(Clone)]
pub(crate) struct Candidate {
    api: Api<Lease>,
    identity: String,
    /// The Lease as this replica last wrote it, while it is the holder: one call renews it.
    ours: Option<Lease>,
    /// The version of another replica's Lease that was seen last, and the time of its first observation.
    seen: Option<(String, Instant)>,
    /// The number of terms so far.
    terms: u64,
}

impl Candidate {
    /// A candidate in a namespace; `identity` must be unique to this process.
    pub(crate) fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            ours: None,
            seen: None,
            terms: 0,
        }
    }

    /// Tries to take and keep the Lease without end, and publishes its state.
    pub(crate) async fn run(&mut self, leadership: &watch::Sender<Leadership>) {
        let mut complaint = Complaint::default();
        loop {
            let looked = Instant::now();
            let pause = match self.look().await {
                Ok(Look::Ours(since)) => {
                    complaint.is_over();
                    self.hold(leadership, since);
                    PERIOD
                }
                Ok(Look::Theirs(left)) => {
                    complaint.is_over();
                    self.give_up(leadership);
                    left.min(LOOK)
                }
                Err(error) => {
                    let error = describe(&error);
                    if complaint.is_news(&error) {
                        warn!(lease = NAME, error, "the Lease cannot be read or written");
                    }
                    LOOK
                }
            };
            tokio::time::sleep(pause.saturating_sub(looked.elapsed())).await;
        }
    }

    /// The Lease was taken or renewed.
    fn hold(&mut self, leadership: &watch::Sender<Leadership>, since: Instant) {
        if !leadership.borrow().holds() {
            self.terms = self.terms.saturating_add(1);
            self.tell(true);
        }
        leadership.send_replace(Leadership::until(since, TRUST, self.terms));
    }

    /// Another replica holds the Lease: any trust that is left is void.
    fn give_up(&self, leadership: &watch::Sender<Leadership>) {
        if *leadership.borrow() != Leadership::None {
            self.tell(false);
            leadership.send_replace(Leadership::None);
        }
    }

    fn tell(&self, leading: bool) {
        let identity = &self.identity;
        info!(lease = NAME, identity, leading, "leadership changed");
    }

    /// Releases the Lease, so that another replica need not wait until it expires.
    pub(crate) async fn release(&self) {
        let Ok(Ok(Some(mut lease))) = tokio::time::timeout(PERIOD, self.api.get_opt(NAME)).await
        else {
            return;
        };
        let Some(spec) = &mut lease.spec else { return };
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = Some(String::new());
            let params = PostParams::default();
            let written = self.api.replace(NAME, &params, &lease);
            if in_time(PERIOD, written).await.is_err() {
                info!(
                    lease = NAME,
                    "the Lease could not be given back; it runs out by itself"
                );
            }
        }
    }

    /// Renews the Lease if this replica holds it; otherwise reads it, and takes it if it is free.
    async fn look(&mut self) -> kube::Result<Look> {
        if let Some(ours) = self.ours.clone()
            && let Some(since) = self.write(Some(ours)).await?
        {
            return Ok(Look::Ours(since));
        }
        self.ours = None;
        let found = in_time(CALL_LIMIT, self.api.get_opt(NAME)).await?;
        let left = match &found {
            Some(lease) => self.left(lease),
            // The holder at the time of its deletion may still trust it.
            None => self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| {
                DURATION.saturating_sub(since.elapsed())
            }),
        };
        if !left.is_zero() {
            return Ok(Look::Theirs(left));
        }
        let taken = self.write(found).await?;
        Ok(taken.map_or(Look::Theirs(LOOK), Look::Ours))
    }

    /// Writes the Lease as held by this replica, over this version. Returns the time since when it is held; `None` if it has
    /// changed.
    async fn write(&mut self, lease: Option<Lease>) -> kube::Result<Option<Instant>> {
        let (exists, renewed) = (lease.is_some(), self.renewed(lease));
        let params = PostParams::default();
        // No other replica can have taken it before this call began.
        let started = Instant::now();
        let written = if exists {
            in_time(CALL_LIMIT, self.api.replace(NAME, &params, &renewed)).await
        } else {
            in_time(CALL_LIMIT, self.api.create(&params, &renewed)).await
        };
        match written {
            Ok(lease) => {
                self.ours = Some(lease);
                self.seen = None;
                Ok(Some(started))
            }
            Err(error) => match classify(&error) {
                Failure::Conflict | Failure::NotFound => Ok(None),
                Failure::Forbidden
                | Failure::Later
                | Failure::Refused
                | Failure::Unknown
                | Failure::Unsendable => Err(error),
            },
        }
    }

    /// The time that a Lease must remain unchanged before it may be taken, by this process's clock: clocks of two machines
    /// are never compared.
    fn left(&mut self, lease: &Lease) -> Duration {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.as_deref());
        if holder.is_none_or(|holder| holder.is_empty() || holder == self.identity) {
            return Duration::ZERO;
        }
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => DURATION.saturating_sub(since.elapsed()),
            _ => {
                self.seen = Some((version, Instant::now()));
                DURATION
            }
        }
    }

    fn renewed(&self, lease: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let (metadata, spec) = lease.map_or_else(
            || {
                (
                    ObjectMeta {
                        name: Some(NAME.to_owned()),
                        ..ObjectMeta::default()
                    },
                    LeaseSpec::default(),
                )
            },
            |lease| (lease.metadata, lease.spec.unwrap_or_default()),
        );
        let ours = spec.holder_identity.as_deref() == Some(&self.identity);
        let transitions = spec.lease_transitions.unwrap_or_default();
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                acquire_time: if ours {
                    spec.acquire_time
                } else {
                    Some(now.clone())
                },
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: Some(if ours {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                renew_time: Some(now),
                ..spec
            }),
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
