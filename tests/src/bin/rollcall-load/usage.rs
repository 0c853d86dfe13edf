//! The resources that a process used, from the kernel, and its calls to the API server, from the audit log.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rollcall_e2e::programs::APPROVER;
pub(crate) use rollcall_e2e::usage::{cpu_seconds, peak_memory_mib};
use serde::Deserialize;

/// The API server's record of every call that the approver's ServiceAccount makes.
#[derive(Debug)]
pub(crate) struct AuditLog {
    directory: tempfile::TempDir,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    object_ref: Option<ObjectReference>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct ObjectReference {
    resource: Option<String>,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl AuditLog {
    /// Creates an empty log for an API server to write to.
    pub(crate) fn create() -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot create a folder for the audit log")?;
        let log = Self { directory };
        let (namespace, name) = APPROVER;
        // A watch is logged when it begins, other calls when they end.
        let policy = format!(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
             - level: Metadata\n  users: [\"system:serviceaccount:{namespace}:{name}\"]\n- level: None\n"
        );
        let path = log.policy();
        std::fs::write(&path, policy)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(log)
    }

    /// The flags that make kube-apiserver write the log.
    pub(crate) fn flags(&self) -> [String; 2] {
        [
            format!("--audit-policy-file={}", self.policy().display()),
            format!("--audit-log-path={}", self.log().display()),
        ]
    }

    /// Counts each verb on each resource; failed calls are counted separately.
    pub(crate) fn calls(&self) -> Result<BTreeMap<String, u32>> {
        let path = self.log();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        count(&text)
    }

    fn policy(&self) -> PathBuf {
        self.directory.path().join("policy.yaml")
    }

    fn log(&self) -> PathBuf {
        Path::join(self.directory.path(), "audit.log")
    }
}

fn count(log: &str) -> Result<BTreeMap<String, u32>> {
    let mut calls = BTreeMap::new();
    let mut counted = HashSet::new();
    for line in log.lines() {
        let entry: Entry =
            serde_json::from_str(line).context("a line of the audit log cannot be read")?;
        let object = entry.object_ref;
        let part = |part: Option<String>| part.map(|part| format!("/{part}")).unwrap_or_default();
        let resource =
            object.map(|object| object.resource.unwrap_or_default() + &part(object.subresource));
        let code = entry.response_status.and_then(|status| status.code);
        let failed = code
            .filter(|code| *code >= 400)
            .map(|code| format!(" ({code})"));
        if counted.insert(entry.audit_id) {
            let call = format!(
                "{} {}{}",
                entry.verb,
                resource.unwrap_or_default(),
                failed.unwrap_or_default()
            );
            let number: &mut u32 = calls.entry(call).or_default();
            *number = number.saturating_add(1);
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_once_and_a_failed_one_apart() {
        let line = |id: &str, verb: &str, code: u16| {
            format!(
                "{{\"auditID\":\"{id}\",\"verb\":\"{verb}\",\"objectRef\":{{\"resource\":\"r\",\"subresource\":\"s\"}},\"responseStatus\":{{\"code\":{code}}}}}"
            )
        };
        let log = [
            line("1", "watch", 200),
            line("1", "watch", 200),
            line("2", "update", 200),
            line("3", "update", 409),
        ];
        let calls = count(&log.join("\n")).unwrap();
        let expected = [("update r/s", 1), ("update r/s (409)", 1), ("watch r/s", 1)];
        assert_eq!(
            calls,
            expected
                .map(|(call, number)| (call.to_owned(), number))
                .into()
        );
    }
}
