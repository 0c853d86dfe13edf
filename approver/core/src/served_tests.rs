//! The second way to a serving certificate: each rule on both sides of its boundary.

use Reason::*;
use rcgen::SanType;

use super::*;
use crate::fixtures::{Case, NAMESPACE, World, at, check_from, node, reasons};
use crate::issuing_fixtures::{Issuer, Leaf};
use crate::{KubeletCa, MachineReference, Verdict};

const SOURCE: &str = "ConfigMap kube-system/ca (key ca.crt)";

thread_local! {
    static CA: Issuer = Issuer::new("kubelet-ca");
    static OTHER: Issuer = Issuer::new("other-ca");
}

fn leaf() -> Leaf {
    Leaf::serving("worker-0", &["worker-0"], &["10.0.0.1", "10.0.0.2"])
}

fn issue(leaf: &Leaf) -> Vec<Vec<u8>> {
    vec![CA.with(|ca| ca.issue(leaf))]
}

fn trust(world: &mut World, authorities: Vec<Authority>) {
    let mut ca = KubeletCa::new([SOURCE.to_owned()]);
    ca.put(SOURCE.to_owned(), authorities);
    world.kubelet_ca = Some(ca);
}

fn served(at: Timestamp, answer: Result<Vec<Vec<u8>>, &str>) -> Served {
    let address = "10.0.0.1".parse().unwrap();
    Served {
        at,
        addresses: vec![address],
        answer: answer
            .map(|certificates| Chain {
                address,
                certificates,
            })
            .map_err(str::to_owned),
    }
}

fn serve(world: &mut World, leaf: &Leaf) {
    let last = served(world.now, Ok(issue(leaf)));
    world.served = Some(Dialled::new(last, None));
}

/// The node also requests 10.0.0.2, which its Machine lacks but which it serves under now. The 18th of November.
fn servable() -> World {
    let mut world = World::servable();
    world.ask_for(&["worker-0"], &["10.0.0.1", "10.0.0.2"]);
    trust(&mut world, vec![CA.with(Issuer::authority)]);
    serve(&mut world, &leaf());
    world
}

/// Makes the node serve another certificate.
fn instead(world: &mut World, change: impl FnOnce(&mut Leaf)) {
    let mut leaf = leaf();
    change(&mut leaf);
    serve(world, &leaf);
}

