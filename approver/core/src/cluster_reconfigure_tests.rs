//! The immediate effects of another configuration, and the state that it must keep.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::cluster::tests::{judge, put, put_machine, uids};
use crate::fixtures::{NAMESPACE, at, machine, request, request_uid};
use crate::{
    Change, Cluster, Feed, LookUp, MachineUid, NameStrategy, Naming, Policy, Reason, Scope,
    Settlement, Source, Standing,
};

fn scope(namespace: &str) -> Scope {
    Scope::new(Source::OpenShift, namespace)
}

fn feed(namespace: &str) -> Feed {
    Feed::Machines(scope(namespace))
}

/// A cluster with all Machines of the usual namespace, among them one for `worker-0`.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Policy::default(), [feed(NAMESPACE)]);
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    cluster.apply(Change::Synced(feed(NAMESPACE)), at(61));
    cluster
}

/// Approves `csr-0` for `m-0`.
fn approve(cluster: &mut Cluster) {
    put(cluster, request("csr-0", "worker-0", 0));
    assert_eq!(judge(cluster, "csr-0", at(62)).0, "approve");
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
}

#[test]
fn another_policy_counts_at_once_and_wakes_everything_that_waits() {
    let mut cluster = cluster();
    let mut late = request("csr-0", "worker-0", 0);
    late.created_at = at(3 * 3600);
    put(&mut cluster, late);
    put(&mut cluster, request("csr-1", "worker-1", 1));
    let now = at(3 * 3600 + 1);
    let (_, reasons) = judge(&mut cluster, "csr-0", now);
    assert_eq!(reasons, [Reason::OutsideJoinWindow]);
    let mut policy = Policy::default();
    policy.rules.join_window = SignedDuration::from_hours(4);
    let woken = cluster.reconfigure(policy, &BTreeSet::from([scope(NAMESPACE)]));
    assert_eq!(woken, uids(&["csr-0", "csr-1"]));
    assert_eq!(judge(&mut cluster, "csr-0", now).0, "approve");
}

#[test]
fn the_machines_of_a_feed_that_is_no_longer_named_leave_the_roll() {
    let mut cluster = cluster();
    put(&mut cluster, request("csr-0", "worker-0", 0));
    cluster.reconfigure(Policy::default(), &BTreeSet::new());
    assert!(cluster.roll().is_empty());
    let held = judge(&mut cluster, "csr-0", at(62));
    assert_eq!(held, ("hold", vec![Reason::MachineNotFound]));
}

#[test]
fn a_machine_that_is_read_in_another_place_too_stays_on_the_roll() {
    let mut cluster = cluster();
    let both = BTreeSet::from([scope(NAMESPACE), scope("")]);
    cluster.reconfigure(Policy::default(), &both);
    cluster.apply(Change::Synced(feed("")), at(61));
    cluster.reconfigure(Policy::default(), &BTreeSet::from([scope("")]));
    assert_eq!(cluster.roll().len(), 1);
    put(&mut cluster, request("csr-0", "worker-0", 0));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
}

#[test]
fn a_new_feed_holds_what_only_it_could_know_until_it_is_complete_and_the_others_stay_live() {
    let mut cluster = cluster();
    put(&mut cluster, request("csr-0", "worker-0", 0));
    put(&mut cluster, request("csr-1", "worker-1", 1));
    let both = BTreeSet::from([scope(NAMESPACE), scope("elsewhere")]);
    cluster.reconfigure(Policy::default(), &both);
    let held = judge(&mut cluster, "csr-1", at(62));
    let unknown = vec![Reason::FactsStale, Reason::MachineNotFound];
    assert_eq!(held, ("hold", unknown));
    let starting: Vec<&Feed> = cluster.freshness().starting().collect();
    assert_eq!(starting, [&feed("elsewhere")]);
    let woken = cluster.apply(Change::Synced(feed("elsewhere")), at(63));
    assert_eq!(woken, uids(&["csr-0", "csr-1"]));
    assert_eq!(
        judge(&mut cluster, "csr-1", at(63)),
        ("hold", vec![Reason::MachineNotFound])
    );
    assert_eq!(judge(&mut cluster, "csr-0", at(63)).0, "approve");
}

