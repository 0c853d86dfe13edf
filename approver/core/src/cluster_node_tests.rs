//! Nodes that make requests for themselves: the changes that wake these, and that they spend no Machine.

use super::tests::{cluster, judge, put, put_machine, uids};
use super::*;
use crate::fixtures::{NAMESPACE, World, at, machine, node, registered, request_uid};
use crate::issuing_fixtures::Issuer;
use crate::{Address, MachineUid, Reason, Scope, Served, Source};

/// A renewal by `worker-0` itself.
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
fn a_heartbeat_wakes_nobody_and_the_end_of_ready_does() {
    let mut cluster = cluster();
    let ready = Node {
        ready: true,
        last_heartbeat: Some(at(0)),
        ..registered()
    };
    let told = |one: &Node| Change::Node(node("worker-0"), one.clone());
    cluster.apply(told(&ready), at(61));
    put(&mut cluster, renewal("csr-0"));
    let heard = Node {
        last_heartbeat: Some(at(300)),
        ..ready
    };
    assert!(cluster.is_known(&told(&heard)));
    assert_eq!(cluster.apply(told(&heard), at(301)), uids(&[]));
    let lost = Node {
        ready: false,
        ..heard
    };
    assert!(!cluster.is_known(&told(&lost)));
    assert_eq!(cluster.apply(told(&lost), at(341)), uids(&["csr-0"]));
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
    // A Machine with no requested address, and an unchanged update, wake no request.
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
        Change::MachineList(Scope::new(Source::OpenShift, NAMESPACE), uids.collect())
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

/// A node that requests one address more than its Machine has; the CA has two sources.
fn asking_for_more() -> Cluster {
    let mut cluster = cluster().with_kubelet_ca(["one".to_owned(), "two".to_owned()]);
    cluster.apply(Change::Node(node("worker-0"), registered()), at(0));
    let mut world = World::servable();
    put_machine(&mut cluster, world.bound().clone());
    world.ask_for(&["worker-0"], &["10.0.0.1", "10.0.0.2"]);
    put(&mut cluster, world.request);
    cluster
}

fn authority() -> Change {
    let ca = Issuer::new("kubelet-ca").authority();
    Change::KubeletCa("one".to_owned(), vec![ca])
}

/// A failed dial of these addresses.
fn refused(addresses: &[&str], at: Timestamp) -> Change {
    let served = Served {
        at,
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        answer: Err("refused".to_owned()),
    };
    Change::Served(node("worker-0"), served)
}

/// The number of addresses of the pending dial.
fn dial(cluster: &Cluster, now: Timestamp) -> Option<usize> {
    let decision = cluster.preview(&request_uid("csr-0"), now).unwrap();
    decision.dial().map(|dial| dial.addresses.len())
}

fn held(more: &[Reason]) -> (&'static str, Vec<Reason>) {
    ("hold", [&[Reason::NameNotOwned], more].concat())
}

#[test]
fn a_ca_that_comes_lets_a_node_be_dialled() {
    let nowhere = asking_for_more().with_kubelet_ca([]);
    assert_eq!(dial(&nowhere, at(61)), None);
    let decision = nowhere.preview(&request_uid("csr-0"), at(61)).unwrap();
    assert_eq!(decision.findings().count(), 1, "nobody looks for a CA");
    let mut cluster = asking_for_more();
    let missing = held(&[Reason::KubeletCaMissing]);
    assert_eq!(judge(&mut cluster, "csr-0", at(61)), missing);
    assert_eq!(dial(&cluster, at(61)), None);
    assert_eq!(cluster.apply(authority(), at(62)), uids(&["csr-0"]));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)), held(&[]));
    assert_eq!(dial(&cluster, at(62)), Some(1));
    // A deleted source leaves no certificate.
    let gone = Change::KubeletCa("one".to_owned(), Vec::new());
    assert_eq!(cluster.apply(gone.clone(), at(63)), uids(&["csr-0"]));
    assert_eq!(cluster.apply(gone, at(63)), uids(&[]), "no news");
    assert_eq!(judge(&mut cluster, "csr-0", at(63)), missing);
}

#[test]
fn a_dial_wakes_its_node_and_stands_until_time_or_addresses_change() {
    let mut cluster = asking_for_more();
    cluster.apply(authority(), at(61));
    let woken = cluster.apply(refused(&["10.0.0.1"], at(63)), at(63));
    assert_eq!(woken, uids(&["csr-0"]));
    let unreachable = held(&[Reason::ServingUnreachable]);
    assert_eq!(judge(&mut cluster, "csr-0", at(63)), unreachable);
    assert_eq!(dial(&cluster, at(63)), None);
    // It is retried after a time,
    assert_eq!(cluster.next_due(), Some(at(93)));
    assert_eq!(cluster.due(at(93)), uids(&["csr-0"]));
    assert_eq!(dial(&cluster, at(93)), Some(1));
    // and when the Machine gets another address,
    let mut record = World::servable().bound().clone();
    let ip = Address::InternalIp("10.0.0.7".parse().unwrap());
    record.addresses.push(ip);
    assert_eq!(put_machine(&mut cluster, record), uids(&["csr-0"]));
    assert_eq!(dial(&cluster, at(70)), Some(2));
    // and when the Node was deleted meanwhile.
    let both = ["10.0.0.1", "10.0.0.7"];
    cluster.apply(refused(&both, at(71)), at(71));
    assert_eq!(dial(&cluster, at(72)), None);
    cluster.apply(Change::NodeGone(node("worker-0")), at(72));
    cluster.apply(refused(&both, at(72)), at(72));
    cluster.apply(Change::Node(node("worker-0"), registered()), at(73));
    assert_eq!(dial(&cluster, at(73)), Some(2));
}

#[test]
fn a_ca_that_cannot_be_watched_is_trusted_for_a_while_and_makes_nothing_else_stale() {
    let mut cluster = asking_for_more();
    cluster.apply(authority(), at(0));
    let feed = || Feed::KubeletCa("one".to_owned());
    cluster.apply(Change::Lost(feed(), at(10)), at(10));
    cluster.apply(Change::Lost(feed(), at(50)), at(50));
    assert_eq!(judge(&mut cluster, "csr-0", at(70)), held(&[]));
    let missing = held(&[Reason::KubeletCaMissing]);
    assert_eq!(judge(&mut cluster, "csr-0", at(71)), missing);
    let back = Change::Synced(feed());
    assert_eq!(cluster.apply(back.clone(), at(72)), uids(&["csr-0"]));
    assert_eq!(cluster.apply(back, at(73)), uids(&[]));
    assert_eq!(judge(&mut cluster, "csr-0", at(73)), held(&[]));
}
