//! The records that this controller keeps: told from all others by their labels.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::timeout;
use tracing::info;

use super::plan::GROUP;
use crate::errors::{Failure, classify};
use crate::expected_machine::ExpectedMachine;

/// The label that says who keeps a record up to date (Kubernetes: recommended labels).
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value for the records that are made here.
const MANAGER: &str = "rollcall-aws-auto-scaling";
/// The label that says where the instance of a record is (Kubernetes: well-known labels).
const REGION: &str = "topology.kubernetes.io/region";
/// How long a call may take.
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
        // The selector is the API server's; whose a record is is not left to it.
        let ours = |record: &ExpectedMachine| {
            let label = |name: &str| record.labels().get(name).map(String::as_str);
            label(MANAGED_BY) == Some(MANAGER) && label(REGION) == Some(&self.region)
        };
        Ok(records.items.into_iter().filter(ours).collect())
    }

    /// Creates a record. Returns false when there is one of that name which is somebody else's.
    pub(super) async fn create(&self, record: &ExpectedMachine) -> kube::Result<bool> {
        let mut record = record.clone();
        let labels = [(MANAGED_BY, MANAGER), (REGION, &self.region)];
        record.metadata.labels = Some(BTreeMap::from(
            labels.map(|(name, value)| (name.to_owned(), value.to_owned())),
        ));
        let params = PostParams::default();
        match in_time(self.api.create(&params, &record)).await {
            Ok(_) => {
                info!(
                    machine = record.name_any(),
                    node = record.spec.node_name,
                    group = group(&record),
                    "an instance is expected"
                );
                Ok(true)
            }
            Err(error) if classify(&error) == Failure::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a record as it should be, unless somebody changed it meanwhile: then the next round looks again.
    pub(super) async fn update(&self, record: &ExpectedMachine) -> kube::Result<()> {
        let name = record.name_any();
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
        let name = record.name_any();
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
        Failure::Forbidden | Failure::Later | Failure::Refused | Failure::Unknown => Err(error),
    }
}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match timeout(CALL_LIMIT, call).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
    }
}
