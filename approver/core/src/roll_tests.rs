//! The owners of a node name, and the names that a change affects.

use super::*;
use crate::fixtures::{machine, node};
use crate::{Address, MachineReference, NameStrategy, Source, Vouching};

fn roll() -> Roll {
    Roll::new(BTreeMap::new())
}

fn names(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|name| node(name)).collect()
}

fn owners(roll: &Roll, name: &str) -> Vec<String> {
    roll.owners(&node(name))
        .into_iter()
        .map(|machine| machine.reference.name.clone())
        .collect()
}

#[test]
fn a_machine_owns_its_addresses_and_the_node_it_became() {
    let mut roll = roll();
    let mut record = machine("m-0", "worker-0.example.com");
    record.addresses.extend([
        Address::Hostname(node("worker-0")),
        Address::ExternalDns(node("worker-0.example.net")),
        Address::InternalIp("10.0.0.1".parse().unwrap()),
        Address::ExternalIp("192.0.2.1".parse().unwrap()),
    ]);
    record.node_reference = Some(node("node-0"));
    let owned = names(&["node-0", "worker-0", "worker-0.example.com"]);
    assert_eq!(roll.insert(record), owned);
    for name in &owned {
        assert_eq!(owners(&roll, name.as_str()), ["m-0"], "{name}");
    }
    // External names, and the name of the record itself, are not the node's name.
    assert!(owners(&roll, "worker-0.example.net").is_empty());
    assert!(owners(&roll, "m-0").is_empty());
}

#[test]
fn names_compare_as_dns_does() {
    let mut roll = roll();
    let mut record = machine("m-0", "other");
    record.addresses = vec![Address::InternalDns(
        NodeName::from_dns_name("Worker-0.Example.COM.").unwrap(),
    )];
    roll.insert(record);
    assert_eq!(owners(&roll, "worker-0.example.com"), ["m-0"]);
}

#[test]
fn a_policy_may_take_the_machine_s_own_name() {
    let naming = Naming {
        strategies: vec![NameStrategy::MachineName],
        templates: Vec::new(),
        guess: None,
    };
    let scope = Scope::new(Source::OpenShift, "");
    let mut roll = Roll::new(BTreeMap::from([(scope, naming)]));
    assert_eq!(roll.insert(machine("m-0", "worker-0")), names(&["m-0"]));
    let unusable = Machine {
        reference: MachineReference {
            namespace: String::new(),
            name: "Not a node".to_owned(),
        },
        ..machine("m-1", "worker-1")
    };
    assert_eq!(roll.insert(unusable), names(&[]));
    assert!(owners(&roll, "worker-0").is_empty());
}

#[test]
fn a_change_touches_old_and_new_names_and_no_change_none() {
    let mut roll = roll();
    roll.insert(machine("m-0", "worker-0"));
    assert_eq!(roll.insert(machine("m-0", "worker-0")), names(&[]));
    let touched = roll.insert(machine("m-0", "worker-1"));
    assert_eq!(touched, names(&["worker-0", "worker-1"]));
    assert!(owners(&roll, "worker-0").is_empty());
    // Another fact of the same Machine still affects its name.
    let deleting = Machine {
        deleting: true,
        ..machine("m-0", "worker-1")
    };
    assert_eq!(roll.insert(deleting), names(&["worker-1"]));
    assert_eq!(roll.len(), 1);
}

#[test]
fn a_name_with_two_owners_keeps_the_one_that_stays() {
    let mut roll = roll();
    roll.insert(machine("m-0", "worker-0"));
    roll.insert(machine("m-1", "worker-0"));
    assert_eq!(owners(&roll, "worker-0"), ["m-0", "m-1"]);
    let gone = roll.remove(&MachineUid("m-0".to_owned()));
    assert_eq!(gone, names(&["worker-0"]));
    assert_eq!(owners(&roll, "worker-0"), ["m-1"]);
    assert_eq!(
        roll.remove(&MachineUid("m-1".to_owned())),
        names(&["worker-0"])
    );
    assert!(roll.is_empty());
    assert_eq!(roll.remove(&MachineUid("m-1".to_owned())), names(&[]));
}

/// A record of another source, with another instance or an unknown one.
fn other(source: Source, uid: &str, internal_dns: &str, id: Option<&str>) -> Machine {
    Machine {
        source,
        provider_id: id.map(str::to_owned),
        ..machine(uid, internal_dns)
    }
}

/// A second Machine of the first one's source, with another instance.
fn twin(change: impl FnOnce(&mut Machine)) -> Machine {
    let mut twin = other(
        Source::OpenShift,
        "m-1",
        "worker-0",
        Some("aws:///eu-west-1a/i-1"),
    );
    change(&mut twin);
    twin
}

