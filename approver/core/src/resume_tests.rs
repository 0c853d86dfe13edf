//! A node that returns: the required evidence, and the facts that prevent approval.

use Reason::*;

use super::*;
use crate::evidence_fixtures::{Holder, binding, show};
use jiff::SignedDuration;
use rcgen::PublicKeyData as _;
use rollcall_csr::KeyHash;

use crate::fixtures::{
    NAMESPACE, World, at, claim, key_hash, machine, node, reasons, registered, request,
};
use crate::issuing_fixtures::{Leaf, midnight};
use crate::{MachineReference, Node, RequestUid, Stale, Standing, Verdict, Wait};

/// A change of the world of a holder, and the result.
pub(crate) type Case = (
    &'static str,
    fn(&mut World, &Holder),
    &'static str,
    &'static [Reason],
);

fn check(cases: &[Case]) {
    for (label, change, verdict, expected) in cases {
        let (mut world, holder) = World::resumable();
        change(&mut world, &holder);
        let decision = world.decide();
        let seen = (decision.verdict().as_str(), reasons(&decision));
        assert_eq!(seen, (*verdict, expected.to_vec()), "{label}: {decision:?}");
    }
}

/// The request of the world, with the certificate of another holder from the same issuer.
fn show_other(world: &mut World, leaf: &Leaf) {
    let other = Holder::of(leaf);
    world.kubelet_ca = Some(other.ca());
    let statement = other.previous(&world.request);
    show(&mut world.request, 0, vec![statement]);
}

pub(crate) const PROOFS: &[Case] = &[
    ("all is well", |_, _| {}, "approve", &[Resume]),
    (
        "the Node was deleted meanwhile",
        |world, _| world.node = None,
        "approve",
        &[Resume],
    ),
    (
        "the certificate still holds",
        |world, _| world.at(midnight(15)),
        "approve",
        &[Resume],
    ),
    (
        "nothing is shown",
        |world, _| {
            world.request = World {
                now: world.now,
                ..World::approvable()
            }
            .request
        },
        "hold",
        &[NodeExists, MachineBound, OutsideJoinWindow],
    ),
    (
        "made for another request",
        |world, holder| {
            let other = request("csr-1", "worker-0", 1);
            let statement = holder.previous(&other);
            show(&mut world.request, 0, vec![statement]);
        },
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "made for another node",
        |world, holder| {
            let mut binding = binding(&world.request, world_cluster(holder));
            binding.node = node("worker-1");
            let statement = holder.previous_for(&binding);
            show(&mut world.request, 0, vec![statement]);
        },
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "made for another cluster",
        |world, _| {
            let holder = Holder::new().elsewhere();
            world.kubelet_ca = Some(holder.ca());
            let statement = holder.previous(&world.request);
            show(&mut world.request, 0, vec![statement]);
        },
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a certificate of another node",
        |world, _| show_other(world, &Leaf::client("worker-1")),
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a certificate of an administrator",
        |world, _| {
            let leaf = Leaf::client("worker-0").of("system:masters", "system:node:worker-0");
            show_other(world, &leaf);
        },
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a serving certificate",
        |world, _| show_other(world, &Leaf::serving("worker-0", &["worker-0"], &[])),
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a certificate by another authority of the same name",
        |world, _| world.kubelet_ca = Some(Holder::new().ca()),
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "no authority is known",
        |world, _| world.kubelet_ca = None,
        "hold",
        &[KubeletCaMissing],
    ),
    (
        "the certificate of an earlier machine of that name",
        |world, _| world.bound().created_at = midnight(11),
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a record made anew since, of the Node's own instance",
        |world, _| make_anew(world, "aws://eu-west-1/i-0123456789abcdef0"),
        "approve",
        &[Resume],
    ),
    (
        "a record made anew since, of another instance",
        |world, _| make_anew(world, "aws:///eu-west-1a/i-0123456789abcdef1"),
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a certificate of before the Node of that instance",
        |world, _| {
            make_anew(world, "aws:///eu-west-1a/i-0123456789abcdef0");
            world.node.as_mut().unwrap().created_at = midnight(11);
        },
        "hold",
        &[EvidenceInvalid],
    ),
    (
        "a join key is pinned and not proven",
        |world, _| world.bound().join_key = Some(Holder::new().pinned()),
        "hold",
        &[EvidenceMissing],
    ),
    (
        "a join key is pinned and proven too",
        |world, holder| {
            world.bound().join_key = Some(holder.pinned());
            let statements = vec![
                holder.join_key(&world.request),
                holder.previous(&world.request),
            ];
            show(&mut world.request, 0, statements);
        },
        "approve",
        &[Resume],
    ),
    (
        "a key that is pinned is no certificate",
        |world, holder| {
            world.bound().join_key = Some(holder.pinned());
            let statements = vec![holder.join_key(&world.request)];
            show(&mut world.request, 0, statements);
        },
        "hold",
        &[NodeExists, MachineBound, OutsideJoinWindow],
    ),
];

