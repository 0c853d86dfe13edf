//! Adopting: records are made and bound to their Nodes, after a rehearsal by the API server.

use anyhow::{anyhow, bail};
use futures::StreamExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::super::apply::{AT_ONCE, FIELD_MANAGER};
use super::plan::{Fate, Plan};
use crate::cli::print::complain;
use crate::errors::describe;
use crate::expected_machine::{ExpectedMachine, NodeReference};
use crate::limit;
use crate::listing::CALL_LIMIT;
use crate::object_name::{get_opt, segment};

/// What a person who adopts Nodes may do, in the words of a role.
const RIGHTS: &str = "adopting takes the rights to list nodes and the Machines of every source, create \
                      expectedmachines.rollcall.dev and patch expectedmachines.rollcall.dev/status";

/// What came of a plan.
pub(super) struct Outcome {
    /// `created`, `bound` or `failed`; none where nothing was to be done.
    pub(super) word: Option<&'static str>,
    pub(super) trouble: Option<String>,
}

/// Carries out plans, in their order. A record that another person makes meanwhile is never taken over.
///
/// # Errors
/// If the API server would refuse one of the records, unless the others are wanted all the same.
pub(super) async fn all(
    api: &Api<ExpectedMachine>,
    plans: &[Plan],
    keep_going: bool,
) -> anyhow::Result<Vec<Outcome>> {
    if !keep_going {
        rehearse(api, plans).await?;
    }
    let outcomes = futures::stream::iter(plans).map(|plan| async move {
        let (word, done) = match &plan.fate {
            Fate::Adopt(record) => ("created", adopt(api, record, plan).await),
            Fate::Bind(name) => ("bound", bind_existing(api, name, plan).await),
            Fate::Known | Fate::Left => {
                return Outcome {
                    word: None,
                    trouble: None,
                };
            }
        };
        match done {
            Ok(()) => Outcome {
                word: Some(word),
                trouble: None,
            },
            Err(error) => Outcome {
                word: Some("failed"),
                trouble: Some(error.to_string()),
            },
        }
    });
    let outcomes: Vec<Outcome> = outcomes.buffered(AT_ONCE).collect().await;
    if outcomes.iter().any(|outcome| outcome.trouble.is_some()) {
        complain("note", RIGHTS);
    }
    Ok(outcomes)
}

/// Has the API server check every record, and writes none.
async fn rehearse(api: &Api<ExpectedMachine>, plans: &[Plan]) -> anyhow::Result<()> {
    let records = plans.iter().filter_map(|plan| match &plan.fate {
        Fate::Adopt(record) => Some(record),
        Fate::Bind(_) | Fate::Known | Fate::Left => None,
    });
    let params = PostParams {
        dry_run: true,
        ..params()
    };
    let refusals = futures::stream::iter(records).map(|record| {
        let params = &params;
        async move {
            let refusal = in_time(api.create(params, record)).await.err();
            refusal.map(|error| format!("{}: {error}", record.name_any()))
        }
    });
    let refusals: Vec<String> = refusals
        .buffered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    for refusal in &refusals {
        complain("error", refusal);
    }
    if !refusals.is_empty() {
        complain("note", RIGHTS);
        bail!(
            "the API server would refuse {} records, so nothing was done; correct them, or add --keep-going",
            refusals.len()
        );
    }
    Ok(())
}

fn params() -> PostParams {
    PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    }
}

/// Makes a record and binds it. One that is made and not bound is bound by the approver, or by the next try.
async fn adopt(
    api: &Api<ExpectedMachine>,
    record: &ExpectedMachine,
    plan: &Plan,
) -> anyhow::Result<()> {
    let created = in_time(api.create(&params(), record)).await?;
    bind(api, &created, plan).await.map_err(|error| {
        anyhow!("created, but not bound to its Node ({error}); run the same again")
    })
}

async fn bind_existing(api: &Api<ExpectedMachine>, name: &str, plan: &Plan) -> anyhow::Result<()> {
    let Some(record) = in_time(get_opt(api, name)).await? else {
        bail!("ExpectedMachine {name} is gone; run the same again");
    };
    let bound = record
        .status
        .as_ref()
        .is_some_and(|status| status.node_ref.is_some());
    if record.spec.node_name != plan.node.name.as_str() || bound {
        bail!("ExpectedMachine {name} has changed meanwhile; run the same again");
    }
    bind(api, &record, plan).await
}

/// Says which Node the machine of this very record is.
async fn bind(
    api: &Api<ExpectedMachine>,
    record: &ExpectedMachine,
    plan: &Plan,
) -> anyhow::Result<()> {
    let node = NodeReference {
        name: plan.node.name.to_string(),
        uid: plan.node.uid.clone(),
    };
    let patch = json!({"metadata": {"uid": record.uid()}, "status": {"nodeRef": node}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = segment(&record.name_any()).map_err(|error| anyhow!(describe(&error)))?;
    let patch = Patch::Merge(patch);
    in_time(api.patch_status(&name, &params, &patch))
        .await
        .map(drop)
}

/// Waits for a call, but not for ever.
async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    let outcome = limit::in_time(CALL_LIMIT, call).await;
    outcome.map_err(|error| anyhow!(describe(&error)))
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
