use std::net::IpAddr;

use super::*;

/// The default: two hours, in every group.
fn windows() -> JoinWindows {
    JoinWindows::of(&rollcall_approver_core::Policy::default())
}

fn settings() -> Settings {
    Settings {
        selection: crate::aws::Selection::default(),
        region: None,
        node_name: NodeNameFrom::PrivateDnsName,
        poll_interval: std::time::Duration::from_secs(10),
    }
}

fn instance(id: &str, state: InstanceState) -> Instance {
    let name = format!("{id}.ec2.internal");
    Instance {
        id: id.to_owned(),
        state,
        launched_at: "2026-11-24T18:00:00Z".parse().unwrap(),
        zone: "eu-west-1a".to_owned(),
        private_dns_name: Some(name.parse().unwrap()),
        public_dns_name: None,
        addresses: vec!["10.0.0.1".parse().unwrap()],
    }
}

fn view(members: &[(&str, &str)], instances: &[Instance]) -> View {
    let member = |&(id, state): &(&str, &str)| {
        let member = Member {
            instance: id.to_owned(),
            state: state.to_owned(),
        };
        (id.to_owned(), ("workers".to_owned(), member))
    };
    View {
        groups: ["workers".to_owned()].into(),
        members: members.iter().map(member).collect(),
        instances: instances
            .iter()
            .map(|instance| (instance.id.clone(), instance.clone()))
            .collect(),
        at: "2026-11-24T21:00:00Z".parse().unwrap(),
        before: Seen::default(),
    }
}

/// The record of an instance, as it was made while all was well.
fn recorded(id: &str) -> ExpectedMachine {
    let running = instance(id, InstanceState::Running);
    let name = running.private_dns_name.clone().unwrap();
    let join_by = running
        .launched_at
        .checked_add(windows().of_group("workers"))
        .ok();
    record(&running, "workers", &name, join_by)
}

fn steps(view: &View, present: &[ExpectedMachine]) -> Vec<Step> {
    plan(view, present, &settings(), &windows())
}

#[test]
fn an_instance_that_is_wanted_and_runs_is_expected_from_its_launch_on() {
    for (lifecycle, state) in [
        ("Pending", InstanceState::Pending),
        ("Pending:Wait", InstanceState::Running),
        ("InService", InstanceState::Running),
        ("Standby", InstanceState::Running),
    ] {
        let view = view(&[("i-1", lifecycle)], &[instance("i-1", state)]);
        let [Step::Create(record)] = &steps(&view, &[])[..] else {
            panic!("{lifecycle}: {:?}", steps(&view, &[]))
        };
        assert_eq!(record.name_any(), "i-1");
        assert_eq!(record.spec.node_name, "i-1.ec2.internal");
        assert_eq!(record.spec.addresses, ["10.0.0.1", "i-1.ec2.internal"]);
        assert_eq!(
            record.spec.provider_id.as_deref(),
            Some("aws:///eu-west-1a/i-1")
        );
        assert_eq!(record.spec.join_by, "2026-11-24T20:00:00Z".parse().ok());
        assert_eq!(record.spec.pool.as_deref(), Some("workers"));
        assert_eq!(record.annotations()[LAUNCHED_AT], "2026-11-24T18:00:00Z");
        assert_eq!(record.annotations()[GROUP], "workers");
    }
}

#[test]
fn an_instance_that_is_not_wanted_or_does_not_run_is_not_expected() {
    for (lifecycle, state) in [
        ("Warmed:Running", InstanceState::Running),
        ("Warmed:Stopped", InstanceState::Stopped),
        ("InService", InstanceState::Stopped),
        ("InService", InstanceState::Gone),
        ("InService", InstanceState::Other),
        ("Terminating", InstanceState::Running),
        ("Detaching", InstanceState::Running),
        ("SomethingNew", InstanceState::Running),
    ] {
        let view = view(&[("i-1", lifecycle)], &[instance("i-1", state)]);
        assert_eq!(steps(&view, &[]), [], "{lifecycle} {state:?}");
    }
    // EC2 may know an instance later than its group does.
    assert_eq!(steps(&view(&[("i-1", "Pending")], &[]), &[]), []);
    let mut nameless = instance("i-1", InstanceState::Pending);
    nameless.private_dns_name = None;
    assert_eq!(steps(&view(&[("i-1", "Pending")], &[nameless]), &[]), []);
}

#[test]
fn what_leaves_loses_its_record() {
    let running = instance("i-1", InstanceState::Running);
    let dying = instance("i-1", InstanceState::Gone);
    for (view, expected) in [
        (
            view(
                &[("i-1", "Terminating:Wait")],
                std::slice::from_ref(&running),
            ),
            "workers",
        ),
        (view(&[("i-1", "Terminated")], &[]), "workers"),
        // A spot instance is reclaimed: EC2 knows before the group does.
        (
            view(&[("i-1", "InService")], std::slice::from_ref(&dying)),
            "terminated",
        ),
        (view(&[], &[dying]), "terminated"),
        // It went while nobody looked, and was forgotten: the second answer in a row says so.
        (
            View {
                before: view(&[], &[]).seen(&[recorded("i-1")]),
                ..view(&[], &[])
            },
            "does not know it",
        ),
    ] {
        let steps = steps(&view, &[recorded("i-1")]);
        let [Step::Delete { record, because }] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert_eq!(record.name_any(), "i-1");
        assert!(because.contains(expected), "{because}");
    }
}

