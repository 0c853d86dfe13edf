//! Nodes that ask for themselves: which changes wake their requests, and that they spend nothing.

use super::tests::{cluster, judge, put, put_machine, uids};
use super::*;
use crate::fixtures::{NAMESPACE, World, at, machine, node, registered, request_uid};
use crate::{Address, MachineUid, Reason, Source};

/// A renewal of `worker-0` by itself.
fn renewal(name: &str) -> Request {
    Request {
        uid: request_uid(name),
        name: name.to_owned(),
        ..World::renewable().request
    }
}

#[test]
fn a_renewal_waits_for_node_and_node_reference_and_is_no_claim() {
    let mut cluster = cluster();
    let mut record = machine("m-0", "worker-0");
    record.addresses.clear();
    put_machine(&mut cluster, record.clone());
    put(&mut cluster, renewal("csr-0"));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(61)),
        ("hold", vec![Reason::NodeNotFound, Reason::MachineNotFound])
    );
    let woken = cluster.apply(Change::Node(node("worker-0"), registered()), at(61));
    assert_eq!(woken, uids(&["csr-0"]));
    record.node_reference = Some(node("worker-0"));
    assert_eq!(put_machine(&mut cluster, record.clone()), uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("approve", vec![Reason::Renewal])
    );
    // Neither while it is written nor afterwards does it count as a certificate that spent the Machine.
    record.node_reference = None;
    put_machine(&mut cluster, record);
    assert_eq!(cluster.claims_to_record(at(1_000_000)), []);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    let approved = Request {
        standing: Standing::Approved(at(62)),
        ..renewal("csr-0")
    };
    put(&mut cluster, approved);
    assert_eq!(cluster.claims_to_record(at(1_000_000)), []);
    cluster.apply(Change::RequestGone(request_uid("csr-0")), at(63));
    assert_eq!(cluster.claims_to_record(at(1_000_000)), []);
}

#[test]
fn a_machine_that_begins_to_go_away_wakes_a_renewal() {
    let mut cluster = cluster();
    cluster.apply(Change::Node(node("worker-0"), registered()), at(61));
    let mut record = machine("m-0", "worker-0");
    record.node_reference = Some(node("worker-0"));
    record.deleting = true;
    put_machine(&mut cluster, record.clone());
    put(&mut cluster, renewal("csr-0"));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(61)),
        ("hold", vec![Reason::MachineDeleting])
    );
    let gone = Change::MachineGone(record.uid);
    assert_eq!(cluster.apply(gone, at(62)), uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("hold", vec![Reason::MachineNotFound])
    );
}

#[test]
fn an_address_that_comes_or_stops_being_shared_wakes_a_serving_request() {
    let mut cluster = cluster();
    cluster.apply(Change::Node(node("worker-0"), registered()), at(61));
    let ip = Address::InternalIp("10.0.0.1".parse().unwrap());
    let mut record = machine("m-0", "worker-0");
    record.node_reference = Some(node("worker-0"));
    put_machine(&mut cluster, record.clone());
    put(&mut cluster, World::servable().request);
    let hold = |reason| ("hold", vec![reason]);
    assert_eq!(
        judge(&mut cluster, "csr-0", at(61)),
        hold(Reason::NameNotOwned)
    );
    let mut other = machine("m-1", "worker-1");
    other.addresses.push(ip.clone());
    assert_eq!(put_machine(&mut cluster, other.clone()), uids(&["csr-0"]));
    record.addresses.push(ip);
    assert_eq!(put_machine(&mut cluster, record), uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(61)),
        hold(Reason::MachineAmbiguous)
    );
    other.addresses.truncate(1);
    assert_eq!(put_machine(&mut cluster, other.clone()), uids(&["csr-0"]));
    // A Machine with no address that is asked for, and the same news again, wake nobody.
    assert_eq!(put_machine(&mut cluster, other.clone()), uids(&[]));
    other.phase = None;
    assert_eq!(put_machine(&mut cluster, other), uids(&[]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("approve", vec![Reason::ServingCertificate])
    );
}

#[test]
fn a_machine_that_goes_wakes_who_shares_an_address_with_it() {
    let present = |names: &[&str]| {
        let uids = names.iter().map(|name| MachineUid((*name).to_owned()));
        Change::MachineList(Source::OpenShift, NAMESPACE.to_owned(), uids.collect())
    };
    let gone = Change::MachineGone(MachineUid("m-1".to_owned()));
    for change in [gone, present(&["m-0"])] {
        let mut cluster = cluster();
        let mut other = machine("m-1", "worker-1");
        let ip = Address::ExternalIp("10.0.0.1".parse().unwrap());
        other.addresses.push(ip);
        put_machine(&mut cluster, machine("m-0", "worker-0"));
        put_machine(&mut cluster, other);
        put(&mut cluster, World::servable().request);
        assert_eq!(cluster.apply(change, at(61)), uids(&["csr-0"]));
    }
}
