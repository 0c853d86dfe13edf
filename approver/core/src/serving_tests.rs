//! Serving certificates: each rule on both sides of its boundary.

use Reason::*;
use rcgen::SanType;
use rollcall_csr::{ParseError, Signer};

use super::*;
use crate::fixtures::{
    Case, NAMESPACE, World, at, check_from, machine, node, registered, request_uid,
};
use crate::{Address, ExtraRange, Feed, Stale, Verdict, Wait};

fn other() -> MachineReference {
    MachineReference {
        namespace: NAMESPACE.to_owned(),
        name: "m-1".to_owned(),
    }
}

fn name(text: &str) -> ServerName {
    ServerName::read(text).unwrap()
}

fn allow(world: &mut World, pool: &str, range: &str) {
    world.policy.serving.extra_ranges.push(ExtraRange {
        pool: pool.to_owned(),
        ranges: vec![range.parse().unwrap()],
        shared: false,
    });
}

pub(crate) const SERVING: &[Case] = &[
    ("as it is", |_| {}, "approve", &[ServingCertificate]),
    (
        "key encipherment too",
        |world| world.request.usages.push("key encipherment".to_owned()),
        "approve",
        &[ServingCertificate],
    ),
    (
        "left to others",
        |world| world.policy.serving.enabled = false,
        "ignore",
        &[SignerNotServed],
    ),
    (
        "a bootstrapper",
        |world| world.request.requestor = World::approvable().request.requestor,
        "ignore",
        &[RequestorNotAllowed],
    ),
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
        "the usages of a client",
        |world| {
            world.request.usages = vec!["digital signature".to_owned(), "client auth".to_owned()];
        },
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "a usage too many",
        |world| world.request.usages.push("client auth".to_owned()),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "another organization",
        |world| {
            world.ask(|asked| {
                asked.organization = "system:masters".to_owned();
                asked.names = vec![SanType::IpAddress("10.0.0.1".parse().unwrap())];
            });
        },
        "deny",
        &[OrganizationNotNodes],
    ),
    (
        "unreadable",
        |world| world.request.content = Err(ParseError::NotPem),
        "deny",
        &[RequestMalformed],
    ),
    (
        "no name",
        |world| world.ask_for(&[], &[]),
        "deny",
        &[NamesMissing],
    ),
    (
        "an e-mail address beside the names",
        |world| {
            world.ask(|asked| {
                asked.names = vec![
                    SanType::IpAddress("10.0.0.1".parse().unwrap()),
                    SanType::Rfc822Name("a@example.com".try_into().unwrap()),
                ];
            });
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "a URI beside the names",
        |world| {
            world.ask(|asked| {
                asked.names = vec![
                    SanType::IpAddress("10.0.0.1".parse().unwrap()),
                    SanType::URI("spiffe://example.com/a".try_into().unwrap()),
                ];
            });
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "a DNS name only",
        |world| world.ask_for(&["worker-0"], &[]),
        "approve",
        &[ServingCertificate],
    ),
    (
        "an IP address only",
        |world| world.ask_for(&[], &["10.0.0.1"]),
        "approve",
        &[ServingCertificate],
    ),
    (
        "a name in capitals with a trailing dot",
        |world| world.ask_for(&["Worker-0."], &[]),
        "approve",
        &[ServingCertificate],
    ),
    (
        "every kind of address",
        |world| {
            world.bound().addresses = vec![
                Address::ExternalDns(node("a.example.com")),
                Address::Hostname(node("b.example.com")),
                Address::InternalDns(node("c.example.com")),
                Address::ExternalIp("192.0.2.1".parse().unwrap()),
                Address::InternalIp("2001:db8::1".parse().unwrap()),
                Address::Hostname(node("10.0.0.9")),
            ];
            world.ask_for(
                &["a.example.com", "b.example.com", "c.example.com"],
                &["192.0.2.1", "2001:db8:0::1", "10.0.0.9"],
            );
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a Machine that writes IPv4 as IPv6",
        |world| {
            world.bound().addresses = vec![Address::InternalIp("::ffff:10.0.0.1".parse().unwrap())];
            world.ask_for(&[], &["10.0.0.1"]);
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a DNS name that is not the Machine's",
        |world| world.ask_for(&["worker-0", "worker-1"], &["10.0.0.1"]),
        "hold",
        &[NameNotOwned],
    ),
    (
        "a name below the Machine's",
        |world| world.ask_for(&["a.worker-0"], &[]),
        "hold",
        &[NameNotOwned],
    ),
    (
        "an IP address that is not the Machine's",
        |world| world.ask_for(&["worker-0"], &["10.0.0.1", "10.0.0.2"]),
        "hold",
        &[NameNotOwned],
    ),
    (
        "an IP address in the place of a DNS name",
        |world| world.ask_for(&["10.0.0.1"], &[]),
        "hold",
        &[NameNotOwned],
    ),
    (
        "a name that no Machine can have",
        |world| world.ask_for(&["worker_0"], &[]),
        "hold",
        &[NameNotOwned],
    ),
    (
        "a Machine without addresses",
        |world| world.bound().addresses.clear(),
        "hold",
        &[NameNotOwned],
    ),
    (
        "an IP address of another Machine",
        |world| {
            world.ask_for(&[], &["10.0.0.2"]);
            world.elsewhere = vec![(name("10.0.0.2"), other())];
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "an IP address that another Machine has too",
        |world| world.elsewhere = vec![(name("10.0.0.1"), other())],
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "a DNS name that another Machine has too",
        |world| world.elsewhere = vec![(name("worker-0"), other())],
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "in a range for its pool",
        |world| {
            world.ask_for(&[], &["10.0.0.1", "10.1.0.1"]);
            allow(world, "workers", "10.1.0.0/16");
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "outside the range for its pool",
        |world| {
            world.ask_for(&[], &["10.2.0.1"]);
            allow(world, "workers", "10.1.0.0/16");
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "in a range for another pool",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            allow(world, "control-plane", "10.1.0.0/16");
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "in a range, of a Machine without a pool",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            world.bound().pool = None;
            allow(world, "workers", "10.1.0.0/16");
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "in a range for its pool, and another Machine's",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            world.elsewhere = vec![(name("10.1.0.1"), other())];
            allow(world, "workers", "10.1.0.0/16");
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "in a range for its pool, listed by its own record and by others",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            let ip = Address::InternalIp("10.1.0.1".parse().unwrap());
            world.bound().addresses.push(ip);
            world.elsewhere = vec![(name("10.1.0.1"), other())];
            allow(world, "workers", "10.1.0.0/16");
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "in a range for its pool, listed by several others, which have it in common",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            world.elsewhere = vec![(name("10.1.0.1"), other()), (name("10.1.0.1"), other())];
            allow(world, "workers", "10.1.0.0/16");
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "in a range for its pool, and another Node states it",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            world.stated = vec![(name("10.1.0.1"), node("worker-9"))];
            allow(world, "workers", "10.1.0.0/16");
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "in a range for its pool, in its record, and another Node states it",
        |world| {
            world.ask_for(&[], &["10.1.0.1"]);
            let ip = Address::InternalIp("10.1.0.1".parse().unwrap());
            world.bound().addresses.push(ip);
            world.stated = vec![(name("10.1.0.1"), node("worker-9"))];
            allow(world, "workers", "10.1.0.0/16");
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a shared address that it does not ask for",
        |world| {
            let ip = Address::InternalIp("10.0.0.9".parse().unwrap());
            world.bound().addresses.push(ip);
            world.elsewhere = vec![(name("10.0.0.9"), other())];
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "no Node",
        |world| world.node = None,
        "hold",
        &[NodeNotFound],
    ),
    (
        "a Machine that is not bound yet",
        |world| {
            world.bound.clear();
            world.owner().node_reference = None;
        },
        "hold",
        &[MachineNotBound],
    ),
    (
        "no Machine",
        |world| {
            world.bound.clear();
            world.owners.clear();
        },
        "hold",
        &[MachineNotFound],
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
        "a newer request of the same node",
        |world| {
            world.rivals = vec![Request {
                uid: request_uid("csr-1"),
                name: "csr-1".to_owned(),
                created_at: at(61),
                ..world.request.clone()
            }];
        },
        "hold",
        &[Superseded],
    ),
];

#[test]
fn a_node_serves_under_what_its_machine_has() {
    check_from(World::servable, SERVING);
}

#[test]
fn the_messages_name_what_was_asked_for_and_what_is_known() {
    let mut world = World::servable();
    world.ask_for(&["worker-0", "worker-9"], &["10.0.0.1", "10.0.0.2"]);
    world.elsewhere = vec![(name("10.0.0.2"), other())];
    assert_eq!(
        world.decide().message(),
        "Machine openshift-machine-api/m-0 does not have [10.0.0.2 (Machine openshift-machine-api/m-1), worker-9]; its status.addresses are [worker-0, 10.0.0.1]"
    );
    world.ask_for(&["worker-0"], &["10.0.0.1"]);
    world.elsewhere = vec![(name("10.0.0.1"), other())];
    assert_eq!(
        world.decide().message(),
        "Machine openshift-machine-api/m-0 shares with others: 10.0.0.1 (Machine openshift-machine-api/m-1)"
    );
}

#[test]
fn a_serving_certificate_spends_nothing_and_waits_for_its_node_name() {
    let mut world = World::servable();
    assert_eq!(world.request.signer, Signer::KubeletServing);
    assert_eq!(world.decide().verdict(), &Verdict::Approve(None));
    world.bound().addresses.clear();
    let waits = vec![Wait::Name(node("worker-0"))];
    assert_eq!(world.decide().verdict(), &Verdict::Hold(waits));
}

#[test]
fn a_long_list_of_names_is_cut() {
    let ips: Vec<String> = (0..50).map(|last| format!("10.9.0.{last}")).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let mut world = World::servable();
    world.ask_for(&[], &ips);
    let message = world.decide().message().to_owned();
    assert!(message.contains("10.9.0.9 and 40 more]"), "{message}");
}

/// The node's own name, regardless of its Machine's addresses.
const OWN_NAME: &[Case] = &[
    (
        "a Machine with an address only",
        |world| {
            world
                .bound()
                .addresses
                .retain(|one| matches!(one, Address::InternalIp(_)))
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a Machine without anything, and the name alone",
        |world| {
            world.bound().addresses.clear();
            world.ask_for(&["Worker-0."], &[]);
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a Machine without anything, and another name",
        |world| {
            world.bound().addresses.clear();
            world.ask_for(&["worker-0", "worker-9"], &[]);
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "a longer form of the name",
        |world| {
            world.bound().addresses.clear();
            world.ask_for(&["worker-0.example.com"], &[]);
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "another Machine has the name among its addresses",
        |world| {
            world.bound().addresses.clear();
            world.ask_for(&["worker-0"], &[]);
            world.elsewhere = vec![(name("worker-0"), other())];
        },
        "hold",
        &[MachineAmbiguous],
    ),
    (
        "another Machine owns the name in another way",
        |world| {
            world.bound().addresses.clear();
            world.ask_for(&["worker-0"], &[]);
            world.owners.push(machine("m-1", "worker-9"));
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "no Machine has become the Node",
        |world| {
            world.ask_for(&["worker-0"], &[]);
            world.bound.clear();
        },
        "hold",
        &[MachineNotBound],
    ),
    (
        "a name that is reserved",
        |world| {
            world.policy.serving.api_servers.insert(name("worker-0"));
            world.ask_for(&["worker-0"], &[]);
        },
        "hold",
        &[NameShared],
    ),
    (
        "a request of an earlier node of that name",
        |world| {
            world.node = Some(crate::Node {
                created_at: at(1_000),
                ..registered()
            });
            world.bound().created_at = at(900);
            world.owners = world.bound.clone();
            world.now = at(1_100);
        },
        "hold",
        &[OutsideJoinWindow],
    ),
    (
        "a request of a Node whose record was made anew since",
        |world| {
            world.node = Some(crate::Node {
                created_at: at(0),
                ..registered()
            });
            world.bound().created_at = at(900);
            world.owners = world.bound.clone();
            world.now = at(1_100);
        },
        "approve",
        &[ServingCertificate],
    ),
];

#[test]
fn a_bound_node_may_have_its_own_name_whatever_its_machine_lists() {
    check_from(World::servable, OWN_NAME);
    let mut world = World::servable();
    world.bound().addresses.clear();
    let decision = world.decide();
    let missing = "does not have [10.0.0.1]; its status.addresses are []";
    assert!(decision.message().contains(missing), "{decision:?}");
}