fn world_cluster(holder: &Holder) -> rollcall_csr::ClusterId {
    rollcall_csr::ClusterId::of_ca(&holder.issuer.der())
}

/// Recreates the record after the certificate was issued, while its Node, of this instance, stays.
fn make_anew(world: &mut World, instance: &str) {
    world.bound().created_at = midnight(11);
    world.node = Some(Node {
        created_at: midnight(9),
        provider_id: Some(instance.to_owned()),
        ..registered()
    });
}

#[test]
fn whoever_comes_back_proves_that_it_is_the_machine() {
    check(PROOFS);
}

const FACTS: &[Case] = &[
    (
        "the Machine is being deleted",
        |world, _| world.bound().deleting = true,
        "hold",
        &[MachineDeleting],
    ),
    (
        "the Machine has failed",
        |world, _| world.bound().failed = true,
        "hold",
        &[MachineFailed],
    ),
    (
        "the Machine is gone",
        |world, _| {
            world.bound.clear();
            world.owners.clear();
        },
        "hold",
        &[MachineNotFound],
    ),
    (
        "the Machine has not become the Node that is there",
        |world, _| world.bound.clear(),
        "hold",
        &[MachineNotBound],
    ),
    (
        "two Machines",
        |world, _| {
            let mut other = machine("m-1", "worker-0");
            other.node_reference = Some(node("worker-0"));
            world.bound.push(other);
        },
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "facts are stale",
        |world, _| {
            world.stale = Some(Stale {
                feed: crate::Feed::Nodes,
                since: Some(at(0)),
            });
        },
        "hold",
        &[FactsStale],
    ),
    (
        "a usage too many",
        |world, _| world.request.usages.push("server auth".to_owned()),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "no bootstrapper",
        |world, _| world.request.requestor.username = "mallory".to_owned(),
        "ignore",
        &[RequestorNotAllowed],
    ),
];

#[test]
fn what_stands_in_the_way_of_any_known_node_does_here() {
    check(FACTS);
}

/// A later request for the same node with this content.
fn rival(world: &World, show_it: impl FnOnce(&mut Request)) -> Request {
    let mut rival = Request {
        uid: RequestUid("csr-1".to_owned()),
        name: "csr-1".to_owned(),
        content: request("csr-1", "worker-0", 1).content,
        created_at: world.now,
        ..world.request.clone()
    };
    show_it(&mut rival);
    rival
}

#[test]
fn the_newest_that_proves_it_wins_and_no_other_stands_in_its_way() {
    let (mut world, holder) = World::resumable();
    world.rivals = vec![rival(&world, |_| {})];
    assert_eq!(world.decide().reason(), Resume, "one that shows nothing");

    let copied = holder.previous(&world.request);
    world.rivals = vec![rival(&world, |rival| show(rival, 1, vec![copied]))];
    assert_eq!(world.decide().reason(), Resume, "one that shows a copy");

    let own = rival(&world, |rival| {
        let statement = holder.previous(rival);
        show(rival, 1, vec![statement]);
    });
    world.rivals = vec![own.clone()];
    let decision = world.decide();
    assert_eq!(reasons(&decision), [Superseded]);
    let Verdict::Hold(waits) = decision.verdict() else {
        panic!("{decision:?}");
    };
    assert!(waits.contains(&Wait::Request(own.uid.clone())), "{waits:?}");

    world.rivals = vec![Request {
        standing: Standing::Closed,
        ..own
    }];
    assert_eq!(world.decide().reason(), Resume, "one that was denied");
}

