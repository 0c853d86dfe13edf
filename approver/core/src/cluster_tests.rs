//! The requests that a change wakes, the objects that a full list removes, and changes during a write.

use jiff::SignedDuration;
use rollcall_csr::Signer;

use super::requests::CROWD;
use super::*;
use crate::fixtures::{
    Asked, NAMESPACE, at, machine, node, reasons, registered, request, request_uid,
};
use crate::{Address, Contested, Machine, Reason, Rules, Scope};

/// A cluster with all feeds synced.
pub(super) fn cluster() -> Cluster {
    Cluster::new(Policy::default(), [])
}

/// The same, where the newest request wins.
fn newest() -> Cluster {
    let rules = Rules {
        contested: Contested::Newest,
        ..Rules::default()
    };
    let policy = Policy {
        rules,
        ..Policy::default()
    };
    Cluster::new(policy, [])
}

pub(super) fn uids(names: &[&str]) -> BTreeSet<RequestUid> {
    names.iter().map(|name| request_uid(name)).collect()
}

pub(super) fn put(cluster: &mut Cluster, request: Request) -> BTreeSet<RequestUid> {
    cluster.apply(Change::Request(Box::new(request)), at(61))
}

pub(super) fn put_machine(cluster: &mut Cluster, machine: Machine) -> BTreeSet<RequestUid> {
    cluster.apply(Change::Machine(Box::new(machine)), at(61))
}

/// Two requests that wait for two missing Machines.
fn waiting() -> Cluster {
    let mut cluster = cluster();
    for name in ["worker-0", "worker-1"] {
        let csr = name.replace("worker", "csr");
        assert_eq!(
            put(&mut cluster, request(&csr, name, 0)),
            uids(&[csr.as_str()])
        );
        let decision = cluster.judge(&request_uid(&csr), at(61)).unwrap();
        assert_eq!(decision.reason(), Reason::MachineNotFound);
    }
    cluster
}

pub(super) fn judge(
    cluster: &mut Cluster,
    name: &str,
    now: Timestamp,
) -> (&'static str, Vec<Reason>) {
    let decision = cluster.judge(&request_uid(name), now).unwrap();
    (decision.verdict().as_str(), reasons(&decision))
}

#[test]
fn a_machine_wakes_the_requests_for_its_name_and_no_others() {
    let mut cluster = waiting();
    let woken = put_machine(&mut cluster, machine("m-0", "worker-0"));
    assert_eq!(woken, uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("approve", vec![Reason::FirstCertificate])
    );
}

#[test]
fn addresses_that_come_late_wake_the_request() {
    let mut cluster = waiting();
    let mut record = machine("m-0", "worker-0");
    let addresses = std::mem::take(&mut record.addresses);
    assert_eq!(put_machine(&mut cluster, record.clone()), uids(&[]));
    record.addresses = addresses;
    assert_eq!(put_machine(&mut cluster, record.clone()), uids(&["csr-0"]));
    // An unchanged update wakes nothing; a change that does not affect the name does.
    assert_eq!(put_machine(&mut cluster, record.clone()), uids(&[]));
    record.phase = Some("Provisioning".to_owned());
    assert_eq!(put_machine(&mut cluster, record), uids(&["csr-0"]));
}

#[test]
fn an_address_that_moves_wakes_both_names() {
    let mut cluster = waiting();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let woken = put_machine(&mut cluster, machine("m-0", "worker-1"));
    assert_eq!(woken, uids(&["csr-0", "csr-1"]));
    // A second owner of the name makes it ambiguous.
    let mut second = machine("m-1", "worker-1");
    second.addresses.push(Address::Hostname(node("elsewhere")));
    assert_eq!(put_machine(&mut cluster, second), uids(&["csr-1"]));
    let held = judge(&mut cluster, "csr-1", at(62));
    assert_eq!(held, ("hold", vec![Reason::MachineAmbiguous]));
}

