//! Who owns a node name, and which names a change touches.

use super::*;
use crate::fixtures::{machine, node};
use crate::{Address, MachineReference, NameStrategy, Source};

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
    // What is seen from outside, and the name of the record itself, are not the node's name.
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
    // Another fact of the same Machine: its name is touched all the same.
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
