//! The stages of a Machine, from its record to its serving certificate.

use super::super::tests::{cluster, put, put_machine};
use super::*;
use crate::fixtures::{World, at, machine, node, request, request_uid};
use crate::{Change, Reason, Request, Settlement};

fn join(cluster: &Cluster, now: Timestamp) -> Join {
    cluster.joins(Source::OpenShift, now).remove(0)
}

fn registers(cluster: &mut Cluster, created_at: Timestamp) {
    is_ready(cluster, created_at, false);
}

fn is_ready(cluster: &mut Cluster, created_at: Timestamp, ready: bool) {
    let registered = Node {
        ready,
        ..Node::new("n-0", created_at)
    };
    cluster.apply(Change::Node(node("worker-0"), registered), created_at);
}

/// Approves the request, with or without an issued certificate.
fn seen_approved(cluster: &mut Cluster, issued: bool) {
    let request = Request {
        standing: Standing::Approved(at(61)),
        issued,
        ..request("csr-0", "worker-0", 0)
    };
    put(cluster, request);
}

/// A cluster in which a first certificate was approved for the Machine at 61, or is about to be.
fn requested() -> Cluster {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    cluster
}

fn approved() -> Cluster {
    let mut cluster = requested();
    assert!(cluster.judge(&request_uid("csr-0"), at(61)).is_some());
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    cluster
}

#[test]
fn each_step_is_seen() {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let seen = join(&cluster, at(59));
    assert_eq!(seen.stage, JoinStage::Provisioned);
    assert_eq!((seen.waiting, seen.approved, seen.node), (None, None, None));
    assert_eq!(seen.deadline, Some(at(7200)));

    let mut cluster = approved();
    let seen = join(&cluster, at(62));
    assert_eq!(seen.stage, JoinStage::Approved);
    assert_eq!(seen.approved, Some((at(61), Some("csr-0".to_owned()))));
    assert_eq!(seen.waiting, None);
    seen_approved(&mut cluster, false);
    assert_eq!(join(&cluster, at(62)).stage, JoinStage::Approved);
    seen_approved(&mut cluster, true);
    assert_eq!(join(&cluster, at(63)).stage, JoinStage::Issued);

    registers(&mut cluster, at(90));
    let seen = join(&cluster, at(91));
    assert_eq!(seen.stage, JoinStage::Registered);
    assert_eq!(seen.node.unwrap().0, node("worker-0"));

    let serving = Request {
        uid: request_uid("csr-1"),
        name: "csr-1".to_owned(),
        created_at: at(92),
        standing: Standing::Approved(at(93)),
        ..World::servable().request
    };
    cluster.apply(Change::Request(Box::new(serving)), at(94));
    assert_eq!(join(&cluster, at(94)).stage, JoinStage::Serving);
    is_ready(&mut cluster, at(90), true);
    assert_eq!(join(&cluster, at(95)).stage, JoinStage::Ready);
    // A recreated Node of that name must request a certificate again.
    registers(&mut cluster, at(100));
    assert_eq!(join(&cluster, at(101)).stage, JoinStage::Registered);
}

#[test]
fn a_request_that_waits_says_what_for() {
    let mut cluster = requested();
    let late = Request {
        created_at: at(8000),
        ..request("csr-1", "worker-0", 1)
    };
    put(&mut cluster, late);
    let seen = join(&cluster, at(8001));
    assert_eq!(seen.stage, JoinStage::Requested);
    let (name, finding) = seen.waiting.unwrap();
    assert_eq!(
        (name.as_str(), finding.reason),
        ("csr-1", Reason::OutsideJoinWindow)
    );
}

#[test]
fn a_record_may_name_its_own_deadline() {
    let mut cluster = cluster();
    let mut record = machine("m-0", "worker-0");
    record.join_by = Some(at(30));
    put_machine(&mut cluster, record);
    put(&mut cluster, request("csr-0", "worker-0", 0));
    let seen = join(&cluster, at(61));
    assert_eq!(seen.deadline, Some(at(30)));
    assert_eq!(seen.waiting.unwrap().1.reason, Reason::OutsideJoinWindow);
}

#[test]
fn a_node_that_was_there_before_the_approval_is_not_the_machines() {
    let mut cluster = approved();
    registers(&mut cluster, at(50));
    assert_eq!(join(&cluster, at(91)).node, None);
    // Neither is one that registers without an approval.
    let mut cluster = requested();
    registers(&mut cluster, at(90));
    assert_eq!(join(&cluster, at(91)).node, None);
}

