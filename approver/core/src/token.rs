//! Bootstrap tokens that were made for one Machine.

use crate::{Facts, Finding, Machine, Reason, Request};

/// Whether the bootstrap token that was used may be used for this Machine: one that was made for some Machines is for no
/// other.
pub(crate) fn check_token<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
) -> Option<Finding> {
    let id = request.requestor.bootstrap_token()?;
    let made_for = facts.tokens.get(id)?;
    let own = |other: &&Machine| facts.records(machine).any(|record| record.uid == other.uid);
    if made_for.iter().any(own) {
        return None;
    }
    let others = made_for.iter();
    let others: Vec<String> = others.map(|other| other.reference.to_string()).collect();
    Some(Finding::new(
        Reason::TokenOfAnotherMachine,
        format!(
            "the bootstrap token {id} was made for Machine {}, not for Machine {}",
            others.join(", "),
            machine.reference
        ),
    ))
}