#[test]
fn a_node_that_is_deleted_wakes_the_request_for_its_name() {
    let mut cluster = waiting();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let exists = Change::Node(node("worker-0"), registered());
    assert_eq!(cluster.apply(exists.clone(), at(61)), uids(&["csr-0"]));
    assert_eq!(cluster.apply(exists, at(61)), uids(&[]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("hold", vec![Reason::NodeExists])
    );
    let gone = Change::NodeGone(node("worker-0"));
    assert_eq!(cluster.apply(gone.clone(), at(63)), uids(&["csr-0"]));
    assert_eq!(cluster.apply(gone, at(63)), uids(&[]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(63)),
        ("approve", vec![Reason::FirstCertificate])
    );
}

#[test]
fn a_machine_that_is_deleted_wakes_its_request() {
    let mut cluster = waiting();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let gone = Change::MachineGone(MachineUid("m-0".to_owned()));
    assert_eq!(cluster.apply(gone, at(61)), uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("hold", vec![Reason::MachineNotFound])
    );
}

#[test]
fn the_older_request_is_woken_when_the_newer_one_goes() {
    let mut cluster = newest();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    let newer = Request {
        created_at: at(61),
        ..request("csr-9", "worker-0", 1)
    };
    assert_eq!(put(&mut cluster, newer), uids(&["csr-0", "csr-9"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("hold", vec![Reason::Superseded])
    );
    let gone = Change::RequestGone(request_uid("csr-9"));
    assert_eq!(cluster.apply(gone, at(62)), uids(&["csr-0"]));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("approve", vec![Reason::FirstCertificate])
    );
}

#[test]
fn a_request_for_another_signer_is_no_rival() {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    let serving = Request {
        created_at: at(61),
        signer: Signer::KubeletServing,
        ..request("csr-9", "worker-0", 1)
    };
    put(&mut cluster, serving);
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
    assert_eq!(
        judge(&mut cluster, "csr-9", at(62)),
        ("ignore", vec![Reason::RequestorNotAllowed])
    );
}

#[test]
fn a_feed_that_is_complete_wakes_everything_once() {
    let mut cluster = Cluster::new(Policy::default(), [Feed::Nodes]);
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    put(&mut cluster, request("csr-1", "worker-1", 0));
    assert_eq!(
        judge(&mut cluster, "csr-0", at(62)),
        ("hold", vec![Reason::FactsStale])
    );
    let synced = Change::Synced(Feed::Nodes);
    assert_eq!(
        cluster.apply(synced.clone(), at(62)),
        uids(&["csr-0", "csr-1"])
    );
    assert_eq!(cluster.apply(synced, at(62)), uids(&[]));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
}

#[test]
fn facts_of_a_lost_feed_are_used_for_a_while_only() {
    let mut cluster = Cluster::new(Policy::default(), [Feed::Nodes]);
    cluster.apply(Change::Synced(Feed::Nodes), at(0));
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    assert_eq!(
        cluster.apply(Change::Lost(Feed::Nodes, at(100)), at(100)),
        uids(&[])
    );
    let verdict = |cluster: &Cluster, now| {
        let decision = cluster.preview(&request_uid("csr-0"), now).unwrap();
        decision.reason()
    };
    assert_eq!(verdict(&cluster, at(160)), Reason::FirstCertificate);
    assert_eq!(verdict(&cluster, at(161)), Reason::FactsStale);
    let woken = cluster.apply(Change::Synced(Feed::Nodes), at(162));
    assert_eq!(woken, uids(&["csr-0"]));
    assert_eq!(verdict(&cluster, at(162)), Reason::FirstCertificate);
}

#[test]
fn a_full_list_of_machines_removes_what_is_missing_in_its_namespace_only() {
    let mut cluster = waiting();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let mut elsewhere = machine("m-1", "worker-1");
    elsewhere.reference.namespace = "elsewhere".to_owned();
    put_machine(&mut cluster, elsewhere);
    let kept = HashSet::from([MachineUid("m-0".to_owned())]);
    let list = Change::MachineList(Scope::new(Source::OpenShift, NAMESPACE), kept);
    assert_eq!(cluster.apply(list, at(61)), uids(&[]));
    assert_eq!(cluster.roll().len(), 2);
    let empty = Change::MachineList(Scope::new(Source::OpenShift, NAMESPACE), HashSet::new());
    assert_eq!(cluster.apply(empty, at(61)), uids(&["csr-0"]));
    let empty = Change::MachineList(Scope::new(Source::OpenShift, "elsewhere"), HashSet::new());
    assert_eq!(cluster.apply(empty, at(61)), uids(&["csr-1"]));
    assert!(cluster.roll().is_empty());
}

#[test]
fn a_full_list_of_nodes_removes_what_is_missing() {
    let mut cluster = waiting();
    for name in ["worker-0", "worker-1"] {
        cluster.apply(Change::Node(node(name), registered()), at(61));
    }
    let list = Change::NodeList(HashSet::from([node("worker-1")]));
    assert_eq!(cluster.apply(list, at(61)), uids(&["csr-0"]));
    let held = |name| {
        let decision = cluster.preview(&request_uid(name), at(61)).unwrap();
        reasons(&decision)
    };
    assert_eq!(held("csr-0"), [Reason::MachineNotFound]);
    assert_eq!(held("csr-1"), [Reason::MachineNotFound, Reason::NodeExists]);
}

#[test]
fn a_full_list_of_requests_removes_what_is_missing_for_its_signer_only() {
    let mut cluster = waiting();
    let serving = Request {
        signer: Signer::KubeletServing,
        ..request("csr-2", "worker-0", 0)
    };
    put(&mut cluster, serving);
    let signer = Signer::KubeApiserverClientKubelet;
    let kept = HashSet::from([request_uid("csr-1")]);
    // The deleted request had the same node name as the serving request, which is judged again.
    let woken = cluster.apply(Change::RequestList(signer, kept), at(61));
    assert_eq!(woken, uids(&["csr-2"]));
    let left: BTreeSet<RequestUid> = cluster.pending().collect();
    assert_eq!(left, uids(&["csr-1", "csr-2"]));
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(61)), None);
}