#[test]
fn a_resume_counts_and_names_machine_and_key() {
    let (world, _) = World::resumable();
    let decision = world.decide();
    let claim = claim("csr-0", 0, world.now);
    assert_eq!(*decision.verdict(), Verdict::Approve(Some(claim)));
    let reference = MachineReference {
        namespace: NAMESPACE.to_owned(),
        name: "m-0".to_owned(),
    };
    assert_eq!(decision.machine(), Some(&reference));
    let words = [reference.to_string(), key_hash(0).to_string()];
    assert!(words.iter().all(|word| decision.message().contains(word)));
}

/// A name, a change of the world that approves, and the resulting reasons.
type LimitCase = (&'static str, fn(&mut World, KeyHash), &'static [Reason]);

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_resume_has_limits() {
    let shown = |holder: &Holder| KeyHash::of_spki(&holder.key.subject_public_key_info());
    let cases: &[LimitCase] = &[
        (
            "switched off",
            |world, _| world.policy.resume.enabled = false,
            &[NodeExists, MachineBound, OutsideJoinWindow],
        ),
        (
            "the Node is Ready",
            |world, _| world.node.as_mut().unwrap().ready = true,
            &[NodeExists],
        ),
        (
            "expired just in time",
            |world, _| world.policy.resume.max_expired = SignedDuration::from_hours(5 * 24),
            &[Resume],
        ),
        (
            "expired too long ago",
            |world, _| world.policy.resume.max_expired = SignedDuration::from_hours(5 * 24 - 1),
            &[EvidenceInvalid],
        ),
        (
            "another key was approved later",
            |world, _| world.latest = Some((midnight(19), key_hash(3))),
            &[EvidenceInvalid],
        ),
        (
            "another key was approved before",
            |world, _| world.latest = Some((midnight(9), key_hash(3))),
            &[Resume],
        ),
        (
            "the shown key was approved later",
            |world, key| world.latest = Some((midnight(19), key)),
            &[Resume],
        ),
        (
            "this key was approved later",
            |world, _| world.latest = Some((midnight(19), key_hash(0))),
            &[Resume],
        ),
        (
            "three keys in a month",
            |world, _| {
                world.claims = (1..=3)
                    .map(|key| claim(&format!("csr-{key}"), key, midnight(20)))
                    .collect()
            },
            &[AlreadyIssued],
        ),
        (
            "three keys, this one among them",
            |world, _| {
                world.claims = (0..=2)
                    .map(|key| claim(&format!("csr-{key}"), key, midnight(20)))
                    .collect()
            },
            &[Resume],
        ),
        (
            "three keys of another Machine",
            |world, _| {
                world.claims = (1..=3)
                    .map(|key| claim(&format!("csr-{key}"), key, midnight(20)))
                    .collect();
                for claim in &mut world.claims {
                    claim.machine.0.push('x');
                }
            },
            &[Resume],
        ),
    ];
    for (label, change, expected) in cases {
        let (mut world, holder) = World::resumable();
        change(&mut world, shown(&holder));
        assert_eq!(
            reasons(&world.decide()),
            *expected,
            "{label}: {:?}",
            world.decide()
        );
    }
}

#[test]
fn a_proof_that_is_worth_nothing_says_why() {
    let (mut world, _) = World::resumable();
    world.bound().created_at = midnight(11);
    let message = world.decide().explanation();
    assert!(
        message.contains("to an earlier machine of that name"),
        "{message}"
    );
}
