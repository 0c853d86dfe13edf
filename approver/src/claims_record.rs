//! The record of claims: ConfigMaps that record which Machines are spent after the requests that spent them are gone. They
//! are read before the first approval and written off the approval path.
//!
//! Few claims are all in the first ConfigMap, so that an approver of an earlier version can read them too. More claims are
//! spread over all ConfigMaps, by the uid of the Machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_approver_core::{Claim, MachineUid, RequestUid};
use rollcall_csr::KeyHash;
use tracing::{error, warn};

use crate::errors::{Failure, classify, describe};
use crate::limit::in_time;

/// The names of the ConfigMaps: enough for `MOST_CLAIMS` of the core, with a margin.
pub(crate) const NAMES: &[&str] = &[
    "rollcall-claims",
    "rollcall-claims-1",
    "rollcall-claims-2",
    "rollcall-claims-3",
    "rollcall-claims-4",
    "rollcall-claims-5",
    "rollcall-claims-6",
    "rollcall-claims-7",
];
/// The name of the first ConfigMap.
const FIRST: &str = "rollcall-claims";
/// The number of claims that one ConfigMap holds when all are in use. A claim takes 175 bytes in JSON, and etcd accepts
/// requests of 1.5 MiB (etcd: `--max-request-bytes`), so about 8,900.
const MOST_IN_ONE: usize = 7000;
/// The number of claims up to which only the first ConfigMap is used.
const FEW: usize = 5000;
/// The limit of one read or write of a ConfigMap.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// The separator of the uids of Machine and request in a key: no uid contains it.
const SEPARATOR: char = '_';
/// The key of an entry that is not a claim: the last time when the record was writable.
const WRITABLE: &str = "writable";

/// The record in its namespace.
#[derive(Clone)]
pub(crate) struct ClaimsRecord {
    api: Api<ConfigMap>,
    /// True if any ConfigMap except the first has entries.
    spread: Arc<AtomicBool>,
}

type Entries = BTreeMap<String, String>;

impl ClaimsRecord {
    /// The record in a namespace.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            spread: Arc::default(),
        }
    }

    /// Reads every claim. An unreadable entry counts as a claim by a key that no machine has, if it names its Machine.
    pub(crate) async fn load(&self) -> kube::Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for name in NAMES {
            let record = in_time(CALL_LIMIT, self.api.get_opt(name)).await?;
            let entries = record.and_then(|record| record.data).unwrap_or_default();
            if *name != FIRST && !entries.is_empty() {
                self.spread.store(true, Ordering::Relaxed);
            }
            claims.extend(
                entries
                    .iter()
                    .filter_map(|(key, value)| read(name, key, value)),
            );
        }
        Ok(claims)
    }

    /// Writes a test entry: a record that cannot be written is of no use to the next leader.
    pub(crate) async fn prove_writable(&self) -> kube::Result<()> {
        let now = Timestamp::now().to_string();
        let entry = |mut entries: Entries| {
            entries.insert(WRITABLE.to_owned(), now);
            entries
        };
        in_time(CALL_LIMIT, self.update(FIRST, entry)).await
    }

    /// Replaces the record by the claims that have to outlive their requests.
    pub(crate) async fn store(&self, claims: Vec<Claim>) -> bool {
        let trouble = match self.store_all(&claims).await {
            Ok(()) => return true,
            Err(trouble) => trouble,
        };
        error!(
            config_map = FIRST,
            error = trouble,
            "claims could not be recorded; they stand in memory only, and no first certificate is approved until they can be"
        );
        false
    }

    async fn store_all(&self, claims: &[Claim]) -> Result<(), String> {
        let spread = claims.len() > FEW;
        let before = self.spread.load(Ordering::Relaxed);
        let mut parts: Vec<(&str, Entries)> =
            NAMES.iter().map(|name| (*name, Entries::new())).collect();
        for claim in claims {
            let index = if spread { part_of(&claim.machine) } else { 0 };
            if let Some((_, entries)) = parts.get_mut(index) {
                entries.extend([to_entry(claim)]);
            }
        }
        let full = parts
            .iter()
            .find(|(_, entries)| entries.len() > MOST_IN_ONE);
        if let Some((name, entries)) = full {
            return Err(format!("{} claims are too many for {name}", entries.len()));
        }
        if spread {
            // Claims that leave the first ConfigMap must be in the others before.
            self.spread.store(true, Ordering::Relaxed);
            parts.reverse();
        } else if !before {
            parts.truncate(1);
        }
        for (name, entries) in parts {
            let replaced = self.update(name, |before| {
                let writable = before.into_iter().filter(|(key, _)| key == WRITABLE);
                entries.into_iter().chain(writable).collect()
            });
            in_time(CALL_LIMIT, replaced)
                .await
                .map_err(|failure| format!("{name}: {}", describe(&failure)))?;
        }
        self.spread.store(spread, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces the content of a ConfigMap, if it changes.
    async fn update(
        &self,
        name: &str,
        change: impl FnOnce(Entries) -> Entries,
    ) -> kube::Result<()> {
        let params = PostParams::default();
        let Some(record) = self.api.get_opt(name).await? else {
            let data = change(Entries::new());
            if data.is_empty() {
                return Ok(());
            }
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            };
            let record = ConfigMap {
                metadata,
                data: Some(data),
                ..ConfigMap::default()
            };
            return match self.api.create(&params, &record).await {
                Err(failure) if classify(&failure) != Failure::Conflict => Err(failure),
                _ => Ok(()),
            };
        };
        let before = record.data.clone().unwrap_or_default();
        let data = change(before.clone());
        if data == before {
            return Ok(());
        }
        let record = ConfigMap {
            data: Some(data),
            ..record
        };
        self.api.replace(name, &params, &record).await.map(drop)
    }
}

/// The index of the ConfigMap for the claims on a Machine when the record is spread: the sum of the bytes of its uid, which
/// the API server generated at random.
fn part_of(machine: &MachineUid) -> usize {
    let bytes = machine.0.bytes();
    let sum = bytes.fold(0_usize, |sum, byte| sum.wrapping_add(usize::from(byte)));
    sum.checked_rem(NAMES.len()).unwrap_or_default()
}

fn read(name: &str, key: &str, value: &str) -> Option<Claim> {
    if key == WRITABLE {
        return None;
    }
    let claim = to_claim(key, value);
    if claim.is_some() {
        return claim;
    }
    let unknown = key.split_once(SEPARATOR).map(|(machine, request)| Claim {
        approved_at: Timestamp::now(),
        key: KeyHash::of_spki(value.as_bytes()),
        machine: MachineUid(machine.to_owned()),
        request: RequestUid(request.to_owned()),
    });
    let spent = unknown.is_some();
    warn!(
        config_map = name,
        key,
        value,
        spent,
        "this entry of the claims record cannot be read; its Machine counts as spent by an unknown key where it names one"
    );
    unknown
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
