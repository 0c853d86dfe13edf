//! Checks shared by the renewal, serving and resume paths, where exactly one Machine is already bound to the node.
//! Except on resume, the node makes the request itself, so its identity is proven and its Node exists.

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName};

use crate::decide::combine;
use crate::freshness::check_stale;
use crate::{
    Decision, Facts, Finding, Machine, Node, Policy, Reason, Request, Source, Verdict, Wait,
};

/// Runs the checks that are independent of the kind of certificate.
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

/// Checks that the request can be the bound machine's: one that is older than both its Node and all its records was made by
/// an earlier machine of that name.
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

/// Checks that exactly one Machine is bound to the Node, and that it is not about to be removed.
pub(crate) fn check_machine(request: &Request, facts: &Facts<'_>) -> Vec<Finding> {
    let name = request.node_name();
    let bound = name.and_then(|name| check_bound(&name, facts));
    let stays = sole(facts).map(|machine| facts.check_records(machine, check_stays));
    bound
        .into_iter()
        .chain(stays.into_iter().flatten())
        .collect()
}

/// The Machine that is bound to the Node, if exactly one is.
pub(crate) fn sole<'a>(facts: &Facts<'a>) -> Option<&'a Machine> {
    match facts.bound.as_slice() {
        [machine] => Some(machine),
        _ => None,
    }
}

/// Approves if there are no findings against the request; `good` returns the reason, for a Machine and a key. `wait` is
/// what could change a hold besides the feeds and the facts under the node's name.
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

/// Returns what could change a hold: the feeds, the facts under the node's name, newer requests, and `wait`.
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

/// Checks that the request is the node's newest for this signer: its kubelet only has the key of that one. A newer
/// request with findings of `profile` is not from a kubelet and does not count.
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

/// Later undecided requests for the same node, the newest first.
pub(crate) fn newer<'a>(
    request: &'a Request,
    facts: &'a Facts<'_>,
) -> impl Iterator<Item = &'a Request> {
    let rivals = facts.rivals.iter().copied();
    rivals.filter(|rival| rival.is_pending() && rival.is_newer_than(request))
}

/// Returns the finding that a newer request of the same node exists.
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

/// Checks that the node makes the request in its own name. The profile checks a common name that is not a node's.
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

/// Returns the finding that Machines own the name, but none is bound to the Node.
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

/// Checks that the Machine is not being deleted, has not failed and is not being remediated.
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