pub(crate) const SERVED: &[Case] = &[
    ("as it is", |_| {}, "approve", &[ServingRenewal]),
    (
        "no CA is looked for",
        |world| world.kubelet_ca = None,
        "hold",
        &[NameNotOwned],
    ),
    (
        "no CA is found",
        |world| trust(world, vec![]),
        "hold",
        &[NameNotOwned, KubeletCaMissing],
    ),
    (
        "the CA was replaced, and both are known",
        |world| {
            let both = [OTHER.with(Issuer::authority), CA.with(Issuer::authority)];
            trust(world, both.to_vec());
        },
        "approve",
        &[ServingRenewal],
    ),
    (
        "another CA",
        |world| trust(world, vec![OTHER.with(Issuer::authority)]),
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "not dialled",
        |world| world.served = None,
        "hold",
        &[NameNotOwned],
    ),
    (
        "dialled at an address that the Machine no longer has",
        |world| {
            let ip = "10.0.0.9".parse().unwrap();
            world.bound().addresses = vec![Address::InternalIp(ip)];
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "a Machine without an IP address",
        |world| world.bound().addresses = vec![Address::Hostname(node("worker-0"))],
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
    (
        "nobody answers",
        |world| {
            let last = served(world.now, Err("10.0.0.1:10250: connection refused"));
            world.served = Some(Dialled::new(last, None));
        },
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
    (
        "another node's certificate",
        |world| {
            let other = Leaf::serving("worker-1", &["worker-0"], &["10.0.0.1", "10.0.0.2"]);
            serve(world, &other);
        },
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "another organization",
        |world| {
            let leaf = leaf().of("system:masters", "system:node:worker-0");
            serve(world, &leaf);
        },
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "a name more than it serves",
        |world| world.ask_for(&["worker-0"], &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "a name less than it serves",
        |world| world.ask_for(&["worker-0"], &["10.0.0.2"]),
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "the same names, written in another way and order",
        |world| {
            instead(world, |leaf| {
                leaf.params.subject_alt_names = vec![
                    SanType::IpAddress("10.0.0.2".parse().unwrap()),
                    SanType::IpAddress("10.0.0.1".parse().unwrap()),
                    SanType::DnsName("Worker-0.".try_into().unwrap()),
                ];
            });
        },
        "approve",
        &[ServingRenewal],
    ),
    (
        "a client certificate",
        |world| {
            instead(world, |leaf| {
                leaf.params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            });
        },
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "an expired certificate",
        |world| {
            instead(world, |leaf| {
                leaf.params.not_after = rcgen::date_time_ymd(2026, 11, 17);
            });
        },
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "what nobody asked for has no effect on what the Machine vouches for",
        |world| {
            world.ask_for(&["worker-0"], &["10.0.0.1"]);
            world.served = None;
        },
        "approve",
        &[ServingCertificate],
    ),
    (
        "a Machine that is being deleted",
        |world| world.bound().deleting = true,
        "hold",
        &[MachineDeleting, NameNotOwned],
    ),
    (
        "a name that another Machine has too",
        |world| {
            let other = MachineReference {
                namespace: NAMESPACE.to_owned(),
                name: "m-1".to_owned(),
            };
            let name = ServerName::read("10.0.0.2").unwrap();
            world.elsewhere = vec![(name, other)];
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "the name of an API server",
        |world| {
            let name = ServerName::read("10.0.0.2").unwrap();
            world.policy.serving.api_servers.insert(name);
        },
        "hold",
        &[NameShared],
    ),
];

#[test]
fn the_names_that_a_node_serves_now_it_may_have_again() {
    check_from(servable, SERVED);
}

/// The dial that a world waits for, if any.
fn dial(world: &World) -> Option<Dial> {
    world.decide().dial().cloned()
}

#[test]
fn a_node_is_dialled_only_where_that_could_help() {
    let wanted = Dial {
        node: node("worker-0"),
        addresses: vec!["10.0.0.1".parse().unwrap()],
    };
    let asks = |change: fn(&mut World)| {
        let mut world = servable();
        world.served = None;
        change(&mut world);
        dial(&world)
    };
    assert_eq!(asks(|_| {}), Some(wanted));
    assert_eq!(asks(|world| trust(world, vec![])), None);
    assert_eq!(asks(|world| world.kubelet_ca = None), None);
    assert_eq!(asks(|world| world.bound().deleting = true), None);
    assert_eq!(asks(|world| world.node = None), None);
    assert_eq!(asks(|world| world.ask_for(&["worker-0"], &[])), None);
    assert_eq!(asks(|world| world.ask_for(&["10.0.0.2"], &[])), None);
    let mut fits = servable();
    assert_eq!(dial(&fits), None);
    instead(&mut fits, |leaf| leaf.params.subject_alt_names.clear());
    assert_eq!(dial(&fits), None, "it serves something else, and was asked");
}

#[test]
fn what_a_node_served_a_minute_ago_is_asked_again_and_counts_no_more() {
    let mut world = servable();
    let then = world.now;
    for (seconds, verdict) in [(60, "approve"), (61, "hold"), (-61, "hold")] {
        world.now = then
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap();
        let decision = world.decide();
        assert_eq!(decision.verdict().as_str(), verdict, "{seconds}");
        assert_eq!(decision.dial().is_some(), verdict == "hold", "{seconds}");
    }
}

#[test]
fn a_node_that_does_not_answer_is_dialled_less_and_less_often() {
    let mut world = servable();
    let mut known: Option<Dialled> = None;
    for pause in [30, 60, 120, 240, 480, 600, 600] {
        let last = served(world.now, Err("no answer for 3 s"));
        known = Some(Dialled::new(last, known.as_ref()));
        world.served.clone_from(&known);
        let end = world
            .now
            .checked_add(SignedDuration::from_secs(pause))
            .unwrap();
        let decision = world.decide();
        let Verdict::Hold(waits) = decision.verdict() else {
            panic!("{decision:?}");
        };
        assert!(waits.contains(&Wait::Until(end)), "{pause}: {waits:?}");
        assert_eq!(decision.dial(), None);
        world.now = end;
        let decision = world.decide();
        assert!(decision.dial().is_some());
        assert_eq!(reasons(&decision), [NameNotOwned, ServingUnreachable]);
    }
    // A successful dial resets the pause.
    known = Some(Dialled::new(served(world.now, Ok(vec![])), known.as_ref()));
    let again = Dialled::new(served(at(0), Err("no answer")), known.as_ref());
    assert_eq!(again.pause_ends(), Some(at(30)));
}

#[test]
fn messages_say_what_was_seen() {
    let message = |change: fn(&mut World)| {
        let mut world = servable();
        change(&mut world);
        world.decide().explanation()
    };
    type Said = (fn(&mut World), &'static str);
    let cases: [Said; 5] = [
        (
            |world| trust(world, vec![]),
            "there is no CA certificate in ConfigMap kube-system/ca (key ca.crt)",
        ),
        (
            |world| world.ask_for(&["worker-0"], &["10.0.0.3"]),
            "is for other names than the request: [worker-0, 10.0.0.1, 10.0.0.2]",
        ),
        (
            |world| trust(world, vec![OTHER.with(Issuer::authority)]),
            "what the node serves at 10.0.0.1 now was issued by none of the authorities",
        ),
        (
            |world| world.served = Some(Dialled::new(served(at(0), Err("refused")), None)),
            "could not be asked what it serves now: refused",
        ),
        (
            |_| {},
            "for exactly these names at 10.0.0.1, which Machine openshift-machine-api/m-0 vouches for",
        ),
    ];
    for (change, words) in cases {
        let message = message(change);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn only_addresses_of_the_machine_itself_are_dialled() {
    let mut world = servable();
    let machine = world.bound();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    machine.addresses = vec![
        Address::Hostname(node("10.9.9.9")),
        Address::InternalIp(ip("127.0.0.1")),
        Address::InternalIp(ip("::1")),
        Address::InternalIp(ip("::ffff:127.0.0.1")),
        Address::InternalIp(ip("0.0.0.0")),
        Address::InternalIp(ip("224.0.0.1")),
        Address::InternalIp(ip("169.254.0.7")),
        Address::InternalIp(ip("fe80::1")),
        Address::ExternalIp(ip("169.254.169.254")),
        Address::InternalIp(ip("64:ff9b::a9fe:a9fe")),
        Address::InternalIp(ip("172.17.0.1")),
        Address::InternalIp(ip("::10.0.0.9")),
        // Addresses of the API server and Services, and of this machine's own API server.
        Address::InternalIp(ip("192.0.2.100")),
        Address::InternalIp(ip("10.96.0.10")),
        Address::InternalIp(ip("192.0.2.11")),
        Address::ExternalIp(ip("192.0.2.1")),
        Address::InternalIp(ip("::ffff:10.0.0.1")),
        Address::InternalIp(ip("10.0.0.1")),
    ];
    let machine = machine.clone();
    let mut known = KnownAddresses::default();
    let said = crate::ClusterAddresses {
        endpoints: [ip("192.0.2.11")].into(),
        services: vec!["10.96.0.0/12".parse().unwrap()],
        ..crate::ClusterAddresses::default()
    };
    known.put("a test".to_owned(), vec![said]);
    let mut serving = ServingPolicy::default();
    let names = ["192.0.2.100", "192.0.2.11"].map(|text| ServerName::read(text).unwrap());
    serving.api_servers.extend(names);
    assert_eq!(
        dial_addresses(&machine, Some(&known), &serving),
        [ip("192.0.2.11"), ip("192.0.2.1"), ip("10.0.0.1")]
    );
}

/// A node that requests its current serving names, and whose Machine has no address: its record was created for it.
fn adopted() -> World {
    let mut world = servable();
    world.bound().addresses = vec![Address::Hostname(node("worker-0"))];
    world.bound().adopted_node = Some("n-0".to_owned());
    world.policy.serving.renew_without_addresses = RenewWithoutAddresses::Adopted;
    let last = Served {
        addresses: vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()],
        ..served(world.now, Ok(issue(&leaf())))
    };
    world.served = Some(Dialled::new(last, None));
    world
}

/// Addresses that only the node itself vouches for.
const UNVOUCHED: &[Case] = &[
    ("as it is", |_| {}, "approve", &[ServingRenewal]),
    (
        "by default nobody is dialled at addresses that only the node states",
        |world| world.policy = Policy::default(),
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
    (
        "a record that was not made for the Node",
        |world| world.bound().adopted_node = None,
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
    (
        "a record that was made for an earlier Node of that name",
        |world| world.bound().adopted_node = Some("n-1".to_owned()),
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
    (
        "such a record, where all count",
        |world| {
            world.bound().adopted_node = None;
            world.policy.serving.renew_without_addresses = RenewWithoutAddresses::All;
        },
        "approve",
        &[ServingRenewal],
    ),
    (
        "a Machine with an address is dialled there and nowhere else",
        |world| {
            let ip = "10.0.0.9".parse().unwrap();
            world.bound().addresses.push(Address::InternalIp(ip));
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "an address that another Machine has",
        |world| {
            let other = MachineReference {
                namespace: NAMESPACE.to_owned(),
                name: "m-1".to_owned(),
            };
            world.elsewhere = vec![(ServerName::read("10.0.0.2").unwrap(), other)];
        },
        "hold",
        &[NameNotOwned],
    ),
    (
        "the address of an API server",
        |world| {
            let name = ServerName::read("10.0.0.2").unwrap();
            world.policy.serving.api_servers.insert(name);
        },
        "hold",
        &[NameShared, NameNotOwned],
    ),
    (
        "a name more than it serves",
        |world| world.ask_for(&["worker-0", "more"], &["10.0.0.1", "10.0.0.2"]),
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "another authority",
        |world| trust(world, vec![OTHER.with(Issuer::authority)]),
        "hold",
        &[NameNotOwned, ServingMismatch],
    ),
    (
        "names alone say nowhere to dial",
        |world| world.ask_for(&["worker-0", "more"], &[]),
        "hold",
        &[NameNotOwned, ServingUnreachable],
    ),
];

#[test]
fn a_node_without_addresses_has_again_what_it_serves_where_a_setting_says_so() {
    check_from(adopted, UNVOUCHED);
    let said = adopted().decide().explanation();
    let words = "at 10.0.0.1, which Machine openshift-machine-api/m-0 has no address for";
    assert!(said.contains(words), "{said}");
}

#[test]
fn of_what_a_node_asks_for_only_addresses_of_one_machine_are_dialled() {
    let mut world = adopted();
    world.served = None;
    let many: Vec<String> = (1..20).map(|number| format!("10.0.1.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let odd = ["169.254.169.254", "fe80::1", "2001:db8::1", "10.0.0.1"];
    for (ips, expected) in [
        (&odd[..], &["10.0.0.1", "2001:db8::1"][..]),
        (&many, many.get(..8).unwrap()),
    ] {
        world.ask_for(&["worker-0"], ips);
        let expected: Vec<IpAddr> = expected.iter().map(|ip| ip.parse().unwrap()).collect();
        match dial(&world) {
            Some(dial) => assert_eq!(dial.addresses, expected),
            // An address that no machine may have is never dialled.
            None => assert!(ips.contains(&"169.254.169.254"), "{ips:?}"),
        }
    }
}
