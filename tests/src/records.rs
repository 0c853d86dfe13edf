//! Machine records of any API, written as its controllers write them: first the object, then its status.

use anyhow::{Context as _, Result};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

/// A kind of records, and their namespace.
#[derive(Clone, Debug)]
pub struct Records {
    api: Api<DynamicObject>,
    api_version: String,
    kind: String,
}

impl Records {
    /// Creates the API for a kind in a namespace, or, without one, for a cluster-scoped kind.
    ///
    /// # Errors
    /// If `api_version` is invalid.
    pub fn new(
        client: Client,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Result<Self> {
        let (group, version) = api_version
            .split_once('/')
            .with_context(|| format!("{api_version} names no group"))?;
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Ok(Self {
            api: match namespace {
                Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                None => Api::all_with(client, &resource),
            },
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
    }

    /// Creates a record with these labels and this spec.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn create(&self, name: &str, labels: &Value, spec: &Value) -> Result<DynamicObject> {
        let object = serde_json::from_value(json!({
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
        }))?;
        let created = self.api.create(&PostParams::default(), &object).await;
        created.with_context(|| format!("cannot create the {} {name}", self.kind))
    }

    /// Patches everything but the status.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn change(&self, name: &str, patch: &Value) -> Result<()> {
        let params = PatchParams::default();
        let patched = self.api.patch(name, &params, &Patch::Merge(patch)).await;
        patched.with_context(|| format!("cannot change the {} {name}", self.kind))?;
        Ok(())
    }

    /// Writes the status.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn set_status(&self, name: &str, status: &Value) -> Result<()> {
        let patch = json!({"status": status});
        let params = PatchParams::default();
        let patched = self
            .api
            .patch_status(name, &params, &Patch::Merge(&patch))
            .await;
        patched.with_context(|| format!("cannot write the status of the {} {name}", self.kind))?;
        Ok(())
    }
}
