//! The messages about names that no Machine owns, case by case.

use std::collections::BTreeMap;

use super::*;
use crate::fixtures::{machine, node};
use crate::{Address, NameStrategy, Naming, Scope, Source};

/// A record with only a name.
fn bare(name: &str) -> Machine {
    Machine {
        addresses: Vec::new(),
        provider_id: None,
        ..machine(name, "unused")
    }
}

fn with(name: &str, addresses: &[Address]) -> Machine {
    Machine {
        addresses: addresses.to_vec(),
        ..bare(name)
    }
}

fn dns(name: &str) -> Address {
    Address::InternalDns(node(name))
}

fn ip(text: &str) -> Address {
    Address::InternalIp(text.parse().unwrap())
}

fn of(source: Source, machine: Machine) -> Machine {
    Machine { source, ..machine }
}

fn roll(machines: impl IntoIterator<Item = Machine>) -> Roll {
    let mut roll = Roll::new(BTreeMap::new());
    for machine in machines {
        roll.insert(machine);
    }
    roll
}

fn described(asked: &str, machines: Vec<Machine>, strangers: Vec<Machine>) -> String {
    let (roll, strangers) = (roll(machines), roll(strangers));
    let search = Search {
        roll: &roll,
        strangers: &strangers,
        looked_up: false,
    };
    assert!(roll.owners(&node(asked)).is_empty(), "{asked} is owned");
    let text = search.describe(&node(asked));
    let whole = format!(
        "no Machine owns the node name {asked} (nameStrategies say how a Machine owns one); {text}"
    );
    assert!(
        whole.len() < 1000 && !text.contains(char::is_control),
        "{text}"
    );
    text
}

fn case(asked: &str, machine: Machine, words: &[&str]) {
    let text = described(asked, vec![machine, machine_far()], Vec::new());
    for word in words {
        assert!(text.contains(word), "{asked}: {text}");
    }
    assert!(!text.contains("faraway"), "{asked}: {text}");
}

/// A Machine that is not near any name here.
fn machine_far() -> Machine {
    with("faraway", &[dns("another-host.other.example")])
}