#[test]
fn nothing_is_judged_while_it_is_written_or_after_it_was_decided() {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(62)), None);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    // Until the watch shows the approval, no change causes another write.
    let woken = put_machine(
        &mut cluster,
        Machine {
            phase: Some("Running".to_owned()),
            ..machine("m-0", "worker-0")
        },
    );
    assert_eq!(woken, uids(&[]));
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(62)), None);
    let approved = Request {
        standing: Standing::Approved(at(62)),
        ..request("csr-0", "worker-0", 0)
    };
    assert_eq!(put(&mut cluster, approved.clone()), uids(&[]));
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(63)), None);
    assert_eq!(put(&mut cluster, approved), uids(&[]));
    assert_eq!(cluster.judge(&request_uid("unknown"), at(63)), None);
}

#[test]
fn a_denial_is_written_once_and_spends_nothing() {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let mut asked = Asked::of_kubelet("worker-0", 0);
    asked.organization = "system:masters".to_owned();
    let wrong = Request {
        content: asked.content(),
        ..request("csr-0", "worker-0", 0)
    };
    put(&mut cluster, wrong);
    put(&mut cluster, request("csr-1", "worker-0", 1));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "deny");
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(62)), None);
    assert_eq!(
        cluster.settle(&request_uid("csr-0"), Settlement::Undone),
        uids(&[])
    );
    // The write failed: it is retried until it succeeds.
    assert_eq!(judge(&mut cluster, "csr-0", at(63)).0, "deny");
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    assert_eq!(cluster.judge(&request_uid("csr-0"), at(64)), None);
    assert_eq!(judge(&mut cluster, "csr-1", at(63)).0, "approve");
}

#[test]
fn denied_requests_are_not_looked_through_for_others_of_their_name() {
    let mut cluster = cluster();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    for number in 0..3 {
        let name = format!("csr-{number}");
        put(&mut cluster, request(&name, "worker-0", number));
        let denied = Request {
            standing: Standing::Closed,
            ..request(&name, "worker-0", number)
        };
        assert_eq!(put(&mut cluster, denied), BTreeSet::new());
    }
    assert!(cluster.filed.is_empty());
    put(&mut cluster, request("csr-3", "worker-0", 3));
    assert_eq!(judge(&mut cluster, "csr-3", at(62)).0, "approve");
}

#[test]
fn a_request_that_waits_for_a_time_is_due_then_and_once() {
    let mut cluster = newest();
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    assert_eq!(judge(&mut cluster, "csr-0", at(62)).0, "approve");
    put(&mut cluster, request("csr-1", "worker-0", 1));
    assert_eq!(cluster.next_due(), None);
    assert_eq!(
        judge(&mut cluster, "csr-1", at(63)),
        ("hold", vec![Reason::AlreadyIssued])
    );
    let due = at(62 + 300);
    assert_eq!(cluster.next_due(), Some(due));
    let early = due.checked_sub(SignedDuration::from_millis(1)).unwrap();
    assert_eq!(cluster.due(early), uids(&[]));
    assert_eq!(cluster.due(due), uids(&["csr-1"]));
    assert_eq!(cluster.due(due), uids(&[]));
    assert_eq!(cluster.next_due(), None);
    // A deleted request has no timer.
    judge(&mut cluster, "csr-1", at(64));
    cluster.apply(Change::RequestGone(request_uid("csr-1")), at(64));
    assert_eq!(cluster.next_due(), None);
}

#[test]
fn a_crowd_for_one_name_is_woken_by_its_machine_and_not_by_each_newcomer() {
    let mut cluster = newest();
    let crowd = CROWD + 20;
    for number in 0..crowd {
        let uid = format!("csr-{number:03}");
        let woken = put(&mut cluster, request(&uid, "worker-0", 0));
        assert!(woken.contains(&request_uid(&uid)));
        if number > CROWD {
            assert_eq!(woken.len(), 1, "the newcomer {number} wakes itself only");
        }
    }
    let woken = put_machine(&mut cluster, machine("m-0", "worker-0"));
    assert_eq!(woken.len(), crowd);
    let approved: Vec<RequestUid> = woken
        .into_iter()
        .filter(|uid| {
            let decision = cluster.judge(uid, at(61)).unwrap();
            matches!(decision.verdict(), Verdict::Approve(_))
        })
        .collect();
    // Created in the same second, so the name decides: the last one counts as the newest.
    assert_eq!(approved, [request_uid(&format!("csr-{:03}", crowd - 1))]);
}

