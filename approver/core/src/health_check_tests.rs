//! The Machines that a check selects, the time of its action, and its limit.

use super::*;
use crate::NodeCondition;
use crate::fixtures::{NAMESPACE, at, machine, node, registered};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn unhealthy(kind: &str, status: &str, seconds: i64) -> UnhealthyCondition {
    UnhealthyCondition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        timeout: SignedDuration::from_secs(seconds),
    }
}

/// A check of all workers with the default timeout.
fn check(limit: &str) -> HealthCheck {
    let workers = Requirement::In("role".to_owned(), vec!["worker".to_owned()]);
    HealthCheck {
        source: Source::OpenShift,
        reference: MachineReference {
            namespace: NAMESPACE.to_owned(),
            name: "mhc".to_owned(),
        },
        selector: Selector(vec![workers]),
        startup_timeout: Some(SignedDuration::from_mins(10)),
        conditions: vec![
            unhealthy("Ready", "Unknown", 300),
            unhealthy("Ready", "False", 300),
            unhealthy("DiskPressure", "True", 600),
        ],
        limit: limit.parse().unwrap(),
    }
}

/// A worker whose startup timeout counts from a minute after its creation.
fn waiting(name: &str) -> Machine {
    Machine {
        labels: labels(&[("role", "worker")]),
        startup_from: Some(at(60)),
        ..machine(name, name)
    }
}

fn joined(name: &str) -> Machine {
    Machine {
        node_reference: Some(node(name)),
        ..waiting(name)
    }
}

/// The evaluation of these Machines ten minutes and ten seconds after their creation; the Node `gone` is deleted.
fn look(check: &HealthCheck, machines: &[Machine]) -> Vec<(String, Remediation)> {
    look_with(check, machines, &[])
}

/// The same, with these conditions of the Node `sick`, each since this many seconds after the creation of the Machines.
fn look_with(
    check: &HealthCheck,
    machines: &[Machine],
    conditions: &[(&str, &str, i64)],
) -> Vec<(String, Remediation)> {
    let sick = Node {
        conditions: conditions
            .iter()
            .map(|(kind, status, since)| NodeCondition {
                kind: (*kind).to_owned(),
                status: (*status).to_owned(),
                since: at(*since),
            })
            .collect(),
        ..registered()
    };
    let well = registered();
    let node = |machine: &Machine| match machine.node_reference.as_ref()?.as_str() {
        "gone" => None,
        "sick" => Some(&sick),
        _ => Some(&well),
    };
    let seen = check.look(machines.iter(), node, at(610));
    seen.into_iter()
        .map(|(machine, remediation)| (machine.reference.name.clone(), remediation))
        .collect()
}

#[test]
fn percentages_are_rounded_down() {
    for (limit, selected, allowed) in [
        ("40%", 25, 10),
        ("40%", 6, 2),
        ("40%", 0, 0),
        ("100%", 7, 7),
        ("2", 6, 2),
        ("-1", 6, 0),
        ("0%", 6, 0),
        ("[2-4]", 6, 4),
    ] {
        let limit: Limit = limit.parse().unwrap();
        assert_eq!(limit.allowed(selected), allowed, "{limit:?} of {selected}");
    }
    for text in ["", "%", "a", "1.5", "40 %", "[3]", "[a-b]", "[1-2"] {
        assert!(text.parse::<Limit>().is_err(), "{text}");
    }
}

#[test]
fn a_machine_that_does_not_join_is_remediated_when_its_time_is_up() {
    let seen = look(&check("100%"), &[waiting("m-0"), joined("m-1")]);
    let [(name, remediation)] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!((name.as_str(), remediation.at), ("m-0", at(660)));
    assert!(!remediation.held_back);
    let said = |now| remediation.describe(at(now));
    assert_eq!(
        said(460),
        "will be remediated in 3m20s by MachineHealthCheck openshift-machine-api/mhc"
    );
    assert_eq!(
        said(660),
        "MachineHealthCheck openshift-machine-api/mhc remediates it now"
    );
}

#[test]
fn a_failed_machine_and_one_whose_node_is_gone_are_remediated_now() {
    let failed = Machine {
        failed: true,
        ..waiting("m-0")
    };
    let deleting = Machine {
        deleting: true,
        ..waiting("m-1")
    };
    let seen = look(
        &check("100%"),
        &[failed, deleting, joined("gone"), joined("m-3")],
    );
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["m-0", "gone"]);
    assert!(
        seen.iter()
            .all(|(_, remediation)| remediation.at == at(610))
    );
    assert_eq!(seen.first().map(|(_, one)| one.unhealthy), Some(3));
}

