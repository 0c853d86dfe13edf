//! Facts take precedence over conventions, conventions are used in order, and templates are validated.

use super::*;
use crate::fixtures::{machine, node};

fn naming(strategies: &[NameStrategy]) -> Naming {
    Naming {
        strategies: strategies.to_vec(),
        templates: vec!["{{ name }}.{{ region }}.compute.internal".parse().unwrap()],
        guess: None,
    }
}

fn names(naming: &Naming, machine: &Machine) -> Vec<String> {
    let names = naming.names(machine);
    names.iter().map(ToString::to_string).collect()
}

/// A Machine without a fact about its node name.
fn unnamed() -> Machine {
    Machine {
        addresses: vec![Address::InternalIp("10.0.0.1".parse().unwrap())],
        region: Some("eu-west-1".to_owned()),
        ..machine("m-0", "unused")
    }
}

#[test]
fn all_facts_count_whatever_their_order() {
    let mut record = machine("m-0", "worker-0.example.com");
    record.addresses.push(Address::Hostname(node("worker-0")));
    record.node_reference = Some(node("node-0"));
    let facts = [
        NameStrategy::Hostname,
        NameStrategy::NodeReference,
        NameStrategy::InternalDns,
    ];
    let all = ["node-0", "worker-0", "worker-0.example.com"];
    assert_eq!(names(&naming(&facts), &record), all);
    assert_eq!(names(&naming(&facts[1..2]), &record), ["node-0"]);
}

#[test]
fn what_is_listed_counts_beside_the_facts() {
    let all = naming(&[
        NameStrategy::MachineName,
        NameStrategy::Hostname,
        NameStrategy::InternalDns,
        NameStrategy::ProviderId,
        NameStrategy::Template,
    ]);
    let conventions = [
        "i-0123456789abcdef0",
        "m-0",
        "m-0.eu-west-1.compute.internal",
    ];
    assert_eq!(names(&all, &unnamed()), conventions);
    let named = Machine {
        region: None,
        ..machine("m-0", "worker-0")
    };
    // A template with unfilled placeholders yields no name.
    assert_eq!(
        names(&all, &named),
        ["i-0123456789abcdef0", "m-0", "worker-0"]
    );
}

#[test]
fn a_guess_counts_only_where_nothing_else_names_the_node() {
    let template = || vec!["{{ name }}.example.com".parse().unwrap()];
    for (source, guessed) in [
        (Source::ClusterApi, &["m-0"][..]),
        (Source::Karpenter, &["i-0123456789abcdef0"]),
        (Source::OpenShift, &[]),
        (Source::Gardener, &[]),
        (Source::ExpectedMachine, &[]),
    ] {
        let default = Naming::of(source);
        assert_eq!(names(&default, &unnamed()), guessed, "{source:?}");
        let named = machine("m-0", "worker-0");
        assert_eq!(names(&default, &named), ["worker-0"], "{source:?}");
        // A Machine spent by a certificate under the guessed name stays spent.
        let every = default.every_name(&named);
        let spent = guessed.iter().copied().chain(["worker-0"]).map(node);
        assert_eq!(every, spent.collect(), "{source:?}");

        let configured = Naming {
            strategies: [default.strategies, vec![NameStrategy::Template]].concat(),
            templates: template(),
            guess: default.guess,
        };
        assert_eq!(names(&configured, &unnamed()), ["m-0.example.com"]);
        let both = ["m-0.example.com", "worker-0"];
        assert_eq!(names(&configured, &named), both, "{source:?}");
    }
}

/// A template, and its names for a host of Metal3 and one of a cloud.
const FILLED: &[(&str, Option<&str>, Option<&str>)] = &[
    ("bm-{{ name }}", Some("bm-m-0"), Some("bm-m-0")),
    ("{{ providerID.1 }}", Some("fleet"), Some("eu-west-1a")),
    ("{{ providerID.2 }}", Some("host-1"), Some("i-0123")),
    ("{{providerID.3}}.a", Some("md-0-x7k2p.a"), None),
    ("{{ providerID.9 }}", None, None),
    ("{{ host }}", Some("host-1"), Some("ip-10-0-37-6")),
    (
        "{{ host }}.corp.example",
        Some("host-1.corp.example"),
        Some("ip-10-0-37-6.corp.example"),
    ),
    ("ip-{{ address }}.corp", None, Some("ip-10-0-37-6.corp")),
    (
        "{{ pool }}-{{ name }}",
        Some("md-0-m-0"),
        Some("workers-m-0"),
    ),
    ("{{ zone }}-{{ name }}", None, None),
];

