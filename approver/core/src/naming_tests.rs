//! Facts before conventions, conventions in order, and templates that are what they say.

use super::*;
use crate::fixtures::{machine, node};

fn naming(strategies: &[NameStrategy]) -> Naming {
    Naming {
        strategies: strategies.to_vec(),
        template: Some("{{ name }}.{{ region }}.compute.internal".parse().unwrap()),
    }
}

fn names(naming: &Naming, machine: &Machine) -> Vec<String> {
    let names = naming.names(machine);
    names.iter().map(ToString::to_string).collect()
}

/// A Machine of which no fact says what its node is called.
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
fn a_convention_counts_only_where_no_fact_names_the_node() {
    let all = naming(&[
        NameStrategy::MachineName,
        NameStrategy::Hostname,
        NameStrategy::InternalDns,
    ]);
    assert_eq!(names(&all, &unnamed()), ["m-0"]);
    let named = machine("m-0", "worker-0");
    assert_eq!(names(&all, &named), ["worker-0"]);
    // What a certificate under the guessed name spent stays spent.
    assert_eq!(
        all.every_name(&named),
        BTreeSet::from([node("m-0"), node("worker-0")])
    );
}

#[test]
fn the_first_convention_that_gives_a_name_counts() {
    let record = unnamed();
    for (strategies, expected) in [
        (
            &[NameStrategy::Template, NameStrategy::MachineName][..],
            "m-0.eu-west-1.compute.internal",
        ),
        (&[NameStrategy::MachineName, NameStrategy::Template], "m-0"),
        (
            &[NameStrategy::ProviderId, NameStrategy::MachineName],
            "i-0123456789abcdef0",
        ),
    ] {
        assert_eq!(names(&naming(strategies), &record), [expected]);
    }
    // A template whose gaps cannot be filled gives none.
    let record = Machine {
        region: None,
        ..record
    };
    let strategies = [NameStrategy::Template, NameStrategy::MachineName];
    assert_eq!(names(&naming(&strategies), &record), ["m-0"]);
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
    for text in [
        "{{name}}",
        "a-{{ instance }}.{{ zone }}",
        "{{ pool }}-{{ name }}",
    ] {
        assert!(text.parse::<NameTemplate>().is_ok(), "{text}");
    }
}