#[test]
fn a_spent_machine_is_still_spent_when_its_feed_comes_back() {
    let mut cluster = cluster();
    approve(&mut cluster);
    cluster.apply(Change::RequestGone(request_uid("csr-0")), at(63));
    cluster.reconfigure(Policy::default(), &BTreeSet::new());
    cluster.forget_claims_of_gone_machines();
    // After a restart, the claim is in the record.
    let [claim] = cluster.claims_to_record(at(64)).try_into().unwrap();
    assert_eq!(claim.machine, MachineUid("m-0".to_owned()));
    let named = BTreeSet::from([scope(NAMESPACE)]);
    cluster.reconfigure(Policy::default(), &named);
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    cluster.apply(Change::Synced(feed(NAMESPACE)), at(65));
    put(&mut cluster, request("csr-1", "worker-0", 1));
    let held = judge(&mut cluster, "csr-1", at(66));
    assert_eq!(held, ("hold", vec![Reason::AlreadyIssued]));
    // Back on the roll, it is forgotten like any other once it is deleted.
    cluster.apply(Change::MachineGone(MachineUid("m-0".to_owned())), at(67));
    cluster.forget_claims_of_gone_machines();
    assert_eq!(cluster.claims_to_record(at(68)), []);
}

#[test]
fn a_narrower_clock_skew_does_not_give_a_spent_machine_out_again() {
    let mut cluster = cluster();
    let mut early = request("csr-0", "worker-0", 0);
    early.created_at = at(-5);
    early.standing = Standing::Approved(at(1));
    put(&mut cluster, early);
    let policy = Policy {
        clock_skew: SignedDuration::ZERO,
        ..Policy::default()
    };
    cluster.reconfigure(policy, &BTreeSet::from([scope(NAMESPACE)]));
    put(&mut cluster, request("csr-1", "worker-0", 1));
    let held = judge(&mut cluster, "csr-1", at(50));
    assert_eq!(held, ("hold", vec![Reason::AlreadyIssued]));
}

#[test]
fn another_naming_reads_the_names_of_every_machine_anew() {
    let mut cluster = cluster();
    put(&mut cluster, request("csr-0", "m-0", 0));
    put(&mut cluster, request("csr-1", "worker-0", 1));
    let naming = Naming {
        strategies: vec![NameStrategy::MachineName],
        templates: Vec::new(),
        guess: None,
    };
    let policy = Policy {
        naming: BTreeMap::from([(scope(NAMESPACE), naming)]),
        ..Policy::default()
    };
    cluster.reconfigure(policy, &BTreeSet::from([scope(NAMESPACE)]));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
    let held = judge(&mut cluster, "csr-1", at(62));
    assert_eq!(held, ("hold", vec![Reason::MachineNotFound]));
}

#[test]
fn a_look_up_that_is_no_longer_named_holds_up_nobody() {
    let looked_up = Scope {
        look_up: Some(LookUp::Ec2 { region: None }),
        ..scope(NAMESPACE)
    };
    let mut cluster = Cluster::new(Policy::default(), looked_up.feeds());
    cluster.apply(Change::Synced(Feed::Machines(looked_up.clone())), at(0));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    let (_, reasons) = judge(&mut cluster, "csr-0", at(62));
    assert_eq!(reasons, [Reason::FactsStale, Reason::MachineNotFound]);
    let lost = Change::Lost(Feed::Instances(looked_up), at(62));
    assert_eq!(cluster.apply(lost, at(62)), uids(&["csr-0"]));

    cluster.reconfigure(Policy::default(), &BTreeSet::from([scope(NAMESPACE)]));
    assert!(!cluster.freshness().all_heard());
    cluster.apply(Change::Synced(feed(NAMESPACE)), at(63));
    assert!(cluster.freshness().all_heard());
    let (_, reasons) = judge(&mut cluster, "csr-0", at(63));
    assert_eq!(reasons, [Reason::MachineNotFound]);
}