/// A requested name, the Machine that is near, and the message.
type Near = (&'static str, fn() -> Machine, &'static [&'static str]);

const ONE_THING: &[Near] = &[
    (
        "ip-10-0-37-6.corp.example",
        cloud,
        &[
            "w-a owns ip-10-0-37-6.ec2.internal, in another domain",
            "'{{ host }}.corp.example'",
        ],
    ),
    (
        "ip-10-0-37-6",
        cloud,
        &[
            "w-a owns",
            "with a domain",
            "nodeNameTemplate: '{{ host }}'",
        ],
    ),
    (
        "worker-1.lab.example",
        || with("m1", &[Address::Hostname(node("worker-1"))]),
        &[
            "m1 owns worker-1, without a domain",
            "'{{ host }}.lab.example'",
        ],
    ),
    (
        "md-0-a.lab.example",
        || of(Source::ClusterApi, bare("md-0-a")),
        &[
            "md-0-a owns md-0-a, without a domain",
            "'{{ name }}.lab.example'",
        ],
    ),
    (
        "bm-md-0-a",
        || of(Source::ClusterApi, bare("md-0-a")),
        &[
            "owns md-0-a; the name asked for has bm- before it",
            "'bm-{{ name }}'",
        ],
    ),
    (
        "md-0-a-vm.lab",
        || of(Source::ClusterApi, bare("md-0-a")),
        &[
            "the name asked for has -vm behind it",
            "'{{ name }}-vm.lab'",
        ],
    ),
    (
        "worker-1",
        || with("m1", &[dns("rack7-worker-1.lab")]),
        &["owns rack7-worker-1; the name asked for lacks rack7- before it"],
    ),
    (
        "worker-1",
        || with("m1", &[dns("worker-1-prod")]),
        &["the name asked for lacks -prod behind it"],
    ),
    (
        "win-worker-pool",
        || with("m1", &[dns("win-worker-pool-x7k2p.ad.example")]),
        &["the name asked for is cut to 15 characters, as Windows does"],
    ),
    (
        "win-worker-pool-x7k2p",
        || with("m1", &[dns("win-worker-pool")]),
        &["that is the name asked for, cut to 15 characters"],
    ),
    (
        "prod-worker-1",
        || with("prod-worker-1", &[ip("192.0.2.7")]),
        &[
            "is called so itself",
            "no name among its addresses",
            "nameStrategies: machineName",
        ],
    ),
    (
        "prod-worker-1.lab",
        || bare("prod-worker-1"),
        &[
            "is called prod-worker-1 itself",
            "has no addresses yet",
            "'{{ name }}.lab'",
        ],
    ),
    (
        "vm-7.public.example",
        || with("m1", &[Address::ExternalDns(node("vm-7.public.example"))]),
        &["has it as ExternalDNS, which no node is called by"],
    ),
    (
        "vm-7",
        || with("m1", &[Address::ExternalDns(node("vm-7.public.example"))]),
        &["has vm-7.public.example as ExternalDNS"],
    ),
    (
        "i-0123456789abcdef0",
        || machine("m1", "elsewhere-1"),
        &[
            "m1 has an instance that is called so",
            "nameStrategies: providerID",
        ],
    ),
    (
        "i-0123456789abcdef0.eu-west-1.compute.internal",
        || machine("m1", "elsewhere-1"),
        &["'{{ instance }}.eu-west-1.compute.internal'"],
    ),
    (
        "ip-10-0-37-6",
        || with("w-a", &[ip("10.0.37.6")]),
        &[
            "w-a has the address 10.0.37.6, which the name spells",
            "'ip-{{ address }}'",
        ],
    ),
    (
        "10.0.37.6",
        || with("w-a", &[ip("10.0.37.6")]),
        &["w-a has the address 10.0.37.6, which the name spells"],
    ),
    (
        "aks-default-abc12",
        || of(Source::Karpenter, bare("default-abc12")),
        &[
            "is called default-abc12",
            "aks- before it",
            "has no providerID yet",
        ],
    ),
    (
        "ip-10-0-0-1.corp",
        || Machine {
            unread_addresses: vec!["ip-10-0-0-1.ec2.internal corp".to_owned()],
            ..with("w-a", &[ip("10.0.0.1")])
        },
        &[
            "w-a",
            "an address that is no name: \"ip-10-0-0-1.ec2.internal corp\"",
        ],
    ),
    (
        "worker-1.b",
        || Machine {
            failed: true,
            ..with("m1", &[dns("worker-1.a")])
        },
        &["in another domain, and has failed"],
    ),
    (
        "worker-1.b",
        || Machine {
            deleting: true,
            ..with("m1", &[dns("worker-1.a")])
        },
        &["and is being deleted"],
    ),
    (
        "worker-1.b",
        || Machine {
            node_reference: Some(node("worker-1.a")),
            ..with("m1", &[dns("worker-1.a")])
        },
        &["and has become Node worker-1.a already"],
    ),
];

fn cloud() -> Machine {
    with("w-a", &[dns("ip-10-0-37-6.ec2.internal"), ip("10.0.37.6")])
}

#[test]
fn a_name_and_a_machine_differ_in_one_thing() {
    for (asked, machine, words) in ONE_THING {
        case(asked, machine(), words);
    }
}

#[test]
fn where_nothing_is_near_it_is_said_what_could_be_wrong() {
    let waiting = [bare("w-a"), with("w-b", &[ip("192.0.2.7")])];
    let text = described("stranger.example", waiting.into(), Vec::new());
    assert!(
        text.contains("w-a (has no addresses yet), openshift-machine-api/w-b (has no name among"),
        "{text}"
    );
    let launched = of(Source::Karpenter, machine("claim", "unused"));
    let launched = Machine {
        addresses: Vec::new(),
        ..launched
    };
    let text = described(
        "ip-10-0-0-1.eu-west-1.compute.internal",
        vec![launched],
        Vec::new(),
    );
    assert!(text.contains("karpenter: {ec2: {}}"), "{text}");
    let text = described("localhost.localdomain", vec![machine_far()], Vec::new());
    assert!(text.contains("means any machine"), "{text}");
    // No setting makes such a name a Machine's own.
    for (asked, machine) in [
        (
            "ubuntu",
            with("worker-0", &[Address::Hostname(node("ubuntu"))]),
        ),
        ("fedora", bare("fedora")),
    ] {
        let text = described(asked, vec![machine], Vec::new());
        assert!(text.contains("gets a name of its own"), "{text}");
        assert!(!text.contains("nameStrategies"), "{text}");
    }
    for asked in ["stranger", "a", "worker-9"] {
        let text = described(asked, vec![machine_far()], Vec::new());
        assert!(text.contains("rollcall-approver expect"), "{text}");
    }
    let gone = Machine {
        deleting: true,
        ..bare("w-a")
    };
    let text = described("stranger", vec![gone], Vec::new());
    assert!(text.contains("rollcall-approver expect"), "{text}");
}

#[test]
fn a_machine_that_is_not_read_is_named_with_its_place() {
    let other = |namespace: &str, machine: Machine| {
        let mut machine = machine;
        machine.reference.namespace = namespace.to_owned();
        machine
    };
    let own = with("m1", &[dns("worker-1.prod.example")]);
    let text = described(
        "worker-1.prod.example",
        Vec::new(),
        vec![other("clusters-prod", own)],
    );
    for words in [
        "clusters-prod/m1 owns it",
        "openshift in namespace clusters-prod is not read",
        "machines",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let mut labelled = of(Source::ClusterApi, bare("worker-1"));
    let label = (
        "cluster.x-k8s.io/cluster-name".to_owned(),
        "stage".to_owned(),
    );
    labelled.labels.extend([label]);
    let text = described("worker-1", Vec::new(), vec![other("fleet", labelled)]);
    assert!(
        text.contains("clusterAPI in namespace fleet of cluster stage is not read"),
        "{text}"
    );
    // A near one that counts comes before one that does not.
    let near = with("m2", &[dns("worker-1.lab.example")]);
    let strangers = vec![other("x", with("m3", &[dns("worker-1.a.example")]))];
    let text = described("worker-1.prod.example", vec![near], strangers);
    assert!(
        text.find("m2").unwrap() < text.find("m3").unwrap(),
        "{text}"
    );
}

#[test]
fn three_machines_are_named_and_hostile_text_is_quoted_and_cut() {
    let domain =
        |index: usize| format!("worker-1.{}.example", "d".repeat(index.saturating_add(60)));
    let many = (0..9).map(|index| with(&format!("m{index}"), &[dns(&domain(index))]));
    let text = described("worker-1", many.collect(), Vec::new());
    let named = (0..9)
        .filter(|index| text.contains(&format!("/m{index} ")))
        .count();
    assert_eq!(named, 3, "{text}");

    let long = format!("worker-1.{}", ["a"; 120].join("."));
    let mut hostile = with("m1", &[dns("worker-1.example")]);
    hostile.reference.name = format!("m1\n\u{202e}\u{1b}[2J{}", "x".repeat(3000));
    hostile.unread_addresses = vec![format!("\n{}", "y".repeat(3000))];
    let text = described(&long, vec![hostile.clone()], vec![hostile]);
    assert!(!text.contains('\u{202e}'), "{text}");
    assert!(text.contains("worker-1.example"), "{text}");
}

#[test]
fn a_strategy_that_is_left_out_is_named() {
    let naming = Naming {
        strategies: vec![NameStrategy::NodeReference],
        templates: Vec::new(),
        guess: None,
    };
    let scope = Scope::new(Source::OpenShift, "");
    let mut roll = Roll::new(BTreeMap::from([(scope, naming)]));
    roll.insert(machine("m1", "worker-1"));
    let strangers = Roll::new(BTreeMap::new());
    let search = Search {
        roll: &roll,
        strangers: &strangers,
        looked_up: true,
    };
    let text = search.describe(&node("worker-1"));
    assert!(
        text.contains("m1 has it as InternalDNS, which does not count here (nameStrategies)"),
        "{text}"
    );
}

/// The names of a Machine are removed with it, and so are its earlier names.
#[test]
fn what_is_gone_is_near_nothing() {
    let mut roll = roll([with("m1", &[dns("worker-1.a")])]);
    roll.insert(with("m1", &[dns("another-1.a")]));
    let strangers = Roll::new(BTreeMap::new());
    let near = |roll: &Roll, asked: &str| {
        let search = Search {
            roll,
            strangers: &strangers,
            looked_up: false,
        };
        search.describe(&node(asked)).contains("m1")
    };
    assert!(!near(&roll, "worker-1.b"));
    assert!(near(&roll, "another-1.b"));
    roll.remove(&crate::MachineUid("m1".to_owned()));
    assert!(!near(&roll, "another-1.b"));
}