/// The contenders for `worker-0`, with the existing Nodes `worker-0` and `lives`.
fn contenders(records: &[Machine]) -> Vec<String> {
    let mut roll = roll();
    for record in records {
        roll.insert(record.clone());
    }
    let lives = |name: &NodeName| ["lives", "worker-0"].contains(&name.as_str());
    let contenders = roll
        .contenders(&node("worker-0"), &Vouching::Any, lives)
        .into_iter();
    contenders
        .map(|machine| machine.reference.name.clone())
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_gets_nothing_contests_nothing_and_what_could_be_approved_does() {
    let became = |name: &str| Some(node(name));
    let cases: [(&str, Machine, &[&str]); 9] = [
        ("as good", twin(|_| ()), &["m-0", "m-1"]),
        ("failed", twin(|twin| twin.failed = true), &["m-0"]),
        ("deleting", twin(|twin| twin.deleting = true), &["m-0"]),
        (
            "remediated",
            twin(|twin| twin.remediation = Some("a check".to_owned())),
            &["m-0"],
        ),
        (
            "another Node that lives",
            twin(|twin| twin.node_reference = became("lives")),
            &["m-0"],
        ),
        (
            "another Node that is gone",
            twin(|twin| twin.node_reference = became("gone")),
            &["m-0", "m-1"],
        ),
        (
            "the very Node",
            twin(|twin| twin.node_reference = became("worker-0")),
            &["m-0", "m-1"],
        ),
        (
            "failed, and it was the very Node",
            twin(|twin| {
                twin.failed = true;
                twin.node_reference = became("worker-0");
            }),
            &["m-0"],
        ),
        (
            "past its time, as it may be late",
            twin(|twin| twin.join_by = Some(crate::fixtures::at(0))),
            &["m-0", "m-1"],
        ),
    ];
    for (about, twin, expected) in cases {
        let first = machine("m-0", "worker-0");
        assert_eq!(contenders(&[first, twin]), expected, "{about}");
    }
    // If none would be left, all are returned.
    let failed = |name: &str| Machine {
        failed: true,
        ..machine(name, "worker-0")
    };
    assert_eq!(contenders(&[failed("m-0"), failed("m-1")]), ["m-0", "m-1"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn records_of_two_sources_are_of_one_machine_only_where_something_but_their_name_shows_it() {
    const HOST: &str =
        "baremetalhost:///openshift-machine-api/h-0/a2b7c8d9-1111-4222-8333-444455556666";
    let mapi = |id: &str| other(Source::OpenShift, "w-0", "worker-0", Some(id));
    let capi = |namespace: &str, id: Option<&str>| {
        let mut record = other(Source::ClusterApi, "w-0", "worker-0", id);
        record.uid = MachineUid("c-0".to_owned());
        record.reference.namespace = namespace.to_owned();
        record
    };
    let expected = |id: Option<&str>| {
        let mut record = other(Source::ExpectedMachine, "e-0", "worker-0", id);
        record.addresses = vec![Address::Hostname(node("worker-0"))];
        record
    };
    let at = |mut record: Machine, ip: &str| {
        record
            .addresses
            .push(Address::InternalIp(ip.parse().unwrap()));
        record
    };
    let called = |mut record: Machine| {
        record.addresses.clear();
        record
    };
    let cases: [(&str, Machine, Machine, bool); 12] = [
        (
            "ids in two forms",
            mapi("aws:///a/i-0"),
            capi("fleet", Some("aws://b/i-0")),
            true,
        ),
        (
            "two ids",
            mapi("aws:///a/i-0"),
            capi("openshift-cluster-api", Some("aws:///a/i-1")),
            false,
        ),
        (
            "OpenShift's mirror, whose id has another form",
            mapi(HOST),
            capi(
                "openshift-cluster-api",
                Some("metal3://openshift-cluster-api/h-0/w-0"),
            ),
            true,
        ),
        (
            "OpenShift's mirror without an id",
            mapi(HOST),
            capi("openshift-cluster-api", None),
            true,
        ),
        (
            "a tenant's record of that name",
            mapi(HOST),
            capi("tenant", None),
            false,
        ),
        (
            "a tenant's record of that name and another form",
            mapi(HOST),
            capi("tenant", Some("metal3://tenant/h-0/w-0")),
            false,
        ),
        (
            "an ExpectedMachine that names the host",
            expected(None),
            capi("fleet", None),
            true,
        ),
        (
            "an ExpectedMachine and a record that is merely called so",
            expected(None),
            called(capi("fleet", None)),
            false,
        ),
        (
            "an ExpectedMachine at another address",
            at(expected(None), "10.0.0.9"),
            at(capi("fleet", None), "10.0.0.1"),
            false,
        ),
        (
            "an ExpectedMachine at the same address",
            at(expected(None), "10.0.0.1"),
            at(capi("fleet", None), "10.0.0.1"),
            true,
        ),
        (
            "an ExpectedMachine of another instance",
            expected(Some("aws:///a/i-0")),
            capi("fleet", Some("aws:///a/i-1")),
            false,
        ),
        (
            "an ExpectedMachine, and a record that has become another Node",
            expected(None),
            Machine {
                node_reference: Some(node("worker-9")),
                ..capi("fleet", None)
            },
            false,
        ),
    ];
    for (about, one, another, same) in cases {
        assert_eq!(one.is_same_as(&another), same, "{about}");
        assert_eq!(another.is_same_as(&one), same, "{about}");
        let mut roll = roll();
        roll.insert(one.clone());
        roll.insert(another);
        assert_eq!(roll.mirrors(&one).len(), usize::from(same), "{about}");
    }
    // A record that matches two different Machines does not make those one machine.
    let both = [
        expected(None),
        other(Source::ClusterApi, "c-1", "worker-0", Some("aws:///a/i-1")),
        other(Source::ClusterApi, "c-2", "worker-0", Some("aws:///a/i-2")),
    ];
    assert_eq!(contenders(&both), ["c-1", "c-2"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_record_without_a_reference_is_bound_to_the_node_of_its_instance_whose_name_it_owns() {
    let of = |id: Option<&str>| Node {
        provider_id: id.map(str::to_owned),
        ..crate::fixtures::registered()
    };
    let own = Some("aws:///eu-west-1b/i-0123456789abcdef0");
    let bound = |record: Machine, node: &Node| {
        let mut roll = roll();
        roll.insert(record);
        roll.bound(&crate::fixtures::node("worker-0"), Some(node))
            .len()
    };
    let record = || machine("m-0", "worker-0");
    let by_uuid = |uuid: &str| Machine {
        provider_id: None,
        system_uuid: Some(uuid.to_owned()),
        ..record()
    };
    const UUID: &str = "A2B7C8D9-1111-4222-8333-444455556666";
    let with_uuid = |uuid: &str| Node {
        system_uuid: Some(uuid.to_owned()),
        ..of(own)
    };
    let cases = [
        ("the same instance", record(), of(own), 1),
        ("another instance", record(), of(Some("aws:///a/i-1")), 0),
        ("a Node that says nothing", record(), of(None), 0),
        (
            "a Node of a name that it does not own",
            machine("m-0", "worker-1"),
            of(own),
            0,
        ),
        (
            "the same hardware",
            by_uuid(UUID),
            with_uuid(&UUID.to_lowercase()),
            1,
        ),
        (
            "hardware that says nothing",
            by_uuid("00000000-0000-0000-0000-000000000000"),
            with_uuid("00000000-0000-0000-0000-000000000000"),
            0,
        ),
        (
            "another Node by reference",
            Machine {
                node_reference: Some(node("worker-1")),
                ..record()
            },
            of(own),
            0,
        ),
    ];
    for (about, record, node, expected) in cases {
        assert_eq!(bound(record, &node), expected, "{about}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn an_address_of_what_gets_nothing_is_free_once_its_node_is_gone() {
    let asked = || vec![ServerName::read("10.0.0.1").unwrap()];
    let elsewhere = |change: fn(&mut Machine)| {
        let mut record = machine("m-1", "worker-1");
        record
            .addresses
            .push(Address::InternalIp("10.0.0.1".parse().unwrap()));
        change(&mut record);
        let mut roll = roll();
        roll.insert(record);
        let lives = |name: &NodeName| name.as_str() == "lives";
        roll.elsewhere(asked(), &node("worker-0"), &[], lives).len()
    };
    type Case = (&'static str, fn(&mut Machine), usize);
    let cases: [Case; 6] = [
        ("pending", |_| (), 1),
        (
            "a Node that lives",
            |record| record.node_reference = Some(node("lives")),
            1,
        ),
        ("failed", |record| record.failed = true, 0),
        ("deleting", |record| record.deleting = true, 0),
        (
            "deleting, and its Node lives",
            |record| {
                record.deleting = true;
                record.node_reference = Some(node("lives"));
            },
            1,
        ),
        (
            "deleting, and its Node is gone",
            |record| {
                record.deleting = true;
                record.node_reference = Some(node("gone"));
            },
            0,
        ),
    ];
    for (about, change, expected) in cases {
        assert_eq!(elsewhere(change), expected, "{about}");
    }
}
