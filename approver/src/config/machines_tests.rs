//! `machines`: which sources the file names, and how their Machines are matched.

use rollcall_approver_core::{LookUp, NameStrategy, Naming, Scope, Source};

use super::tests::{assert_refused, parse};

#[test]
fn machines_are_matched_as_their_source_is_unless_the_file_says_otherwise() {
    let naming = |options: &str| {
        let config = parse(&format!("machines:\n- openshift: {options}")).unwrap();
        let scope = config.machines.into_iter().next().unwrap();
        config.policy.naming.get(&scope).cloned()
    };
    assert_eq!(naming("{}"), None);
    let default = Naming::of(Source::OpenShift);
    assert_eq!(
        naming("{nameStrategies: [nodeReference, internalDNS, hostname]}"),
        Some(Naming {
            guess: None,
            ..default.clone()
        })
        .filter(|naming| *naming != default)
    );
    let template = "{{ name }}.{{ region }}.compute.internal";
    assert_eq!(
        naming(&format!("{{nodeNameTemplate: '{template}'}}")),
        Some(Naming {
            strategies: [default.strategies, vec![NameStrategy::Template]].concat(),
            templates: vec![template.parse().unwrap()],
            guess: None,
        })
    );
    assert_eq!(
        naming("{nameStrategies: [machineName, providerID, Hostname]}"),
        Some(Naming {
            strategies: vec![
                NameStrategy::MachineName,
                NameStrategy::ProviderId,
                NameStrategy::Hostname,
            ],
            templates: Vec::new(),
            guess: None,
        })
    );
}

/// What a person lists counts as it is; what nobody has asked for stays a guess.
#[test]
fn a_template_stands_beside_the_guess_of_the_source_and_a_list_replaces_it() {
    let naming = |entry: &str| {
        let config = parse(&format!("machines:\n- {entry}")).unwrap();
        config.policy.naming.into_values().next().unwrap()
    };
    let template = "{{ name }}.lab.example";
    for (entry, guess) in [
        (
            "clusterAPI: {nodeNameTemplate: '{{ name }}.lab.example'}",
            Some(NameStrategy::MachineName),
        ),
        (
            "karpenter: {nodeNameTemplate: '{{ name }}.lab.example'}",
            Some(NameStrategy::ProviderId),
        ),
        (
            "karpenter: {nameStrategies: [template], nodeNameTemplate: ['{{ name }}.lab.example']}",
            None,
        ),
        (
            "clusterAPI: {nameStrategies: [hostname, template], nodeNameTemplates: '{{ name }}.lab.example'}",
            None,
        ),
    ] {
        let naming = naming(entry);
        assert_eq!(naming.guess, guess, "{entry}");
        assert_eq!(naming.templates, [template.parse().unwrap()], "{entry}");
        assert!(naming.strategies.contains(&NameStrategy::Template));
    }
    let several = naming(
        "clusterAPI:\n    nodeNameTemplates:\n    - bm-{{ name }}\n    - '{{ name }}'\n    - '{{ providerID.2 }}'",
    );
    assert_eq!(several.templates.len(), 3);
}

#[test]
fn every_source_can_be_named() {
    let config = parse(
        "machines:
- openshift: {}
- openshift: {namespace: other}
- clusterAPI: {}
- karpenter: {nodeNameTemplate: '{{ instance }}.{{ region }}.compute.internal'}
- gardener: {namespace: shoot--p--c}
",
    )
    .unwrap();
    let scopes: Vec<String> = config.machines.iter().map(ToString::to_string).collect();
    let expected = [
        "openshift in openshift-machine-api",
        "openshift in other",
        "clusterAPI",
        "karpenter",
        "gardener in shoot--p--c",
    ];
    assert_eq!(scopes, expected);
    let config = parse("machines: [{clusterAPI: {namespace: fleet}}]").unwrap();
    assert_eq!(config.machines, [Scope::new(Source::ClusterApi, "fleet")]);
    let config = parse("machines: [{clusterAPI: {clusterName: prod}}]").unwrap();
    let label = Some((
        "cluster.x-k8s.io/cluster-name".to_owned(),
        "prod".to_owned(),
    ));
    let scope = Scope::new(Source::ClusterApi, "");
    assert_eq!(config.machines, [Scope { label, ..scope }]);
}

#[test]
fn instances_are_looked_up_where_the_file_says_so() {
    let look_up = |options: &str| {
        let config = parse(&format!("machines:\n- karpenter: {options}")).unwrap();
        config.machines.into_iter().next().unwrap().look_up
    };
    let ec2 = |region: Option<&str>| {
        let region = region.map(str::to_owned);
        Some(LookUp::Ec2 { region })
    };
    assert_eq!(look_up("{}"), None);
    assert_eq!(look_up("{ec2: {}}"), ec2(None));
    assert_eq!(
        look_up("{ec2: {region: eu-west-1}}"),
        ec2(Some("eu-west-1"))
    );
    for (body, words) in [
        ("machines:\n- karpenter: {ec2: }", &["ec2", "line 4"][..]),
        ("machines:\n- karpenter: {ec2: true}", &["ec2", "line 4"]),
        (
            "machines:\n- karpenter: {ec2: {regions: [a]}}",
            &["regions", "line 4"],
        ),
        (
            "machines:\n- karpenter: {ec2: {region: 'eu west'}}",
            &["eu west", "line 4"],
        ),
        ("machines:\n- openshift: {ec2: {}}", &["ec2", "line 4"]),
        (
            "machines:\n- karpenter: {}\n- karpenter: {ec2: {}}",
            &["karpenter", "once"],
        ),
    ] {
        assert_refused(body, words);
    }
}

