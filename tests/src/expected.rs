//! ExpectedMachines as the tests see them, through the API like any user of kubectl.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::wait;

/// All ExpectedMachines.
pub fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("rollcall.dev", "v1alpha1", "ExpectedMachine");
    Api::all_with(
        client.clone(),
        &ApiResource::from_gvk_with_plural(&kind, "expectedmachines"),
    )
}

/// Returns an ExpectedMachine with this spec, ready to be created.
///
/// # Errors
/// Never for a spec that is an object.
pub fn object(name: &str, spec: &Value) -> Result<DynamicObject> {
    let object = json!({
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
        "metadata": {"name": name}, "spec": spec,
    });
    serde_json::from_value(object).context("this is no object")
}

/// Creates one.
///
/// # Errors
/// If the API server refuses: a [`kube::Error`] that can be found with `downcast_ref`.
pub async fn create(client: &Client, name: &str, spec: &Value) -> Result<DynamicObject> {
    let object = object(name, spec)?;
    api(client)
        .create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("cannot create the ExpectedMachine {name}"))
}

/// Deletes one.
///
/// # Errors
/// If the API server refuses.
pub async fn delete(client: &Client, name: &str) -> Result<()> {
    let deleted = api(client).delete(name, &DeleteParams::default()).await;
    deleted.with_context(|| format!("cannot delete the ExpectedMachine {name}"))?;
    Ok(())
}

/// Waits until its status has this content, and returns the status.
///
/// # Errors
/// If that takes longer than `timeout`, with the record as it was last seen.
pub async fn wait_status(
    client: &Client,
    name: &str,
    what: &str,
    timeout: Duration,
    condition: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let status = |object: &DynamicObject| object.data.get("status").cloned().unwrap_or_default();
    let records = api(client);
    let found = wait::object(&records, name, what, timeout, |object| {
        condition(&status(object))
    });
    Ok(status(&found.await?))
}

/// Waits until it has reached this stage, and returns the status.
///
/// # Errors
/// As [`wait_status`].
pub async fn wait_stage(
    client: &Client,
    name: &str,
    stage: &str,
    timeout: Duration,
) -> Result<Value> {
    let what = format!("stage {stage}");
    wait_status(client, name, &what, timeout, |status| {
        status.get("stage").and_then(Value::as_str) == Some(stage)
    })
    .await
}

/// Returns the status and reason of a condition.
pub fn condition<'s>(status: &'s Value, kind: &str) -> Option<(&'s str, &'s str)> {
    let mut conditions = status.get("conditions")?.as_array()?.iter();
    let condition = conditions.find(|condition| condition.get("type") == Some(&json!(kind)))?;
    let text = |field: &str| condition.get(field).and_then(Value::as_str);
    Some((text("status")?, text("reason")?))
}
