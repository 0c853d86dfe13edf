//! The record of claims: a ConfigMap that remembers which Machines are spent after the requests that spent them are
//! gone. It is read before the first approval and written off the approval path.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_approver_core::{Claim, MachineUid, RequestUid};
use tracing::{error, warn};

use crate::errors::{Failure, classify, describe};

/// The name of the ConfigMap.
const NAME: &str = "rollcall-claims";
/// Stands between the uids of Machine and request in a key: no uid holds one.
const SEPARATOR: char = '_';

/// The record in its namespace.
#[derive(Clone)]
pub(crate) struct ClaimsRecord {
    api: Api<ConfigMap>,
}

impl ClaimsRecord {
    /// The record that a namespace keeps.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    /// Reads every claim. An entry that cannot be read is told and kept out of the way of the others.
    pub(crate) async fn load(&self) -> kube::Result<Vec<Claim>> {
        let record = self.api.get_opt(NAME).await?;
        let entries = record.and_then(|record| record.data).unwrap_or_default();
        let claims = entries.iter().filter_map(|(key, value)| {
            let claim = to_claim(key, value);
            if claim.is_none() {
                warn!(
                    config_map = NAME,
                    key, value, "this entry of the claims record cannot be read"
                );
            }
            claim
        });
        Ok(claims.collect())
    }

    /// Writes the claims that have to outlive their requests, in place of what was there.
    pub(crate) async fn store(&self, claims: Vec<Claim>) -> bool {
        let data: BTreeMap<String, String> = claims.iter().map(to_entry).collect();
        match self.replace(data).await {
            Ok(()) => true,
            Err(failure) => {
                let text = describe(&failure);
                error!(
                    config_map = NAME,
                    error = text,
                    "claims could not be recorded; they stand in memory only"
                );
                false
            }
        }
    }

    async fn replace(&self, data: BTreeMap<String, String>) -> kube::Result<()> {
        let params = PostParams::default();
        match self.api.get_opt(NAME).await? {
            Some(record) if record.data.as_ref().unwrap_or(&BTreeMap::new()) == &data => Ok(()),
            Some(record) => {
                let record = ConfigMap {
                    data: Some(data),
                    ..record
                };
                self.api.replace(NAME, &params, &record).await.map(drop)
            }
            None if data.is_empty() => Ok(()),
            None => {
                let metadata = ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                };
                let record = ConfigMap {
                    metadata,
                    data: Some(data),
                    ..ConfigMap::default()
                };
                match self.api.create(&params, &record).await {
                    Err(failure) if classify(&failure) != Failure::Conflict => Err(failure),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn to_entry(claim: &Claim) -> (String, String) {
    let Claim {
        approved_at,
        key,
        machine,
        request,
    } = claim;
    (
        format!("{}{SEPARATOR}{}", machine.0, request.0),
        format!("{approved_at} {key}"),
    )
}

fn to_claim(key: &str, value: &str) -> Option<Claim> {
    let (machine, request) = key.split_once(SEPARATOR)?;
    let (approved_at, key) = value.split_once(' ')?;
    Some(Claim {
        approved_at: approved_at.parse().ok()?,
        key: key.parse().ok()?,
        machine: MachineUid(machine.to_owned()),
        request: RequestUid(request.to_owned()),
    })
}

#[cfg(test)]
#[path = "claims_record_tests.rs"]
mod tests;
