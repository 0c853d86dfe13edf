//! The facts about a first certificate: each rule on both sides of its boundary.

use Reason::*;
use jiff::SignedDuration;

use super::rivals_tests::rival;
use super::*;
use crate::fixtures::{
    Case, World, at, check, claim, key_hash, machine, node, reasons, registered, request,
    request_uid,
};
use crate::{Contested, Feed, Node, NodeLease, Requestor, Stale, Verdict, Wait};

/// Makes the request use a bootstrap token of these Machines.
fn use_token(world: &mut World, machines: &[&str]) {
    world.request.requestor = Requestor {
        username: "system:bootstrap:abcdef".to_owned(),
        groups: vec!["system:bootstrappers".to_owned()],
    };
    let machines = machines.iter().map(|name| machine(name, "worker-0"));
    world.tokens.insert("abcdef", machines.collect());
    world.tokens.retain(|_, machines| !machines.is_empty());
}

/// A Node that registered a day before its name's Machine was created.
fn leftover() -> Node {
    Node {
        created_at: at(-86_400),
        ..registered()
    }
}

/// Adds a leftover Node with this Lease.
fn leave(world: &mut World, renewed: Result<Option<Timestamp>, String>) {
    world.policy.replace_leftover_nodes = true;
    world.node = Some(leftover());
    world.asks_leases = true;
    world.lease = Some(NodeLease {
        at: at(60),
        renewed,
    });
}

pub(super) const MACHINE: &[Case] = &[
    (
        "no Machine",
        |world| world.owners.clear(),
        "hold",
        &[MachineNotFound],
    ),
    (
        "two Machines",
        |world| world.owners.push(machine("m-1", "worker-0")),
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "bound",
        |world| world.owner().node_reference = Some(node("worker-0")),
        "hold",
        &[MachineBound],
    ),
    (
        "bound to another Node",
        |world| world.owner().node_reference = Some(node("worker-9")),
        "hold",
        &[MachineBound],
    ),
    (
        "deleting",
        |world| world.owner().deleting = true,
        "hold",
        &[MachineDeleting],
    ),
    (
        "failed",
        |world| world.owner().failed = true,
        "hold",
        &[MachineFailed],
    ),
    (
        "a token of another Machine",
        |world| use_token(world, &["m-1"]),
        "hold",
        &[TokenOfAnotherMachine],
    ),
    (
        "a token of this Machine and of another",
        |world| use_token(world, &["m-1", "m-0"]),
        "approve",
        &[FirstCertificate],
    ),
    (
        "a token of no Machine in particular",
        |world| use_token(world, &[]),
        "approve",
        &[FirstCertificate],
    ),
    (
        "a rival with a token of another Machine",
        |world| {
            let mut rival = world.clone();
            use_token(&mut rival, &["m-1"]);
            world.tokens = rival.tokens;
            world.rivals = vec![Request {
                created_at: at(61),
                requestor: rival.request.requestor,
                ..request("csr-1", "worker-0", 1)
            }];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "given up by a health check",
        |world| world.owner().remediation = Some("an annotation".to_owned()),
        "hold",
        &[MachineRemediating],
    ),
    (
        "a Node of that name",
        |world| world.node = Some(registered()),
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that was there before the Machine, which may be replaced",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(leftover());
        },
        "approve",
        &[FirstCertificate, NodeExists],
    ),
    (
        "a Node that was there before the Machine",
        |world| world.node = Some(leftover()),
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that registered after the Machine was made is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(registered());
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that is Ready is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(Node {
                ready: true,
                ..leftover()
            });
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that was Ready minutes ago is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(Node {
                ready_since: Some(at(-500)),
                ..leftover()
            });
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node whose kubelet was heard minutes ago is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(Node {
                last_heartbeat: Some(at(-500)),
                ..leftover()
            });
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that has been quiet for longer is a leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(Node {
                ready_since: Some(at(-600)),
                last_heartbeat: Some(at(-900)),
                ..leftover()
            });
        },
        "approve",
        &[FirstCertificate, NodeExists],
    ),
    (
        "a Node of a Machine's instance is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(leftover());
            world.of_instance = vec![machine("m-1", "worker-1")];
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node of the Machine's own instance is its own",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(leftover());
            world.bound = world.owners.clone();
        },
        "hold",
        &[NodeExists, MachineBound],
    ),
    (
        "the Lease of a leftover has to be asked for",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(leftover());
            world.asks_leases = true;
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Lease that was renewed minutes ago",
        |world| leave(world, Ok(Some(at(-500)))),
        "hold",
        &[NodeExists],
    ),
    (
        "a Lease that was renewed long ago",
        |world| leave(world, Ok(Some(at(-5_000)))),
        "approve",
        &[FirstCertificate, NodeExists],
    ),
    (
        "no Lease",
        |world| leave(world, Ok(None)),
        "approve",
        &[FirstCertificate, NodeExists],
    ),
    (
        "a Lease that may not be read",
        |world| leave(world, Err("forbidden".to_owned())),
        "hold",
        &[NodeExists],
    ),
    (
        "what a Lease said an hour ago",
        |world| {
            leave(world, Ok(None));
            world.now = at(3_600);
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node that another Machine has become is no leftover",
        |world| {
            world.policy.replace_leftover_nodes = true;
            world.node = Some(leftover());
            let mut other = machine("m-1", "worker-1");
            other.node_reference = Some(node("worker-0"));
            world.bound.push(other);
        },
        "hold",
        &[NodeExists],
    ),
    (
        "a Node and no Machine",
        |world| {
            world.node = Some(registered());
            world.owners.clear();
        },
        "hold",
        &[MachineNotFound, NodeExists],
    ),
    (
        "facts never complete",
        |world| {
            world.stale = Some(Stale {
                feed: Feed::Nodes,
                since: None,
            });
        },
        "hold",
        &[FactsStale],
    ),
    (
        "facts lost",
        |world| {
            world.stale = Some(Stale {
                feed: Feed::Nodes,
                since: Some(at(0)),
            });
        },
        "hold",
        &[FactsStale],
    ),
    (
        "everything at once",
        |world| {
            world.stale = Some(Stale {
                feed: Feed::Nodes,
                since: None,
            });
            world.node = Some(registered());
            let owner = world.owner();
            owner.node_reference = Some(node("worker-0"));
            owner.deleting = true;
            owner.failed = true;
            owner.created_at = at(1000);
            world.claims = vec![claim("csr-9", 1, at(50))];
            world.rivals = vec![request("csr-1", "worker-0", 0)];
        },
        "hold",
        &[
            FactsStale,
            NodeExists,
            MachineBound,
            MachineDeleting,
            MachineFailed,
            OutsideJoinWindow,
            AlreadyIssued,
        ],
    ),
];

