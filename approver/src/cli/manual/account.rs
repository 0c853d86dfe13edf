//! The account of what was done by hand: one line per request, and a sum.

use anyhow::bail;
use rollcall_approver_core::{MachineReference, Reason};
use serde::Serialize;

use crate::Output;
use crate::cli::opinion::{MachineName, machine_cell};
use crate::cli::print::{answer, complain};
use crate::cli::scene::{Entry, Past};
use crate::cli::table::{Cell, Table};

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    Approved,
    Denied,
    /// It could not be written, or cannot be any more.
    Failed,
    /// It stays pending, as policy has it.
    Left,
    /// Policy would not approve it, and was not overridden.
    Refused,
    /// It was so already.
    Unchanged,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Left => "left",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }

    fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::Refused => true,
            Self::Approved | Self::Denied | Self::Left | Self::Unchanged => false,
        }
    }
}

/// One request, and what became of it. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    csr: String,
    node: String,
    outcome: Outcome,
    reason: String,
    message: String,
    machine: Option<MachineName>,
}

impl Account {
    /// How it ended.
    #[cfg(test)]
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// A request of which nothing but the name is known.
    pub(super) fn named(name: &str) -> Self {
        Self {
            csr: name.to_owned(),
            node: String::new(),
            outcome: Outcome::Failed,
            reason: String::new(),
            message: String::new(),
            machine: None,
        }
    }

    /// A request, and nothing done yet.
    pub(super) fn new(entry: &Entry, machine: Option<&MachineReference>) -> Self {
        Self {
            node: entry.node_name(),
            machine: machine.map(MachineName::from),
            ..Self::named(&entry.name)
        }
    }

    /// How it ended.
    pub(super) fn end(self, outcome: Outcome, reason: Reason, message: String) -> Self {
        Self {
            outcome,
            reason: reason.as_str().to_owned(),
            message,
            ..self
        }
    }

    /// Somebody decided before: fine if it was the same, else too late.
    pub(super) fn already(self, past: &Past, wanted: &str) -> Self {
        let Past {
            word,
            reason,
            message,
        } = past;
        let by = format!("it was {word} already ({reason}: {message})");
        if *word == wanted {
            return self.end(Outcome::Unchanged, Reason::AlreadyDecided, by);
        }
        let next = if wanted == "approved" {
            "that is final; delete it, so that the machine makes another one"
        } else {
            "a denial comes too late; to take the node away, delete its Machine or its Node"
        };
        self.end(
            Outcome::Failed,
            Reason::AlreadyDecided,
            format!("{by}; {next}"),
        )
    }

    /// There is no such request.
    pub(super) fn unknown(name: &str) -> Self {
        Self {
            message: "there is no such request; see kubectl get csr".to_owned(),
            ..Self::named(name)
        }
    }

    /// It never stood still.
    pub(super) fn restless(name: &str) -> Self {
        Self {
            message: "it changed each time it was about to be written; try again".to_owned(),
            ..Self::named(name)
        }
    }
}

/// Prints the accounts.
///
/// # Errors
/// If any of them is a failure.
pub(super) fn close(output: Output, accounts: &[Account]) -> anyhow::Result<()> {
    if accounts.is_empty() && output == Output::Table {
        complain("note", "no request of a node is pending");
        return Ok(());
    }
    answer(output, accounts, || table(accounts))?;
    let failures = accounts
        .iter()
        .filter(|account| account.outcome.is_failure())
        .count();
    if failures > 0 {
        bail!(
            "{failures} of {} requests: not done; the reason stands beside each",
            accounts.len()
        );
    }
    Ok(())
}

fn table(accounts: &[Account]) -> Table {
    let mut table = Table::new(&["CSR", "NODE", "OUTCOME", "REASON", "MACHINE"]);
    for account in accounts {
        let cells = vec![
            Cell::name(&account.csr),
            Cell::name(&account.node),
            Cell::verdict(account.outcome.as_str()),
            Cell::word(&account.reason),
            Cell::name(&machine_cell(account.machine.as_ref())),
        ];
        let done = matches!(account.outcome, Outcome::Approved | Outcome::Denied);
        table.row(cells, (!done).then_some(account.message.as_str()));
    }
    table
}
