//! A node that renews its client certificate: each rule on both sides of its boundary.

use Reason::*;
use rcgen::SanType;

use super::*;
use crate::fixtures::{Case, World, at, check_from, claim, machine, node, request};
use crate::{DenyClass, Feed, RequestorRule, Stale, Standing, Verdict, Wait};

fn bound_to(name: &str, node_name: &str) -> crate::Machine {
    let mut record = machine(name, node_name);
    record.node_reference = Some(node(node_name));
    record
}

pub(crate) const RENEWAL: &[Case] = &[
    ("as it is", |_| {}, "approve", &[Renewal]),
    (
        "a user name without the group",
        |world| world.request.requestor.groups.clear(),
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "another node",
        |world| world.request.requestor.username = "system:node:worker-1".to_owned(),
        "deny",
        &[RequestorNotSubject],
    ),
    (
        "another node, where this class is not denied",
        |world| {
            world.policy.deny = vec![DenyClass::Malformed];
            world.request.requestor.username = "system:node:worker-1".to_owned();
        },
        "hold",
        &[RequestorNotSubject],
    ),
    (
        "another node that a rule takes for a bootstrapper",
        |world| {
            world.policy.bootstrappers = vec![RequestorRule::group("system:nodes")];
            world.request.requestor.username = "system:node:worker-1".to_owned();
        },
        "deny",
        &[RequestorNotSubject],
    ),
    (
        "a usage too many",
        |world| world.request.usages.push("server auth".to_owned()),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "names",
        |world| {
            world.ask(|asked| asked.names = vec![SanType::DnsName("worker-0".try_into().unwrap())]);
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "another organization",
        |world| world.ask(|asked| asked.organization = "system:masters".to_owned()),
        "deny",
        &[OrganizationNotNodes],
    ),
    (
        "no Node",
        |world| world.node = None,
        "hold",
        &[NodeNotFound],
    ),
    (
        "no Machine",
        |world| {
            world.owners.clear();
            world.bound.clear();
        },
        "hold",
        &[MachineNotFound],
    ),
    (
        "a Machine that owns the name and has no Node yet",
        |world| {
            world.owners = vec![machine("m-0", "worker-0")];
            world.bound.clear();
        },
        "hold",
        &[MachineNotBound],
    ),
    (
        "a Machine that owns the name and has become another Node",
        |world| {
            world.owner().node_reference = Some(node("worker-9"));
            world.bound.clear();
        },
        "hold",
        &[MachineNotBound],
    ),
    (
        "two Machines have become the Node",
        |world| world.bound.push(bound_to("m-1", "worker-0")),
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "another Machine that only has the address",
        |world| world.owners.push(machine("m-1", "worker-0")),
        "approve",
        &[Renewal],
    ),
    (
        "a Machine without any address",
        |world| world.bound().addresses.clear(),
        "approve",
        &[Renewal],
    ),
    (
        "deleting",
        |world| world.bound().deleting = true,
        "hold",
        &[MachineDeleting],
    ),
    (
        "failed",
        |world| world.bound().failed = true,
        "hold",
        &[MachineFailed],
    ),
    (
        "stale",
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
        "long after the join window, and the Machine is spent for other keys",
        |world| {
            world.request.created_at = at(1_000_000);
            world.now = at(1_000_001);
            world.claims = vec![claim("csr-7", 1, at(60)), claim("csr-8", 2, at(61))];
        },
        "approve",
        &[Renewal],
    ),
    (
        "a newer renewal of the same node",
        |world| world.rivals = vec![rival(61, |_| {})],
        "hold",
        &[Superseded],
    ),
    (
        "an older renewal of the same node",
        |world| world.rivals = vec![rival(59, |_| {})],
        "approve",
        &[Renewal],
    ),
    (
        "a newer renewal that no kubelet makes",
        |world| world.rivals = vec![rival(61, |rival| rival.usages.clear())],
        "approve",
        &[Renewal],
    ),
    (
        "a newer renewal that was decided",
        |world| world.rivals = vec![rival(61, |rival| rival.standing = Standing::Closed)],
        "approve",
        &[Renewal],
    ),
    (
        "a newer request of a bootstrapper",
        |world| {
            world.rivals = vec![Request {
                created_at: at(61),
                ..request("csr-1", "worker-0", 1)
            }];
        },
        "approve",
        &[Renewal],
    ),
];

fn rival(made: i64, change: fn(&mut Request)) -> Request {
    let mut rival = Request {
        name: "csr-1".to_owned(),
        uid: crate::fixtures::request_uid("csr-1"),
        created_at: at(made),
        ..World::renewable().request
    };
    change(&mut rival);
    rival
}

#[test]
fn a_node_on_the_roll_renews_its_own_certificate() {
    check_from(World::renewable, RENEWAL);
}

#[test]
fn a_renewal_spends_nothing() {
    let decision = World::renewable().decide();
    assert_eq!(decision.verdict(), &Verdict::Approve(None));
}

#[test]
fn a_held_renewal_waits_for_its_name_and_for_a_lost_watch() {
    let mut world = World::renewable();
    world.node = None;
    let name = Wait::Name(node("worker-0"));
    assert_eq!(world.decide().verdict(), &Verdict::Hold(vec![name.clone()]));
    world.stale = Some(Stale {
        feed: Feed::Nodes,
        since: None,
    });
    let waits = vec![Wait::Feed, name];
    assert_eq!(world.decide().verdict(), &Verdict::Hold(waits));
}

#[test]
fn a_renewal_does_not_stand_in_the_way_of_a_first_certificate() {
    let mut world = World::approvable();
    world.rivals = vec![rival(61, |_| {})];
    assert_eq!(world.decide().reason(), FirstCertificate);
    world
        .policy
        .bootstrappers
        .push(RequestorRule::group("system:nodes"));
    assert_eq!(world.decide().reason(), FirstCertificate);
}

#[test]
fn the_message_names_the_machine_that_is_not_bound() {
    let mut world = World::renewable();
    world.bound.clear();
    world.owner().node_reference = None;
    assert_eq!(
        world.decide().message(),
        "no Machine has become Node worker-0 (status.nodeRef); of those that own the name, openshift-machine-api/m-0 has no Node yet"
    );
}
