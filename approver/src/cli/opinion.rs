//! What is said about one request: the contract of `explain -o json`.

use rollcall_approver_core::{Decision, MachineReference, Reason, Verdict};
use serde::Serialize;

use super::scene::Entry;

/// What would be decided of one request, and why. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Opinion {
    pub(super) csr: String,
    pub(super) signer: String,
    pub(super) requestor: String,
    pub(super) node: String,
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    pub(super) reasons: Vec<&'static str>,
    pub(super) message: String,
    pub(super) machine: Option<MachineName>,
}

/// Where to find a Machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct MachineName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl From<&MachineReference> for MachineName {
    fn from(reference: &MachineReference) -> Self {
        let MachineReference { namespace, name } = reference.clone();
        Self { namespace, name }
    }
}

impl Opinion {
    /// The core's decision.
    pub(super) fn of(entry: &Entry, decision: &Decision) -> Self {
        Self {
            csr: entry.name.clone(),
            signer: entry.signer.clone(),
            requestor: entry.requestor.clone(),
            node: entry.node_name(),
            verdict: decision.verdict().as_str(),
            reason: decision.reason().as_str(),
            reasons: decision
                .findings()
                .map(|finding| finding.reason.as_str())
                .collect(),
            message: decision.explanation(),
            machine: decision.machine().map(MachineName::from),
        }
    }

    /// A request to a signer that the core does not know.
    pub(super) fn of_foreign(entry: &Entry) -> Self {
        let reason = Reason::SignerNotServed.as_str();
        Self {
            csr: entry.name.clone(),
            signer: entry.signer.clone(),
            requestor: entry.requestor.clone(),
            node: entry.node_name(),
            verdict: Verdict::Ignore.as_str(),
            reason,
            reasons: vec![reason],
            message: format!("requests to {} are left to others", entry.signer),
            machine: None,
        }
    }
}

/// `namespace/name`, or a dash for no Machine.
pub(super) fn machine_cell(machine: Option<&MachineName>) -> String {
    match machine {
        Some(MachineName { namespace, name }) if namespace.is_empty() => name.clone(),
        Some(MachineName { namespace, name }) => format!("{namespace}/{name}"),
        None => String::new(),
    }
}