#[test]
fn nobody_is_bound_while_two_machines_own_the_name() {
    let mut cluster = approved();
    put_machine(&mut cluster, machine("m-1", "worker-0"));
    registers(&mut cluster, at(90));
    let joins = cluster.joins(Source::OpenShift, at(91));
    assert_eq!(joins.len(), 2);
    for seen in joins {
        assert_eq!(seen.node, None);
    }
}

#[test]
fn a_bound_machine_whose_node_is_gone_has_no_node() {
    let mut cluster = cluster();
    let mut record = machine("m-0", "worker-0");
    record.node_reference = Some(node("worker-0"));
    put_machine(&mut cluster, record);
    let seen = join(&cluster, at(10));
    assert_eq!((seen.stage, seen.node), (JoinStage::Issued, None));
    registers(&mut cluster, at(90));
    assert_eq!(join(&cluster, at(91)).stage, JoinStage::Registered);
}

#[test]
fn what_no_decision_rests_on_wakes_nobody() {
    let mut cluster = approved();
    seen_approved(&mut cluster, false);
    registers(&mut cluster, at(90));
    put(&mut cluster, request("csr-1", "worker-0", 1));
    let issued = Request {
        standing: Standing::Approved(at(61)),
        issued: true,
        ..request("csr-0", "worker-0", 0)
    };
    let woken = cluster.apply(Change::Request(Box::new(issued)), at(91));
    assert!(woken.is_empty(), "{woken:?}");
    let told = |created_at, ready| {
        let uid = "n-0".to_owned();
        let known = Node {
            ready,
            ..Node::new(uid, created_at)
        };
        Change::Node(node("worker-0"), known)
    };
    assert!(cluster.is_known(&told(at(90), false)));
    assert!(!cluster.is_known(&told(at(90), true)));
    assert!(cluster.apply(told(at(90), true), at(92)).is_empty());
    assert!(cluster.is_known(&told(at(90), true)));
    assert_eq!(cluster.apply(told(at(91), true), at(93)).len(), 1);
}

#[test]
fn the_approval_outlives_its_request() {
    let mut cluster = approved();
    cluster.apply(Change::RequestGone(request_uid("csr-0")), at(4000));
    registers(&mut cluster, at(4001));
    let seen = join(&cluster, at(4002));
    assert_eq!(seen.approved, Some((at(61), None)));
    assert_eq!(seen.stage, JoinStage::Registered);
}

/// A record of the Node `n-0`, which existed long before.
fn adopted(bound: bool) -> Cluster {
    let mut cluster = cluster();
    is_ready(&mut cluster, at(-1_000_000), true);
    let mut record = machine("m-0", "worker-0");
    record.adopted_node = Some("n-0".to_owned());
    record.node_reference = bound.then(|| node("worker-0"));
    put_machine(&mut cluster, record);
    cluster
}

#[test]
fn a_record_made_for_a_node_is_as_far_as_that_node() {
    for bound in [false, true] {
        let seen = join(&adopted(bound), at(1));
        assert_eq!((seen.stage, seen.adopted), (JoinStage::Ready, true));
        assert_eq!((seen.approved, seen.other_node), (None, None));
        assert_eq!(seen.node.unwrap().1.uid, "n-0");
    }
}

#[test]
fn a_record_made_for_a_node_is_bound_to_no_other_of_its_name() {
    let mut cluster = adopted(false);
    cluster.apply(Change::NodeGone(node("worker-0")), at(2));
    let another = Node {
        ready: true,
        ..Node::new("n-1", at(3))
    };
    cluster.apply(Change::Node(node("worker-0"), another), at(3));
    let seen = join(&cluster, at(4));
    assert_eq!((seen.stage, seen.adopted), (JoinStage::Provisioned, false));
    assert_eq!((seen.node, seen.other_node), (None, Some(node("worker-0"))));
}

#[test]
fn two_records_made_for_one_node_bind_neither() {
    let mut cluster = adopted(false);
    let mut twin = machine("m-1", "worker-0");
    twin.adopted_node = Some("n-0".to_owned());
    put_machine(&mut cluster, twin);
    let all = cluster.joins(Source::OpenShift, at(1));
    assert!(all.iter().all(|seen| seen.node.is_none() && !seen.adopted));
}

#[test]
fn a_node_that_a_record_of_its_name_has_not_become_is_named() {
    let mut cluster = cluster();
    is_ready(&mut cluster, at(-1_000_000), true);
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let seen = join(&cluster, at(1));
    assert_eq!((seen.node, seen.other_node), (None, Some(node("worker-0"))));
}