/// The names from templates for a host of Metal3, and for one of a cloud.
#[test]
fn templates_are_filled_by_what_the_record_has() {
    let host = Machine {
        provider_id: Some("metal3://fleet/host-1/md-0-x7k2p".to_owned()),
        addresses: vec![Address::Hostname(node("host-1.lab.example"))],
        pool: Some("md-0".to_owned()),
        ..unnamed()
    };
    let cloud = Machine {
        provider_id: Some("aws:///eu-west-1a/i-0123".to_owned()),
        addresses: [
            "fe80::1",
            "127.0.0.1",
            "169.254.7.7",
            "10.0.37.6",
            "10.0.37.7",
        ]
        .map(|ip| Address::InternalIp(ip.parse().unwrap()))
        .into_iter()
        .chain([Address::InternalDns(node("ip-10-0-37-6.ec2.internal"))])
        .collect(),
        ..unnamed()
    };
    for (template, of_host, of_cloud) in FILLED {
        let naming = Naming {
            strategies: vec![NameStrategy::Template],
            templates: vec![template.parse().unwrap()],
            guess: None,
        };
        for (record, expected) in [(&host, of_host), (&cloud, of_cloud)] {
            let expected: Vec<&str> = expected.iter().copied().collect();
            assert_eq!(names(&naming, record), expected, "{template}");
        }
    }
}

#[test]
fn the_first_part_of_an_address_is_no_name_of_a_host() {
    let odd = Machine {
        addresses: vec![Address::Hostname(node("10.0.37.6"))],
        ..unnamed()
    };
    let naming = Naming {
        strategies: vec![NameStrategy::Template],
        templates: vec!["{{ host }}".parse().unwrap()],
        guess: None,
    };
    assert_eq!(names(&naming, &odd), [""; 0]);
}

#[test]
fn several_templates_count_side_by_side() {
    let naming = Naming {
        strategies: vec![NameStrategy::Template],
        templates: ["bm-{{ name }}", "{{ name }}", "{{ zone }}-{{ name }}"]
            .map(|template| template.parse().unwrap())
            .into(),
        guess: Some(NameStrategy::ProviderId),
    };
    assert_eq!(names(&naming, &unnamed()), ["bm-m-0", "m-0"]);
}

const NEVER_FILLED: &[(&str, Source, bool, Option<&str>)] = &[
    (
        "{{ namespace }}-{{ name }}",
        Source::Karpenter,
        true,
        Some("namespace"),
    ),
    (
        "{{ namespace }}-{{ name }}",
        Source::ClusterApi,
        false,
        None,
    ),
    (
        "{{ name }}.{{ region }}",
        Source::Gardener,
        false,
        Some("region"),
    ),
    (
        "{{ name }}.{{ zone }}",
        Source::Gardener,
        false,
        Some("zone"),
    ),
    ("{{ name }}.{{ region }}", Source::OpenShift, false, None),
    (
        "ip-{{ address }}",
        Source::Karpenter,
        false,
        Some("address"),
    ),
    ("ip-{{ address }}", Source::Karpenter, true, None),
    ("{{ host }}.a", Source::Karpenter, false, Some("host")),
    ("{{ host }}.a", Source::OpenShift, false, None),
    (
        "{{ instance }}.{{ region }}",
        Source::Karpenter,
        false,
        None,
    ),
];

#[test]
fn a_template_that_no_record_of_a_source_fills_is_known() {
    for (template, source, looked_up, empty) in NEVER_FILLED {
        let template: NameTemplate = template.parse().unwrap();
        assert_eq!(
            template.never_filled(*source, *looked_up),
            *empty,
            "{template:?} {source:?}"
        );
    }
}

#[test]
fn a_provider_id_names_the_instance() {
    for (id, expected) in [
        ("aws:///eu-west-1a/i-0123", Some("i-0123")),
        ("gce://project/europe-west1-b/worker-0", Some("worker-0")),
        (
            "azure:///subscriptions/s/virtualMachines/VM-0",
            Some("vm-0"),
        ),
        ("", None),
        ("aws:///", None),
        ("no-scheme", None),
        ("vsphere://not a name", None),
    ] {
        let record = Machine {
            provider_id: Some(id.to_owned()),
            ..unnamed()
        };
        let seen = names(&naming(&[NameStrategy::ProviderId]), &record);
        assert_eq!(seen, expected.into_iter().collect::<Vec<_>>(), "{id}");
    }
}

