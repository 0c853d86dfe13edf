//! The content of the status of an ExpectedMachine.

use jiff::Timestamp;
use rollcall_approver_core::{Join, JoinStage, Reason};

use crate::convert::shorten;
use crate::expected_machine::{Condition, ExpectedMachineStatus, NodeReference, Status};

/// The condition type for an approved certificate, or one that may be approved.
const APPROVED: &str = "Approved";
/// The reason of a condition that holds because the machine already was a node.
const ADOPTED: &str = "Adopted";
/// The condition type for a machine that has not joined in time.
const EXPIRED: &str = "Expired";

/// Computes the new status from the present one.
pub(super) fn content(
    join: &Join,
    before: &ExpectedMachineStatus,
    now: Timestamp,
) -> ExpectedMachineStatus {
    let node_ref = join.node.as_ref().map(|(name, node)| NodeReference {
        name: name.to_string(),
        uid: node.uid.clone(),
    });
    // A Machine keeps its Node while the Node is gone for a while.
    let node_ref = node_ref.or_else(|| before.node_ref.clone());
    let request = match (&join.waiting, &join.approved) {
        (Some((name, _)), _) | (None, Some((_, Some(name)))) => Some(name.clone()),
        // The approved request is deleted after an hour.
        _ => before.request.clone(),
    };
    let conditions = [approved(join, before), expired(join, now)];
    ExpectedMachineStatus {
        stage: Some(stage(join, before, node_ref.as_ref()).as_str().to_owned()),
        request,
        node_ref,
        conditions: conditions
            .into_iter()
            .map(|statement| statement.since(before, now))
            .collect(),
    }
}

/// The stage of the join. The requests behind a stage are deleted after an hour, and a Node may be not ready for a while: as
/// long as the Node is the same, or does not exist yet, the stage does not go back.
fn stage(join: &Join, before: &ExpectedMachineStatus, node: Option<&NodeReference>) -> JoinStage {
    let mut all = JoinStage::ALL.into_iter();
    let earlier = all.find(|stage| before.stage.as_deref() == Some(stage.as_str()));
    let same = before.node_ref.as_ref() == node;
    let forgotten = matches!(join.approved, Some((_, None)));
    let stays = match join.stage {
        JoinStage::Approved if forgotten => earlier.filter(|stage| *stage == JoinStage::Issued),
        JoinStage::Registered | JoinStage::Serving if same => earlier,
        JoinStage::Provisioned
        | JoinStage::Requested
        | JoinStage::Approved
        | JoinStage::Issued
        | JoinStage::Registered
        | JoinStage::Serving
        | JoinStage::Ready => None,
    };
    stays.map_or(join.stage, |earlier| earlier.max(join.stage))
}

/// A condition without its time.
struct Statement {
    type_: &'static str,
    status: Status,
    reason: &'static str,
    message: String,
}

impl Statement {
    fn since(self, before: &ExpectedMachineStatus, now: Timestamp) -> Condition {
        let Self {
            type_,
            status,
            reason,
            message,
        } = self;
        let last = before
            .conditions
            .iter()
            .find(|known| known.type_ == type_ && known.status == status);
        // Kubernetes keeps times in seconds; fractions would be lost and make the value differ.
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: shorten(&message),
            last_transition_time: last.map_or(seconds, |known| known.last_transition_time),
        }
    }
}

fn approved(join: &Join, before: &ExpectedMachineStatus) -> Statement {
    let statement = |status: Status, reason, message| Statement {
        type_: APPROVED,
        status,
        reason,
        message,
    };
    let first = Reason::FirstCertificate.as_str();
    match (&join.approved, &join.waiting) {
        (Some((at, _)), None) => {
            let message = format!("a first certificate was approved at {at:.0}");
            statement(Status::True, first, message)
        }
        (_, Some((request, finding))) => {
            let message = format!("{request}: {}", finding.message);
            statement(Status::False, finding.reason.as_str(), message)
        }
        (None, None) if join.adopted => {
            let message = "it was a node before this record, which was made for it".to_owned();
            statement(Status::True, ADOPTED, message)
        }
        (None, None) if join.node.is_some() || before.node_ref.is_some() => {
            let mut known = before.conditions.iter();
            let known = known.find(|known| known.type_ == APPROVED && known.status == Status::True);
            match known {
                // The approval is forgotten once the Machine is bound.
                Some(known) => {
                    let adopted = known.reason == ADOPTED;
                    let reason = if adopted { ADOPTED } else { first };
                    statement(Status::True, reason, known.message.clone())
                }
                None => {
                    let message = "it was a node before its approval could be seen".to_owned();
                    statement(Status::Unknown, JoinStage::Registered.as_str(), message)
                }
            }
        }
        (None, None) => {
            let message = match &join.other_node {
                Some(name) => format!(
                    "Node {name} was there before this record and is not bound to it; if it is this machine, bind it with: \
                     rollcall-approver expect --from-nodes --node {name}"
                ),
                None => "nobody has asked for its certificate yet".to_owned(),
            };
            statement(Status::False, JoinStage::Provisioned.as_str(), message)
        }
    }
}

fn expired(join: &Join, now: Timestamp) -> Statement {
    let open = matches!(join.stage, JoinStage::Provisioned | JoinStage::Requested);
    let statement = |status: bool, reason, message| Statement {
        type_: EXPIRED,
        status: status.into(),
        reason,
        message,
    };
    match join.deadline {
        _ if !open => statement(
            false,
            JoinStage::Approved.as_str(),
            "it was approved in time, or is a node already".to_owned(),
        ),
        Some(deadline) if deadline <= now => statement(
            true,
            Reason::OutsideJoinWindow.as_str(),
            format!(
                "it was to join before {deadline:.0}; requests made since then wait. Set a later spec.joinBy, or delete the \
                 record"
            ),
        ),
        deadline => statement(
            false,
            join.stage.as_str(),
            match deadline {
                Some(deadline) => format!("it may join before {deadline:.0}"),
                None => "it may join at any time".to_owned(),
            },
        ),
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
