//! Nodes left behind by a deleted machine, and the conditions under which a new Machine may take over the name.

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::NodeName;

use super::sole_owner;
use crate::node_activity::Activity;
use crate::{Facts, Finding, Machine, Node, NodeLease, Policy, Reason, Wait};

/// The time for which a Lease that was read counts: a running kubelet renews it every 10 s (Kubernetes:
/// `nodeLeaseDurationSeconds` of 40 s, renewed in a quarter of it).
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// The pause before an unreadable Lease is read again.
const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// The effect of an existing Node with the requested name.
pub(super) enum Left {
    /// It prevents approval until a change, or until the wait is over.
    Taken(Finding, Option<Wait>),
    /// It is a leftover that the Machine may replace.
    Replaceable(Finding),
}

/// Checks that the Node is a leftover that the policy allows to replace: it is quiet, it registered before the Machine was
/// created, no Machine is bound to it, and none has its instance.
pub(super) fn check_node(
    name: &NodeName,
    node: &Node,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Left {
    let taken = |why: &str| Left::Taken(exists(name, node, why), None);
    let machine = sole_owner(facts).filter(|_| policy.replace_leftover_nodes);
    let Some(machine) = machine else {
        return taken("");
    };
    if !facts.bound.is_empty() {
        return taken(&format!(
            ", and Machine {} has become it",
            references(&facts.bound)
        ));
    }
    if node.created_at >= machine.created_at {
        return taken(", and it registered after its name's Machine was made");
    }
    if !facts.of_instance.is_empty() {
        return taken(&format!(
            ", and its spec.providerID is that of Machine {}",
            references(&facts.of_instance)
        ));
    }
    match Activity::of(node, None, now) {
        Some(sign) => alive(name, node, sign),
        None => Left::Replaceable(exists(name, node, "")),
    }
}

/// Checks the Lease of an otherwise quiet Node for a running kubelet. If Leases are read on demand, an unknown one holds the
/// request.
pub(super) fn check_lease(
    name: &NodeName,
    node: &Node,
    facts: &Facts<'_>,
    now: Timestamp,
) -> Option<Left> {
    let known = facts.lease.filter(|lease| {
        let limit = if lease.renewed.is_ok() { FRESH } else { RETRY };
        !facts.asks_leases || now.duration_since(lease.at).abs() < limit
    });
    match known {
        Some(NodeLease {
            renewed: Ok(renewed),
            ..
        }) => Activity::of(node, *renewed, now).map(|sign| alive(name, node, sign)),
        Some(NodeLease {
            renewed: Err(why),
            at,
        }) => {
            let finding = exists(
                name,
                node,
                &format!(
                    ", and whether its kubelet runs cannot be seen: Lease kube-node-lease/{name}: {why}"
                ),
            );
            Some(Left::Taken(
                finding,
                at.checked_add(RETRY).ok().map(Wait::Until),
            ))
        }
        None => facts.asks_leases.then(|| {
            let why = ", and whether its kubelet runs is being looked up in its Lease";
            Left::Taken(exists(name, node, why), Some(Wait::Lease(name.clone())))
        }),
    }
}

fn alive(name: &NodeName, node: &Node, sign: Activity) -> Left {
    let why = format!(", and this one is no leftover: {sign}");
    Left::Taken(exists(name, node, &why), sign.ends().map(Wait::Until))
}

fn exists(name: &NodeName, node: &Node, more: &str) -> Finding {
    Finding::new(
        Reason::NodeExists,
        format!(
            "Node {name} exists since {} (uid {}); a first certificate is for a new one{more}",
            node.created_at, node.uid
        ),
    )
}

fn references(machines: &[&Machine]) -> String {
    let references = machines.iter().map(|machine| machine.reference.to_string());
    references.collect::<Vec<_>>().join(", ")
}
