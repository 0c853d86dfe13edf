//! What the paths have in common on which a node is known already: one Machine on the roll has become it. Mostly it asks
//! for itself; then it is who it says, and its Node exists.

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use crate::decide::combine;
use crate::freshness::check_stale;
use crate::{
    Decision, Facts, Finding, Machine, Node, Policy, Reason, Request, Source, Verdict, Wait,
};

/// Everything on these paths that does not depend on what kind of certificate it is.
pub(crate) fn check(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<Finding> {
    let mut against: Vec<Finding> = check_subject(request).into_iter().collect();
    against.extend(facts.stale.as_ref().map(|stale| check_stale(stale, now)));
    if let Some(name) = request.node_name() {
        against.extend(check_node(&name, facts));
    }
    against.extend(check_machine(request, facts));
    against.extend(check_age(request, facts, policy));
    against
}

/// Whether the request can be the bound machine's: one that is older than both its Node and every record of it was made by an
/// earlier machine of that name.
fn check_age(request: &Request, facts: &Facts<'_>, policy: &Policy) -> Option<Finding> {
    let (machine, node) = (sole(facts)?, facts.node?);
    let made = facts.records(machine).map(|record| record.created_at);
    let earliest = made.chain([node.created_at]).min()?;
    let latest = request.created_at.checked_add(policy.clock_skew).ok()?;
    (latest < earliest).then(|| {
        Finding::new(
            Reason::OutsideJoinWindow,
            format!(
                "the request was made at {}, before the Node registered at {} and before Machine {} was made: it is of an \
                 earlier machine of that name",
                request.created_at, node.created_at, machine.reference
            ),
        )
    })
}

/// Whether one Machine has become the Node, and is to stay.
pub(crate) fn check_machine(request: &Request, facts: &Facts<'_>) -> Vec<Finding> {
    let name = request.node_name();
    let bound = name.and_then(|name| check_bound(&name, facts));
    let stays = sole(facts).map(|machine| facts.check_records(machine, check_stays));
    bound
        .into_iter()
        .chain(stays.into_iter().flatten())
        .collect()
}

/// The Machine that has become the Node, when just one has.
pub(crate) fn sole<'a>(facts: &Facts<'a>) -> Option<&'a Machine> {
    match facts.bound.as_slice() {
        [machine] => Some(machine),
        _ => None,
    }
}

/// Approves when nothing speaks against it; `good` says why, for a Machine and a key. `wait` is what could change that
/// besides the feeds and the facts under the node's name.
pub(crate) fn conclude(
    request: &Request,
    facts: &Facts<'_>,
    policy: &Policy,
    against: Vec<Finding>,
    wait: Option<Wait>,
    good: impl FnOnce(&Machine, KeyHash) -> Finding,
) -> Decision {
    combine(
        request,
        policy,
        sole(facts),
        against,
        waits(request, facts, wait),
        |machine, key| {
            let reference = Some(machine.reference.clone());
            let finding = good(machine, key);
            Decision::new(Verdict::Approve(None), finding, Vec::new(), reference)
        },
    )
}

/// What could change a hold: the feeds, the facts under the node's name, newer requests, and this.
pub(crate) fn waits(request: &Request, facts: &Facts<'_>, wait: Option<Wait>) -> Vec<Wait> {
    let stale = facts.stale.as_ref().map(|_| Wait::Feed);
    let name = request.node_name().map(Wait::Name);
    let newer = newer(request, facts).map(|newer| Wait::Request(newer.uid.clone()));
    stale
        .into_iter()
        .chain(name)
        .chain(newer)
        .chain(wait)
        .collect()
}

/// The newest request of the node for this signer is the one whose key its kubelet still has. `profile` says what no
/// kubelet asks for: such a request stands in nobody's way.
pub(crate) fn check_newest(
    request: &Request,
    facts: &Facts<'_>,
    profile: fn(&Request) -> Vec<Finding>,
) -> Option<Finding> {
    let same_node = |newer: &&Request| {
        newer.requestor.username == request.requestor.username && newer.is_by_its_node()
    };
    newer(request, facts)
        .filter(same_node)
        .find(|newer| profile(newer).is_empty())
        .map(superseded_by)
}

