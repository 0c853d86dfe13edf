//! Nodes that were left by a machine which is gone, and when a new Machine may have the name of one.

use jiff::Timestamp;
use rollcall_csr::NodeName;

use super::sole_owner;
use crate::node_activity::Activity;
use crate::{Facts, Finding, Node, Policy, Reason, Wait};

/// What a Node of the name that is asked for means.
pub(super) enum Left {
    /// It speaks against the request; nothing but news changes that, or time does too.
    Taken(Finding, Option<Wait>),
    /// It is a leftover that the Machine may replace.
    Replaceable(Finding),
}

/// Whether the Node was left by a machine that is gone, and the policy lets another one have it: it is quiet, it registered
/// before the Machine was made, and no Machine has become it.
pub(super) fn check_node(
    name: &NodeName,
    node: &Node,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Left {
    let exists = format!(
        "Node {name} exists since {} (uid {}); a first certificate is for a new one",
        node.created_at, node.uid
    );
    let finding = |more: &str| Finding::new(Reason::NodeExists, format!("{exists}{more}"));
    let machine = sole_owner(facts).filter(|_| policy.replace_leftover_nodes);
    let Some(machine) = machine else {
        return Left::Taken(finding(""), None);
    };
    if !facts.bound.is_empty() || node.created_at >= machine.created_at {
        return Left::Taken(finding(""), None);
    }
    match Activity::of(node, None, now) {
        Some(sign) => {
            let finding = finding(&format!(", and this one is no leftover: {sign}"));
            Left::Taken(finding, sign.ends().map(Wait::Until))
        }
        None => Left::Replaceable(finding("")),
    }
}
