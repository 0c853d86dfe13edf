//! Writes the status of ExpectedMachines: the stage of each join, and the Node of the machine. Off the approval path: the
//! engine sends the current state, and everything else happens here.

mod content;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rollcall_approver_core::{Join, MachineUid};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::content::content;
use crate::errors::{Failure, classify, describe};
use crate::expected_machine::{ExpectedMachine, ExpectedMachineStatus};
use crate::leadership::Turn;
use crate::metrics::Metrics;
use crate::object_name::segment;
use crate::persistence::Complaint;

/// The owner of the fields (`metadata.managedFields`).
const FIELD_MANAGER: &str = "rollcall-approver";
/// The shortest time between two writes: 50 a second leave the API server free for approvals.
const PACE: Duration = Duration::from_millis(20);
/// The limit of one call.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The pause before a failed write is retried, and the longest one between checks of deadlines.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The interval at which a replica that may not write checks if it may.
const STAND_BY: Duration = Duration::from_secs(1);

/// The state of all ExpectedMachines.
pub(crate) type Joins = Vec<Join>;

/// Writes changes while this replica may write.
pub(crate) async fn keep(
    client: Client,
    mut joins: watch::Receiver<Joins>,
    turn: Turn,
    metrics: Metrics,
) {
    let mut keeper = Keeper {
        api: Api::all(client),
        turn,
        metrics,
        written: HashMap::new(),
        complaint: Complaint::default(),
    };
    loop {
        let current = joins.borrow_and_update().clone();
        let wait = keeper.bring_up_to_date(&current, &joins).await;
        tokio::select! {
            changed = joins.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Keeper {
    api: Api<ExpectedMachine>,
    turn: Turn,
    metrics: Metrics,
    /// The content of each record's status, as far as it is known.
    written: HashMap<MachineUid, ExpectedMachineStatus>,
    complaint: Complaint,
}

impl Keeper {
    /// Writes every status that differs from its target; those that bind a Machine to its Node first, because renewals wait
    /// for them. Stops when newer state arrives. Returns the time of the next check.
    async fn bring_up_to_date(
        &mut self,
        current: &Joins,
        news: &watch::Receiver<Joins>,
    ) -> Duration {
        if !self.turn.holds() {
            // Another replica may write meanwhile.
            self.written.clear();
            return STAND_BY;
        }
        if self.written.len() > current.len() {
            let known: HashSet<&MachineUid> = current.iter().map(|join| &join.uid).collect();
            self.written.retain(|uid, _| known.contains(uid));
        }
        let mut order: Vec<&Join> = current.iter().collect();
        order.sort_by_key(|join| join.node.is_none());
        for join in order {
            if news.has_changed().unwrap_or(true) {
                return Duration::ZERO;
            }
            if !self.turn.holds() {
                return LOOK_AGAIN;
            }
            self.look_at(join).await;
        }
        until_next_deadline(current, Timestamp::now())
    }

    async fn look_at(&mut self, join: &Join) {
        let outcome = timeout(CALL_LIMIT, self.write(join)).await;
        let text = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => match classify(&error) {
                // The record is gone or was replaced; the watch will report it.
                Failure::NotFound | Failure::Conflict => {
                    self.written.remove(&join.uid);
                    debug!(machine = %join.machine, "the ExpectedMachine is gone");
                    return;
                }
                Failure::Forbidden
                | Failure::Later
                | Failure::Refused
                | Failure::Unknown
                | Failure::Unsendable => describe(&error),
            },
            Err(_) => format!("no answer for {} s", CALL_LIMIT.as_secs()),
        };
        self.written.remove(&join.uid);
        self.metrics.status_failures.inc();
        tokio::time::sleep(PACE).await;
        if self.complaint.is_news(&text) {
            warn!(
                machine = %join.machine,
                error = text,
                "the status of an ExpectedMachine cannot be written; its renewals wait until it names its Node"
            );
        }
    }

    async fn write(&mut self, join: &Join) -> kube::Result<()> {
        let before = match self.written.get(&join.uid) {
            Some(before) => before.clone(),
            None => self.read(join).await?,
        };
        let after = content(join, &before, Timestamp::now());
        if after != before {
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(patch(join, &after));
            self.api
                .patch_status(&segment(&join.machine.name)?, &params, &patch)
                .await?;
            self.complaint.is_over();
            tokio::time::sleep(PACE).await;
        }
        self.written.insert(join.uid.clone(), after);
        Ok(())
    }

    /// Reads the status of a record that is new here: an earlier replica may have written it.
    async fn read(&self, join: &Join) -> kube::Result<ExpectedMachineStatus> {
        let record = self.api.get(&segment(&join.machine.name)?).await?;
        tokio::time::sleep(PACE).await;
        Ok(record.status.unwrap_or_default())
    }
}

/// The body of a write. The uid ensures that it does not change a later record of the same name.
fn patch(join: &Join, status: &ExpectedMachineStatus) -> Value {
    json!({
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "ExpectedMachine",
        "metadata": {"name": join.machine.name, "uid": join.uid.0},
        "status": status,
    })
}

/// The time until the next deadline, because no watch reports that a deadline has passed.
fn until_next_deadline(joins: &Joins, now: Timestamp) -> Duration {
    joins
        .iter()
        .filter_map(|join| join.deadline)
        .filter_map(|deadline| Duration::try_from(deadline.duration_since(now)).ok())
        .filter(|wait| !wait.is_zero())
        .min()
        .map_or(LOOK_AGAIN, |wait| wait.min(LOOK_AGAIN))
}

#[cfg(test)]
#[path = "joins_tests.rs"]
mod tests;