#[test]
fn a_template_is_read_strictly() {
    for (text, error) in [
        ("worker", NameTemplateError::NoPlaceholder),
        ("{{ region }}", NameTemplateError::NoPlaceholder),
        ("{{ nam }}", NameTemplateError::Unknown("nam".to_owned())),
        (
            "{{ providerID.0 }}",
            NameTemplateError::Unknown("providerID.0".to_owned()),
        ),
        (
            "{{ providerID.10 }}",
            NameTemplateError::Unknown("providerID.10".to_owned()),
        ),
        (
            "{{ providerID.-1 }}",
            NameTemplateError::Unknown("providerID.-1".to_owned()),
        ),
        (
            "{{ providerID }}",
            NameTemplateError::Unknown("providerID".to_owned()),
        ),
        (
            "{{ pool }}-{{ namespace }}.{{ zone }}",
            NameTemplateError::NoPlaceholder,
        ),
        ("{{ name", NameTemplateError::Unbalanced),
        ("{ name }", NameTemplateError::Unbalanced),
        ("{{ name }}}", NameTemplateError::Unbalanced),
        ("{{ name }}_a", NameTemplateError::NotAName("_a".to_owned())),
        (
            "{{ name }}.Example",
            NameTemplateError::NotAName(".Example".to_owned()),
        ),
    ] {
        assert_eq!(text.parse::<NameTemplate>(), Err(error), "{text}");
    }
}

#[test]
fn a_template_may_have_several_placeholders() {
    for text in [
        "{{name}}",
        "a-{{ instance }}.{{ zone }}",
        "{{ pool }}-{{ name }}",
    ] {
        assert!(text.parse::<NameTemplate>().is_ok(), "{text}");
    }
}

#[test]
fn a_name_that_any_machine_may_have_outweighs_no_convention() {
    let all = Naming::of(Source::ClusterApi);
    for text in [
        "localhost",
        "localhost.localdomain",
        "localhost4.localdomain4",
        "ubuntu",
        "fedora.local",
        "unassigned",
        "10.0.37.6",
        "4c1f0f0aa9c04b77b0f7d5be3cf1a9d2",
    ] {
        for address in [Address::Hostname, Address::InternalDns] {
            let mut record = unnamed();
            record.addresses.push(address(node(text)));
            assert_eq!(names(&all, &record), ["m-0"], "{text}");
            assert_eq!(all.every_name(&record), BTreeSet::from([node("m-0")]));
            record.addresses.push(Address::Hostname(node("worker-0")));
            assert_eq!(names(&all, &record), ["worker-0"], "{text}");
        }
    }
    // A record of that name does not own such a node either, unless it is bound to it already.
    let mut record = machine("localhost", "localhost");
    assert!(names(&all, &record).is_empty());
    record.node_reference = Some(node("localhost"));
    assert_eq!(
        names(&naming(&[NameStrategy::NodeReference]), &record),
        ["localhost"]
    );
    // The author of an ExpectedMachine means its node name, unless every machine has it.
    let mut record = machine("m-0", "ubuntu");
    record.source = Source::ExpectedMachine;
    assert_eq!(names(&all, &record), ["ubuntu"]);
    record.addresses = vec![Address::Hostname(node("localhost"))];
    assert_eq!(names(&naming(&[NameStrategy::Hostname]), &record), [""; 0]);
}

#[test]
fn a_template_takes_no_name_and_no_address_of_any_machine() {
    let by = |template: &str, addresses: Vec<Address>| {
        let naming = Naming {
            strategies: vec![NameStrategy::Template],
            templates: vec![template.parse().unwrap()],
            guess: None,
        };
        let record = Machine {
            addresses,
            ..unnamed()
        };
        names(&naming, &record)
    };
    let ip = |text: &str| Address::InternalIp(text.parse().unwrap());
    let host = "{{ host }}.corp.example";
    let generic = Address::Hostname(node("localhost.localdomain"));
    let own = Address::InternalDns(node("worker-0.ec2.internal"));
    assert_eq!(
        by(host, vec![generic.clone(), own]),
        ["worker-0.corp.example"]
    );
    assert_eq!(
        by(host, vec![generic, Address::Hostname(node("ubuntu"))]),
        [""; 0]
    );
    let address = "ip-{{ address }}.corp.example";
    let seen = by(
        address,
        vec![ip("169.254.1.1"), ip("172.17.0.1"), ip("10.0.0.7")],
    );
    assert_eq!(seen, ["ip-10-0-0-7.corp.example"]);
}