#[test]
fn a_condition_that_is_named_makes_a_node_unhealthy_once_it_has_lasted() {
    let machines = [joined("sick"), joined("m-1"), joined("m-2")];
    let seen = |conditions: &[(&str, &str, i64)]| {
        let seen = look_with(&check("100%"), &machines, conditions);
        let [(name, remediation)] = seen.as_slice() else {
            assert!(seen.is_empty(), "{seen:?}");
            return None;
        };
        assert_eq!(name, "sick");
        Some((remediation.at, remediation.unhealthy))
    };
    assert_eq!(seen(&[("Ready", "True", 0)]), None);
    assert_eq!(seen(&[("MemoryPressure", "True", 0)]), None);
    // Not long enough: it still counts as healthy, until a known time.
    assert_eq!(seen(&[("Ready", "Unknown", 311)]), Some((at(611), 0)));
    // Exactly at the timeout it becomes unhealthy.
    assert_eq!(seen(&[("Ready", "Unknown", 310)]), Some((at(610), 1)));
    // Of several conditions, the earliest counts.
    let both = [("Ready", "False", 200), ("DiskPressure", "True", 0)];
    assert_eq!(seen(&both), Some((at(500), 1)));
}

#[test]
fn a_node_that_is_unhealthy_counts_among_those_that_hold_a_check_back() {
    let machines = [joined("sick"), waiting("m-0"), joined("m-1")];
    let held = |conditions: &[(&str, &str, i64)]| {
        let seen = look_with(&check("50%"), &machines, conditions);
        let waits = seen.iter().find(|(name, _)| name == "m-0").unwrap();
        (waits.1.unhealthy, waits.1.allowed, waits.1.held_back)
    };
    assert_eq!(held(&[("Ready", "False", 600)]), (1, 1, false));
    assert_eq!(held(&[("Ready", "False", 100)]), (2, 1, true));
}

#[test]
fn too_many_unhealthy_machines_hold_it_back() {
    let machines = |unhealthy: usize, healthy: usize| -> Vec<Machine> {
        let unhealthy = (0..unhealthy).map(|index| waiting(&format!("u-{index}")));
        let healthy = (0..healthy).map(|index| joined(&format!("h-{index}")));
        unhealthy.chain(healthy).collect()
    };
    for (limit, unhealthy, healthy, held_back) in [
        ("40%", 10, 15, false),
        ("40%", 11, 14, true),
        ("40%", 2, 4, false),
        ("40%", 3, 3, true),
        ("2", 2, 0, false),
        ("0", 1, 9, true),
        ("[2-3]", 1, 9, true),
        ("[2-3]", 2, 9, false),
        ("[2-3]", 4, 9, true),
    ] {
        let seen = look(&check(limit), &machines(unhealthy, healthy));
        assert_eq!(seen.len(), unhealthy, "{limit}");
        let all = seen.iter().all(|(_, one)| one.held_back == held_back);
        assert!(all, "{limit}, {unhealthy} and {healthy}: {seen:?}");
    }
    let seen = look(&check("40%"), &machines(3, 3));
    let (_, remediation) = seen.first().unwrap();
    assert_eq!(
        remediation.describe(at(0)),
        "MachineHealthCheck openshift-machine-api/mhc remediates nothing: 3 of 6 Machines have no healthy Node, 2 may"
    );
}

#[test]
fn a_check_without_a_timeout_waits_for_ever() {
    let endless = HealthCheck {
        startup_timeout: None,
        ..check("100%")
    };
    assert_eq!(look(&endless, &[waiting("m-0")]), []);
    // A Machine whose status was never written is unknown too.
    let unknown = Machine {
        startup_from: None,
        ..waiting("m-0")
    };
    assert_eq!(look(&check("100%"), &[unknown]), []);
}

#[test]
fn labels_and_namespace_select() {
    let key = || "zone".to_owned();
    let values = || vec!["a".to_owned(), "b".to_owned()];
    for (requirement, zone, selects) in [
        (Requirement::In(key(), values()), Some("a"), true),
        (Requirement::In(key(), values()), Some("c"), false),
        (Requirement::In(key(), values()), None, false),
        (Requirement::NotIn(key(), values()), Some("a"), false),
        (Requirement::NotIn(key(), values()), Some("c"), true),
        (Requirement::NotIn(key(), values()), None, true),
        (Requirement::Present(key()), Some("a"), true),
        (Requirement::Present(key()), None, false),
        (Requirement::Absent(key()), Some("a"), false),
        (Requirement::Absent(key()), None, true),
    ] {
        let check = HealthCheck {
            selector: Selector(vec![requirement.clone()]),
            ..check("100%")
        };
        let record = Machine {
            labels: zone
                .map(|zone| labels(&[("zone", zone)]))
                .unwrap_or_default(),
            ..machine("m-0", "worker-0")
        };
        assert_eq!(check.selects(&record), selects, "{requirement:?} {zone:?}");
    }
    let everything = HealthCheck {
        selector: Selector::default(),
        ..check("100%")
    };
    assert!(everything.selects(&machine("m-0", "worker-0")));
    let mut elsewhere = machine("m-0", "worker-0");
    elsewhere.reference.namespace = "elsewhere".to_owned();
    assert!(!everything.selects(&elsewhere));
    let other = Machine {
        source: Source::ClusterApi,
        ..machine("m-0", "worker-0")
    };
    assert!(!everything.selects(&other));
}
