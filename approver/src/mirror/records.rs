//! The records that this controller keeps, marked by their labels.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tracing::info;

use super::plan::GROUP;
use crate::errors::{Failure, classify};
use crate::expected_machine::{ExpectedMachine, NodeReference};
use crate::limit;
use crate::object_name::segment;

/// The label for the manager of a record (Kubernetes: recommended labels).
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value for the records that are made here.
const MANAGER: &str = "rollcall-aws-auto-scaling";
/// The label for the region of a record's instance (Kubernetes: well-known labels).
const REGION: &str = "topology.kubernetes.io/region";
/// The limit of one call.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// The records of one region's instances.
#[derive(Clone, Debug)]
pub(super) struct Records {
    api: Api<ExpectedMachine>,
    region: String,
}

impl Records {
    pub(super) fn new(client: Client, region: &str) -> Self {
        Self {
            api: Api::all(client),
            region: region.to_owned(),
        }
    }

    /// All of them.
    pub(super) async fn list(&self) -> kube::Result<Vec<ExpectedMachine>> {
        let selector = format!("{MANAGED_BY}={MANAGER},{REGION}={}", self.region);
        let params = ListParams::default().labels(&selector);
        let records = in_time(self.api.list(&params)).await?;
        // The API server applies the selector; ownership of a record is checked again here.
        let ours = |record: &ExpectedMachine| {
            let label = |name: &str| record.labels().get(name).map(String::as_str);
            label(MANAGED_BY) == Some(MANAGER) && label(REGION) == Some(&self.region)
        };
        Ok(records.items.into_iter().filter(ours).collect())
    }

    /// Creates a record, and returns it. Returns `None` if another owner has a record of that name.
    pub(super) async fn create(
        &self,
        record: &ExpectedMachine,
    ) -> kube::Result<Option<ExpectedMachine>> {
        let mut record = record.clone();
        let labels = [(MANAGED_BY, MANAGER), (REGION, &self.region)];
        record.metadata.labels = Some(BTreeMap::from(
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())),
        ));
        let params = PostParams::default();
        match in_time(self.api.create(&params, &record)).await {
            Ok(created) => {
                info!(
                    machine = created.name_any(),
                    node = created.spec.node_name,
                    group = group(&created),
                    "an instance is expected"
                );
                Ok(Some(created))
            }
            Err(error) if classify(&error) == Failure::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Binds this very record to its Node.
    pub(super) async fn bind(
        &self,
        record: &ExpectedMachine,
        node: &NodeReference,
    ) -> kube::Result<()> {
        let name = segment(&record.name_any())?;
        let patch = json!({"metadata": {"uid": record.uid()}, "status": {"nodeRef": node}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        match in_time(self.api.patch_status(&name, &params, &patch)).await {
            Ok(_) => {
                info!(
                    machine = name,
                    node = node.name,
                    "an instance is a node already"
                );
                Ok(())
            }
            Err(error) => unless_it_changed(error),
        }
    }

    /// Updates a record, unless it changed meanwhile: then the next round retries.
    pub(super) async fn update(&self, record: &ExpectedMachine) -> kube::Result<()> {
        let name = segment(&record.name_any())?;
        let params = PostParams::default();
        match in_time(self.api.replace(&name, &params, record)).await {
            Ok(_) => {
                info!(machine = name, "the addresses of an instance changed");
                Ok(())
            }
            Err(error) => unless_it_changed(error),
        }
    }

    /// Deletes this very record.
    pub(super) async fn delete(&self, record: &ExpectedMachine, because: &str) -> kube::Result<()> {
        let name = segment(&record.name_any())?;
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: record.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match in_time(self.api.delete(&name, &params)).await {
            Ok(_) => {
                info!(
                    machine = name,
                    node = record.spec.node_name,
                    group = group(record),
                    because,
                    "an instance is expected no more"
                );
                Ok(())
            }
            Err(error) => unless_it_changed(error),
        }
    }
}

fn group(record: &ExpectedMachine) -> &str {
    record
        .annotations()
        .get(GROUP)
        .map(String::as_str)
        .unwrap_or_default()
}

fn unless_it_changed(error: kube::Error) -> kube::Result<()> {
    match classify(&error) {
        Failure::Conflict | Failure::NotFound => Ok(()),
        Failure::Forbidden
        | Failure::Later
        | Failure::Refused
        | Failure::Unknown
        | Failure::Unsendable => Err(error),
    }
}

/// Waits for a call, with a time limit.
pub(super) async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    limit::in_time(CALL_LIMIT, call).await
}