/// Later requests for the same node that nobody has decided, the newest first.
pub(crate) fn newer<'a>(
    request: &'a Request,
    facts: &'a Facts<'_>,
) -> impl Iterator<Item = &'a Request> {
    let rivals = facts.rivals.iter().copied();
    rivals.filter(|rival| rival.is_pending() && rival.is_newer_than(request))
}

/// That a newer request of the same node stands in the way.
pub(crate) fn superseded_by(newer: &Request) -> Finding {
    Finding::new(
        Reason::Superseded,
        format!(
            "request {} of {} by the same node is newer",
            newer.shown_name(),
            newer.created_at
        ),
    )
}

/// Whether the node asks in its own name. A common name that is no node's is a finding of the profile.
fn check_subject(request: &Request) -> Option<Finding> {
    let name = request.node_name()?;
    (request.requestor.node().as_ref() != Some(&name)).then(|| {
        Finding::new(
            Reason::RequestorNotSubject,
            format!(
                "{:?} asks for a certificate of node {name}; a node may ask for itself only",
                request.requestor.username
            ),
        )
    })
}

fn check_node(name: &NodeName, facts: &Facts<'_>) -> Option<Finding> {
    facts.node.is_none().then(|| {
        Finding::new(
            Reason::NodeNotFound,
            format!("there is no Node {name}; a node asks for itself only once it has registered"),
        )
    })
}

fn check_bound(name: &NodeName, facts: &Facts<'_>) -> Option<Finding> {
    match (facts.bound.as_slice(), facts.owners.as_slice()) {
        ([_], _) => None,
        ([], []) => Some(Finding::new(
            Reason::MachineNotFound,
            format!(
                "no Machine has become Node {name} (status.nodeRef), and none owns the name by an address; a Node that was \
                 there before Rollcall is adopted with: rollcall-approver expect --from-nodes --node {name}"
            ),
        )),
        ([], owners) => Some(unbound(name, owners, facts.node)),
        (several, _) => {
            let references: Vec<String> = several
                .iter()
                .map(|machine| machine.reference.to_string())
                .collect();
            Some(Finding::new(
                Reason::MachineAmbiguous,
                format!(
                    "several Machines have become Node {name} (status.nodeRef): {}",
                    references.join(", ")
                ),
            ))
        }
    }
}

/// That Machines own the name, and none of them has become the Node.
fn unbound(name: &NodeName, owners: &[&Machine], node: Option<&Node>) -> Finding {
    let is_anew = |machine: &Machine| node.is_some_and(|node| node.created_at < machine.created_at);
    let seen: Vec<String> = owners
        .iter()
        .map(|machine| match &machine.node_reference {
            Some(other) => format!("{} is Node {other}", machine.reference),
            None if is_anew(machine) => format!(
                "{} was made anew at {}, after the Node had registered, and has no Node again yet: its controller binds it \
                 to the Node once more",
                machine.reference, machine.created_at
            ),
            None => format!("{} has no Node yet", machine.reference),
        })
        .collect();
    let waits =
        |owner: &Machine| owner.source == Source::ExpectedMachine && owner.node_reference.is_none();
    let way_out = match owners {
        [owner] if waits(owner) => format!(
            "; if that machine is this Node, bind it with: rollcall-approver expect --from-nodes --node {name}"
        ),
        _ => String::new(),
    };
    Finding::new(
        Reason::MachineNotBound,
        format!(
            "no Machine has become Node {name} (status.nodeRef); of those that own the name, {}{way_out}",
            seen.join(", ")
        ),
    )
}

/// Whether the Machine is to stay as it is: it is not going away, has not failed and is not given up.
pub(crate) fn check_stays(machine: &Machine) -> impl Iterator<Item = Finding> + use<> {
    let reference = &machine.reference;
    let phase = machine.phase.as_deref().unwrap_or("unknown");
    let deleting = machine.deleting.then(|| {
        Finding::new(
            Reason::MachineDeleting,
            format!(
                "Machine {reference} is being deleted (metadata.deletionTimestamp, or phase {phase})"
            ),
        )
    });
    let failed = machine.failed.then(|| {
        Finding::new(
            Reason::MachineFailed,
            format!("Machine {reference} has failed for good (phase {phase})"),
        )
    });
    let remediated = machine.remediation.as_ref().map(|by| {
        Finding::new(
            Reason::MachineRemediating,
            format!("Machine {reference} is being replaced or repaired ({by})"),
        )
    });
    [deleting, failed, remediated].into_iter().flatten()
}