#[test]
fn the_machine_has_to_be_one_and_pending() {
    check(MACHINE);
}

#[test]
fn the_join_window_is_open_at_neither_end() {
    let second = |seconds: i64| at(seconds);
    let milli = SignedDuration::from_millis(1);
    for (made, inside) in [
        (second(-11), false),
        (second(-10), false),
        (second(-10).checked_add(milli).unwrap(), true),
        (second(-9), true),
        (second(0), true),
        (second(2 * 3600 - 1), true),
        (second(2 * 3600).checked_sub(milli).unwrap(), true),
        (second(2 * 3600), false),
        (second(2 * 3600 + 1), false),
    ] {
        let mut world = World::approvable();
        world.request.created_at = made;
        // The request may have been pending.
        world.now = made.checked_add(SignedDuration::from_mins(90)).unwrap();
        let decision = world.decide();
        let expected = if inside {
            FirstCertificate
        } else {
            OutsideJoinWindow
        };
        assert_eq!(decision.reason(), expected, "made at {made}: {decision:?}");
    }
}

#[test]
fn a_request_is_approved_for_as_long_as_it_could_be_made() {
    for (judged, by, inside) in [
        (60 + 7199, None, true),
        (60 + 7200, None, false),
        (30 * 86_400, None, false),
        (86_399, Some(at(86_400)), true),
        (86_400, Some(at(86_400)), false),
    ] {
        let mut world = World::approvable();
        world.owner().join_by = by;
        world.now = at(judged);
        let decision = world.decide();
        let expected = if inside {
            FirstCertificate
        } else {
            OutsideJoinWindow
        };
        assert_eq!(decision.reason(), expected, "{judged}: {decision:?}");
        // A request that is too old does not block others.
        let old = std::mem::replace(&mut world.request, request("csr-9", "worker-0", 1));
        world.request.created_at = at(judged.min(7000));
        world.now = world.request.created_at.max(world.now);
        world.rivals = vec![old];
        if !inside && by.is_none() {
            world.request.created_at = at(7000);
            world.now = at(60 + 7200);
            assert_eq!(reasons(&world.decide()), [FirstCertificate]);
        }
    }
}

#[test]
fn a_hold_names_what_would_change_it() {
    let mut world = World::approvable();
    world.owners.clear();
    world.stale = Some(Stale {
        feed: Feed::Claims,
        since: None,
    });
    let expected = Verdict::Hold(vec![Wait::Feed, Wait::Name(node("worker-0"))]);
    assert_eq!(world.decide().verdict(), &expected);
    assert_eq!(world.decide().machine(), None);

    let mut world = World::approvable();
    world.claims = vec![claim("csr-9", 1, at(50))];
    let name = Wait::Name(node("worker-0"));
    let issued = Wait::Request(request_uid("csr-9"));
    let expected = Verdict::Hold(vec![name.clone(), issued, Wait::Until(at(50 + 300))]);
    assert_eq!(world.decide().verdict(), &expected);

    let mut world = World::approvable();
    world.rivals = vec![rival(61, 1)];
    let other = Wait::Request(request_uid("csr-1"));
    let expected = Verdict::Hold(vec![name.clone(), other.clone(), Wait::Until(at(61 + 240))]);
    assert_eq!(world.decide().verdict(), &expected);
    world.policy.rules.contested = Contested::Newest;
    let expected = Verdict::Hold(vec![name, other]);
    assert_eq!(world.decide().verdict(), &expected);
}