/// A cluster in which two more than a crowd request one pending Machine, one per second, alternating between two keys.
fn crowd() -> (Cluster, usize) {
    let mut cluster = newest();
    let size = CROWD + 2;
    for number in 0..size {
        let seconds = i64::try_from(number).unwrap();
        let request = Request {
            created_at: at(seconds),
            ..request(&format!("csr-{number:03}"), "worker-0", number % 2)
        };
        put(&mut cluster, request);
    }
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    (cluster, size)
}

#[test]
fn in_a_crowd_those_that_a_request_stood_in_the_way_of_are_woken_when_it_goes() {
    let (mut cluster, size) = crowd();
    let newest = format!("csr-{:03}", size - 1);
    let older: BTreeSet<RequestUid> = cluster
        .pending()
        .filter(|uid| *uid != request_uid(&newest))
        .collect();
    let now = at(1000);
    for uid in &older {
        let decision = cluster.judge(uid, now).unwrap();
        assert_eq!(decision.reason(), Reason::Superseded, "{uid:?}");
    }
    let gone = Change::RequestGone(request_uid(&newest));
    assert_eq!(cluster.apply(gone, now), older);
    let next = format!("csr-{:03}", size - 2);
    assert_eq!(judge(&mut cluster, &next, now).0, "approve");
}

#[test]
fn in_a_crowd_a_claim_that_comes_to_nothing_wakes_those_that_it_held() {
    let (mut cluster, size) = crowd();
    let newest = format!("csr-{:03}", size - 1);
    let now = at(1000);
    assert_eq!(judge(&mut cluster, &newest, now).0, "approve");
    let other = format!("csr-{:03}", size - 2);
    assert_eq!(
        judge(&mut cluster, &other, now),
        ("hold", vec![Reason::AlreadyIssued, Reason::Superseded])
    );
    let woken = cluster.settle(&request_uid(&newest), Settlement::Undone);
    assert_eq!(woken, uids(&[&other]));
    // The same if the signer fails.
    assert_eq!(judge(&mut cluster, &newest, now).0, "approve");
    assert_eq!(judge(&mut cluster, &other, now).0, "hold");
    cluster.settle(&request_uid(&newest), Settlement::Written);
    let failed = Request {
        standing: Standing::Closed,
        ..cluster.request(&request_uid(&newest)).unwrap().clone()
    };
    assert_eq!(put(&mut cluster, failed), uids(&[&other]));
    assert_eq!(judge(&mut cluster, &other, now).0, "approve");
}

#[test]
fn a_request_of_a_crowd_is_judged_by_the_newest_and_the_oldest_of_the_others() {
    let (cluster, _) = crowd();
    let oldest = cluster.request(&request_uid("csr-000")).unwrap();
    let facts = cluster.facts(oldest, at(1000));
    assert_eq!((facts.rivals.len(), facts.crowded), (CROWD, true));
    let newest_first = facts
        .rivals
        .is_sorted_by_key(|rival| std::cmp::Reverse(rival.created_at));
    assert!(newest_first);
    let ends = [facts.rivals.first(), facts.rivals.last()];
    let ends = ends.map(|rival| rival.unwrap().name.as_str());
    assert_eq!(ends, ["csr-065", "csr-001"]);
}

#[test]
fn a_request_whose_decision_is_refused_stands_in_no_other_s_way() {
    let mut cluster = newest();
    let (older, newer) = (request_uid("csr-0"), request_uid("csr-1"));
    put(&mut cluster, request("csr-0", "worker-0", 0));
    let later = Request {
        created_at: at(61),
        ..request("csr-1", "worker-0", 1)
    };
    put(&mut cluster, later);
    put_machine(&mut cluster, machine("m-0", "worker-0"));
    let reason = |cluster: &mut Cluster, uid: &RequestUid| {
        let decision = cluster.judge(uid, at(62)).unwrap();
        (decision.verdict().as_str(), decision.reason())
    };
    assert_eq!(reason(&mut cluster, &older), ("hold", Reason::Superseded));
    assert_eq!(reason(&mut cluster, &newer).0, "approve");
    let woken = cluster.settle(&newer, Settlement::Refused);
    assert!(woken.contains(&older), "{woken:?}");
    assert_eq!(reason(&mut cluster, &older).0, "approve");
    cluster.settle(&older, Settlement::Undone);
    // After its decision is accepted, it counts like any other.
    assert_eq!(reason(&mut cluster, &newer).0, "approve");
    cluster.settle(&newer, Settlement::Written);
    assert_eq!(reason(&mut cluster, &older).1, Reason::AlreadyIssued);
}
