//! Applying records: first a rehearsal of all of them by the API server, so that one bad record leaves nothing half done.

use anyhow::{anyhow, bail};
use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use tokio::time::timeout;

use super::Row;
use crate::cli::print::complain;
use crate::errors::describe;
use crate::expected_machine::ExpectedMachine;
use crate::listing::CALL_LIMIT;
use crate::object_name::{get_opt, segment};

/// Who the fields belong to (`metadata.managedFields`).
pub(super) const FIELD_MANAGER: &str = "rollcall-expect";
/// How many records are written at one time.
pub(super) const AT_ONCE: usize = 8;

/// Applies records. What somebody else has set otherwise is never taken over.
///
/// # Errors
/// If the API server would refuse one of them, unless the others are wanted all the same.
pub(super) async fn all(
    api: &Api<ExpectedMachine>,
    machines: Vec<ExpectedMachine>,
    keep_going: bool,
) -> anyhow::Result<Vec<Row>> {
    if !keep_going && machines.len() > 1 {
        let rehearsed = apply_all(api, machines.clone(), &apply_params().dry_run()).await;
        let refused = rehearsed.iter().filter(|row| row.outcome == "failed");
        let refused: Vec<&Row> = refused.collect();
        for row in &refused {
            complain("error", &format!("{}: {}", row.name, row.message));
        }
        if !refused.is_empty() {
            bail!(
                "the API server would refuse {} of {} machines, so nothing was done; correct them, or add --keep-going",
                refused.len(),
                rehearsed.len()
            );
        }
    }
    Ok(apply_all(api, machines, &apply_params()).await)
}

fn apply_params() -> PatchParams {
    PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply(FIELD_MANAGER)
    }
}

async fn apply_all(
    api: &Api<ExpectedMachine>,
    machines: Vec<ExpectedMachine>,
    params: &PatchParams,
) -> Vec<Row> {
    futures::stream::iter(machines)
        .map(|machine| apply_one(api, machine, params))
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn apply_one(
    api: &Api<ExpectedMachine>,
    machine: ExpectedMachine,
    params: &PatchParams,
) -> Row {
    let name = machine.name_any();
    let outcome = timeout(CALL_LIMIT, async {
        let before = get_opt(api, &name).await?;
        let after = api
            .patch(&segment(&name)?, params, &Patch::Apply(&machine))
            .await?;
        Ok(match before {
            None => "created",
            Some(before) if before.resource_version() == after.resource_version() => "unchanged",
            Some(_) => "changed",
        })
    })
    .await;
    let outcome = match outcome {
        Ok(outcome) => outcome.map_err(|error: kube::Error| anyhow!(describe(&error))),
        Err(_) => Err(anyhow!("no answer for {} s", CALL_LIMIT.as_secs())),
    };
    let (outcome, message) = match outcome {
        Ok(outcome) => (outcome, String::new()),
        Err(error) => ("failed", error.to_string()),
    };
    Row {
        name,
        node_name: machine.spec.node_name,
        join_by: machine.spec.join_by.map(|at| at.to_string()),
        outcome,
        message,
    }
}