#[test]
fn an_approval_claims_the_machine_for_the_key() {
    let world = World::approvable();
    let expected = claim("csr-0", 0, world.now);
    let decision = world.decide();
    assert_eq!(
        decision.verdict(),
        &Verdict::Approve(Some(expected.clone()))
    );
    assert_eq!(
        decision.message(),
        format!(
            "Machine openshift-machine-api/m-0 is expected and owns the node name; key {}",
            expected.key
        )
    );
    assert_eq!(
        decision.machine().unwrap().to_string(),
        "openshift-machine-api/m-0"
    );
}

pub(super) const CLAIMS: &[Case] = &[
    (
        "the same key again, at once",
        |world| world.claims = vec![claim("csr-9", 0, at(61))],
        "approve",
        &[FirstCertificate],
    ),
    (
        "another key, one second too early",
        |world| world.claims = vec![claim("csr-9", 1, at(61 - 299))],
        "hold",
        &[AlreadyIssued],
    ),
    (
        "another key, just in time",
        |world| world.claims = vec![claim("csr-9", 1, at(61 - 300))],
        "approve",
        &[FirstCertificate, Reissued],
    ),
    (
        "the latest of several approvals counts, in whatever order they became known",
        |world| {
            world.claims = vec![claim("csr-9", 1, at(30)), claim("csr-8", 2, at(-600))];
        },
        "hold",
        &[AlreadyIssued],
    ),
    (
        "two of three keys issued",
        |world| {
            world.claims = vec![claim("csr-9", 1, at(-600)), claim("csr-8", 2, at(-300))];
        },
        "approve",
        &[FirstCertificate, Reissued],
    ),
    (
        "all three keys issued",
        |world| {
            world.claims = (1..=3)
                .map(|key| claim(&format!("csr-{key}"), key, at(-600)))
                .collect();
        },
        "hold",
        &[AlreadyIssued],
    ),
    (
        "another key, long after, and the holder of the first was seen",
        |world| {
            world.claims = vec![claim("csr-9", 1, at(-600))];
            world.used = Some(at(-600));
        },
        "hold",
        &[AlreadyIssued],
    ),
    (
        "another key, long after, and somebody was seen before the approval",
        |world| {
            world.claims = vec![claim("csr-9", 1, at(-600))];
            world.used = Some(at(-601));
        },
        "approve",
        &[FirstCertificate, Reissued],
    ),
    (
        "the same key, whose request is still there",
        |world| {
            world.claims = vec![claim("csr-9", 0, at(-600))];
            world.live = vec![(key_hash(0), request("csr-9", "worker-0", 0))];
        },
        "hold",
        &[AlreadyIssued],
    ),
    (
        "the same key, where only this request is there",
        |world| {
            world.claims = vec![claim("csr-0", 0, at(-600))];
            world.live = vec![(key_hash(0), world.request.clone())];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "no room for a further claim",
        |world| world.full = true,
        "hold",
        &[FactsStale],
    ),
    (
        "no room for a further claim, and no need of one",
        |world| {
            world.full = true;
            world.claims = vec![claim("csr-9", 0, at(-600))];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "all keys issued, this one among them",
        |world| {
            world.claims = (0..3)
                .map(|key| claim(&format!("csr-{key}"), key, at(-600)))
                .collect();
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a strict pool, long after",
        |world| {
            world.policy.rules.max_issues = 1;
            world.claims = vec![claim("csr-9", 1, at(-3600))];
        },
        "hold",
        &[AlreadyIssued],
    ),
    (
        "a strict pool, the same key",
        |world| {
            world.policy.rules.max_issues = 1;
            world.claims = vec![claim("csr-9", 0, at(0))];
        },
        "approve",
        &[FirstCertificate],
    ),
];

#[test]
fn a_machine_is_spent_once() {
    check(CLAIMS);
}

#[test]
fn what_no_time_can_free_is_not_waited_for() {
    let mut world = World::approvable();
    world.policy.rules.max_issues = 1;
    world.claims = vec![claim("csr-9", 1, at(0))];
    let decision = world.decide();
    let Verdict::Hold(waits) = decision.verdict() else {
        panic!("{decision:?}");
    };
    assert_eq!(waits.iter().filter_map(Wait::until).next(), None);
}