#[test]
fn it_is_read_whose_a_token_is_only_where_the_file_says_so() {
    let tokens = |body: &str| parse(body).unwrap().policy.bootstrap_tokens;
    let fleet = Scope::new(Source::ClusterApi, "fleet");
    let body = "machines: [{clusterAPI: {namespace: fleet, bootstrapTokens: true}}, {clusterAPI: {namespace: other}}]";
    assert_eq!(tokens(body), [fleet].into());
    for body in [
        "machines: [{clusterAPI: {}}]",
        "machines: [{clusterAPI: {bootstrapTokens: false}}]",
    ] {
        assert_eq!(tokens(body), [].into(), "{body}");
    }
}

#[test]
fn what_is_wrong_with_a_source_is_named_with_its_line() {
    for (body, words) in [
        ("machines: []", &["machines"][..]),
        ("machines:\n- openshift: {namespaces: [a]}", &["namespaces"]),
        ("machines:\n- vmware: {}", &["vmware", "line 4"]),
        ("machines:\n- {}", &["line 4"]),
        ("machines:\n- gardener: {}", &["namespace", "line 4"]),
        (
            "machines:\n- karpenter: {namespace: a}",
            &["namespace", "line 4"],
        ),
        (
            "machines:\n- clusterAPI: {}\n- clusterAPI: {namespace: a}",
            &["clusterAPI in a", "once"],
        ),
        (
            "machines:\n- clusterAPI: {bootstrapTokens: always}",
            &["boolean", "line 4"],
        ),
        (
            "machines:\n- openshift: {bootstrapTokens: true}",
            &["bootstrapTokens", "line 4"],
        ),
        ("machines:\n- openshift: {namespace: ''}", &["namespace"]),
        (
            "machines:\n- openshift: {namespace: 'a b'}",
            &["a b", "line 4"],
        ),
        (
            "machines:\n- openshift: {}\n- openshift: {namespace: openshift-machine-api}",
            &["machines", "openshift in openshift-machine-api", "once"],
        ),
        (
            "machines:\n- openshift: {nameStrategies: [hostName]}",
            &["hostName", "line 4"],
        ),
        (
            "machines:\n- openshift: {nameStrategies: []}",
            &["openshift", "nameStrategies", "empty"],
        ),
        (
            "machines:\n- openshift: {nameStrategies: [hostname, hostname]}",
            &["nameStrategies", "hostname", "twice"],
        ),
        (
            "machines:\n- openshift: {nameStrategies: [template]}",
            &["nodeNameTemplate"],
        ),
        (
            "machines:\n- openshift: {nameStrategies: [hostname], nodeNameTemplate: '{{ name }}'}",
            &["nodeNameTemplate", "template"],
        ),
    ] {
        assert_refused(body, words);
    }
}

#[test]
fn what_is_wrong_with_a_template_is_named_with_its_line() {
    for (body, words) in [
        (
            "machines:\n- karpenter: {nodeNameTemplate: 'ip-{{ address }}.corp.example'}",
            &["karpenter: nodeNameTemplate", "address", "ec2: {}"][..],
        ),
        (
            "machines:\n- karpenter: {ec2: {}, nodeNameTemplate: '{{ namespace }}-{{ name }}'}",
            &["nodeNameTemplate", "namespace", "use another one"],
        ),
        (
            "machines:\n- gardener: {namespace: a, nodeNameTemplate: '{{ name }}.{{ region }}'}",
            &["gardener", "region", "use another one"],
        ),
        (
            "machines:\n- openshift: {nodeNameTemplates: []}",
            &["nodeNameTemplate", "empty", "line 4"],
        ),
        (
            "machines:\n- openshift: {nodeNameTemplates: ['{{ name }}', '{{name}}']}",
            &["nodeNameTemplate", "twice", "line 4"],
        ),
        (
            "machines:\n- openshift: {nodeNameTemplate: '{{ name }}', nodeNameTemplates: ['{{ name }}.a']}",
            &["nodeNameTemplate", "duplicate", "line 4"],
        ),
        (
            "machines:\n- openshift: {nodeNameTemplate: {name: a}}",
            &["a list of them", "line 4"],
        ),
        (
            "machines:\n- openshift: {nodeNameTemplate: '{{ pool }}.a'}",
            &["nodeNameTemplate", "Machine to Machine", "providerID.1"],
        ),
        (
            "machines:\n- openshift:\n    nodeNameTemplate: '{{ nam }}.internal'",
            &["nodeNameTemplate", "nam", "line 5"],
        ),
    ] {
        assert_refused(body, words);
    }
}
