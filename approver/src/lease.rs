//! Who writes: of several replicas the holder of a Lease, and only while its hold is certain.
//!
//! The hold ends by this process's own clock before another replica may take the Lease, so two replicas never write at
//! one time even when one of them is cut off.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::errors::{Failure, classify, describe};

/// The name of the Lease.
const NAME: &str = "rollcall-approver";
/// How long a Lease lasts without renewal: the default of client-go (`tools/leaderelection`).
const DURATION: Duration = Duration::from_secs(15);
/// How long its holder trusts it: client-go's renewal deadline, so that 5 s lie between two holders.
const TRUST: Duration = Duration::from_secs(10);
/// The pause between two looks at it: client-go's retry period.
const PERIOD: Duration = Duration::from_secs(2);

/// Whether this replica may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leadership {
    /// It may not: another replica leads, or nobody does.
    #[default]
    None,
    /// It may not, and need not: it writes nothing, and so asks for no Lease (mode `audit`).
    Observes,
    /// It may, until this time.
    Until(Instant),
}

impl Leadership {
    /// Without election, a replica leads as long as it runs.
    pub(crate) fn forever() -> Self {
        // A year from now is as good as for ever, and cannot overflow.
        Self::until(Instant::now(), Duration::from_secs(365 * 24 * 3600))
    }

    /// It may write from a time on, for so long.
    fn until(from: Instant, trust: Duration) -> Self {
        from.checked_add(trust).map_or(Self::None, Self::Until)
    }

    /// Whether this replica may write now.
    pub(crate) fn holds(self) -> bool {
        match self {
            Self::None | Self::Observes => false,
            Self::Until(end) => Instant::now() < end,
        }
    }
}

/// A candidate for the Lease.
#[derive(Clone)]
pub(crate) struct Candidate {
    api: Api<Lease>,
    identity: String,
    seen: Option<(String, Instant)>,
}

impl Candidate {
    /// A candidate in a namespace; `identity` must be this process's alone.
    pub(crate) fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity,
            seen: None,
        }
    }

    /// Tries to take and keep the Lease for ever, and tells how it stands.
    pub(crate) async fn run(&mut self, leadership: &watch::Sender<Leadership>) {
        let mut told = None;
        let mut leading = false;
        loop {
            let started = Instant::now();
            let attempt = timeout(TRUST, self.attempt()).await;
            let held = match attempt {
                Ok(Ok(held)) => {
                    told = None;
                    held
                }
                Ok(Err(error)) => {
                    let text = describe(&error);
                    if told.as_ref() != Some(&text) {
                        warn!(
                            lease = NAME,
                            error = text,
                            "the Lease cannot be read or written"
                        );
                        told = Some(text);
                    }
                    false
                }
                Err(_) => false,
            };
            if held {
                leadership.send_replace(Leadership::until(started, TRUST));
            }
            let holds = leadership.borrow().holds();
            if leading != holds {
                leading = holds;
                info!(
                    lease = NAME,
                    identity = self.identity,
                    leading,
                    "leadership changed"
                );
                if !holds {
                    leadership.send_replace(Leadership::default());
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Gives the Lease back, so that another replica need not wait for it to run out.
    pub(crate) async fn release(&self) {
        let Ok(Ok(Some(mut lease))) = timeout(PERIOD, self.api.get_opt(NAME)).await else {
            return;
        };
        let Some(spec) = &mut lease.spec else { return };
        if spec.holder_identity.as_ref() == Some(&self.identity) {
            spec.holder_identity = Some(String::new());
            let params = PostParams::default();
            let written = self.api.replace(NAME, &params, &lease);
            if !matches!(timeout(PERIOD, written).await, Ok(Ok(_))) {
                info!(
                    lease = NAME,
                    "the Lease could not be given back; it runs out by itself"
                );
            }
        }
    }

    /// One look at the Lease, and one write where it is ours to write.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(NAME).await? else {
            return taken(
                self.api
                    .create(&PostParams::default(), &self.renewed(None))
                    .await,
            );
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let ours = holder == self.identity;
        if !ours && !holder.is_empty() && !self.has_run_out(&lease) {
            return Ok(false);
        }
        taken(
            self.api
                .replace(NAME, &PostParams::default(), &self.renewed(Some(lease)))
                .await,
        )
    }

    /// Whether the Lease of another has stood still for its whole duration, by our own clock: clocks of two machines
    /// are never compared.
    fn has_run_out(&mut self, lease: &Lease) -> bool {
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() > DURATION,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
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

/// A write that lost the race took nothing, and that is no error.
fn taken(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if classify(&error) == Failure::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