#[test]
fn what_may_come_back_keeps_its_record() {
    for (view, told) in [
        (
            view(
                &[("i-1", "InService")],
                &[instance("i-1", InstanceState::Running)],
            ),
            0,
        ),
        (
            view(
                &[("i-1", "Standby")],
                &[instance("i-1", InstanceState::Stopped)],
            ),
            0,
        ),
        // EC2 does not mention it just now.
        (view(&[], &[]), 0),
        // Nor does it where its group knows it.
        (view(&[("i-1", "InService")], &[]), 0),
        // It was detached.
        (view(&[], &[instance("i-1", InstanceState::Running)]), 1),
        // Another entry of the configuration mirrors its group.
        (
            View {
                groups: ["others".to_owned()].into(),
                ..view(&[], &[instance("i-1", InstanceState::Running)])
            },
            0,
        ),
    ] {
        let steps = steps(&view, &[recorded("i-1")]);
        assert_eq!(steps.len(), told, "{steps:?}");
        assert!(steps.iter().all(|step| matches!(step, Step::Tell(_))));
    }
}

#[test]
fn addresses_are_corrected_and_nothing_else_is() {
    let mut moved = instance("i-1", InstanceState::Running);
    moved.addresses.push("10.0.0.2".parse().unwrap());
    // A stopped instance that is started again has another launch time; it is no new machine.
    moved.launched_at = "2026-11-25T00:00:00Z".parse().unwrap();
    let mut before = recorded("i-1");
    before.spec.pool = Some("by-hand".to_owned());
    before.metadata.resource_version = Some("7".to_owned());
    let steps = steps(&view(&[("i-1", "InService")], &[moved]), &[before.clone()]);
    let [Step::Update(after)] = &steps[..] else {
        panic!("{steps:?}")
    };
    before.spec.addresses = ["10.0.0.1", "10.0.0.2", "i-1.ec2.internal"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(*after, before);
}

#[test]
fn a_node_name_that_changes_is_told_and_not_written() {
    let mut renamed = instance("i-1", InstanceState::Running);
    renamed.private_dns_name = Some("other.ec2.internal".parse().unwrap());
    let steps = steps(
        &view(&[("i-1", "InService")], &[renamed]),
        &[recorded("i-1")],
    );
    assert!(matches!(&steps[..], [Step::Tell(text)] if text.contains("other.ec2.internal")));
}

#[test]
fn nodes_may_be_called_by_their_instance_ids() {
    let view = view(
        &[("i-1", "InService")],
        &[instance("i-1", InstanceState::Running)],
    );
    let settings = Settings {
        node_name: NodeNameFrom::InstanceId,
        ..settings()
    };
    let steps = plan(&view, &[], &settings, &windows());
    assert!(matches!(&steps[..], [Step::Create(record)] if record.spec.node_name == "i-1"));
}

#[test]
fn what_goes_is_first() {
    let view = view(
        &[("i-1", "Pending"), ("i-2", "Terminating")],
        &[
            instance("i-1", InstanceState::Running),
            instance("i-2", InstanceState::Running),
        ],
    );
    let steps = steps(&view, &[recorded("i-2")]);
    assert!(matches!(&steps[..], [Step::Delete { .. }, Step::Create(_)]));
}

#[test]
fn a_group_of_any_name_is_mirrored() {
    assert!(is_pool("workers-a.1_x"));
    for name in ["my group", "-a", "a/b", "ü", ""] {
        assert!(!is_pool(name), "{name}");
    }
}

#[test]
fn what_was_missing_and_came_back_has_to_be_missing_twice_again() {
    let present = [recorded("i-1")];
    let running = [instance("i-1", InstanceState::Running)];
    let mut before = view(&[], &[]).seen(&present);
    for instances in [&running[..], &[]] {
        let view = View {
            before,
            ..view(&[], instances)
        };
        let steps = steps(&view, &present);
        assert!(
            !steps.iter().any(|step| matches!(step, Step::Delete { .. })),
            "{steps:?}"
        );
        before = view.seen(&present);
    }
}

#[test]
fn an_instance_of_a_warm_pool_is_expected_from_the_moment_at_which_it_leaves() {
    let running = [instance("i-1", InstanceState::Running)];
    let warm = view(&[("i-1", "Warmed:Running")], &running);
    let mut before = warm.seen(&[]);
    // Between the two it is of no state that is wanted.
    let between = View {
        before,
        ..view(&[("i-1", "Warmed:Pending:Proceed")], &running)
    };
    before = between.seen(&[]);
    let left = View {
        before,
        ..view(&[("i-1", "InService")], &running)
    };
    let steps = steps(&left, &[]);
    let [Step::Create(record)] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(record.spec.join_by, "2026-11-24T23:00:00Z".parse().ok());
    assert_eq!(record.annotations()[LAUNCHED_AT], "2026-11-24T18:00:00Z");
    assert_eq!(left.seen(&[]), left.before, "until it has a record");
    assert_eq!(left.seen(std::slice::from_ref(record)), Seen::default());
}

#[test]
fn a_record_holds_no_more_addresses_than_it_may() {
    let mut large = instance("i-1", InstanceState::Running);
    let address = |last: u8| IpAddr::from([10, 0, 1, last]);
    large.addresses = (0..70).map(address).collect();
    let steps = steps(&view(&[("i-1", "InService")], &[large]), &[]);
    let [Step::Create(record)] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(record.spec.addresses.len(), MAX_ADDRESSES);
    assert_eq!(record.spec.addresses.last().unwrap(), "i-1.ec2.internal");
}
