//! A Machine is spent once: through one write at a time, failed writes, the request cleaner and restarts.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use fixtures::{at, claim, machine, node, reasons, request, request_uid};
use jiff::Timestamp;
use rollcall_approver_core::{
    Change, Claim, Cluster, Contested, Machine, MachineUid, Policy, Reason, Request, RequestUid,
    Rules, Settlement, Standing,
};
use rollcall_csr::Signer;

const APPROVED: (&str, &[Reason]) = ("approve", &[Reason::FirstCertificate]);
const REISSUED: (&str, &[Reason]) = ("approve", &[Reason::FirstCertificate, Reason::Reissued]);
const SPENT: (&str, &[Reason]) = ("hold", &[Reason::AlreadyIssued]);

/// Rules under which the newest request wins, so that only claims delay it.
fn newest() -> Rules {
    Rules {
        contested: Contested::Newest,
        ..Rules::default()
    }
}

/// A cluster with these Machines and requests.
fn cluster(machines: &[Machine], requests: &[Request]) -> Cluster {
    let policy = Policy {
        rules: newest(),
        ..Policy::default()
    };
    let mut cluster = Cluster::new(policy, []);
    for machine in machines {
        cluster.apply(Change::Machine(Box::new(machine.clone())), at(0));
    }
    for request in requests {
        put(&mut cluster, request.clone());
    }
    cluster
}

fn put(cluster: &mut Cluster, request: Request) -> Vec<RequestUid> {
    let woken = cluster.apply(Change::Request(Box::new(request)), at(61));
    woken.into_iter().collect()
}

fn assert_judged(cluster: &mut Cluster, name: &str, now: Timestamp, expected: (&str, &[Reason])) {
    let decision = cluster.judge(&request_uid(name), now).unwrap();
    let seen = (decision.verdict().as_str(), reasons(&decision));
    assert_eq!(
        seen,
        (expected.0, expected.1.to_vec()),
        "{name} at {now}: {decision:?}"
    );
}

/// Two requests of different keys for one Machine, the second created in a later second.
fn two() -> [Request; 2] {
    let later = Request {
        created_at: at(61),
        ..request("csr-1", "worker-0", 1)
    };
    [request("csr-0", "worker-0", 0), later]
}

fn approved(request: &Request, when: Timestamp) -> Request {
    Request {
        standing: Standing::Approved(when),
        ..request.clone()
    }
}

fn gone(cluster: &mut Cluster, name: &str) {
    cluster.apply(Change::RequestGone(request_uid(name)), at(62));
}

#[test]
fn two_keys_one_after_another_give_one_approval() {
    let [first, second] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], std::slice::from_ref(&first));
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    // The write is still in progress: the claim counts already.
    put(&mut cluster, second);
    assert_judged(&mut cluster, "csr-1", at(61), SPENT);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    assert_judged(&mut cluster, "csr-1", at(61), SPENT);
    put(&mut cluster, approved(&first, at(61)));
    assert_judged(&mut cluster, "csr-1", at(61 + 299), SPENT);
    assert_judged(&mut cluster, "csr-1", at(61 + 300), REISSUED);
}

#[test]
fn a_write_that_was_not_done_frees_the_machine_and_wakes_who_waited() {
    let [first, second] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], &[first]);
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    put(&mut cluster, second);
    assert_judged(&mut cluster, "csr-1", at(61), SPENT);
    let woken = cluster.settle(&request_uid("csr-0"), Settlement::Undone);
    // The request itself is not woken: the caller knows when to retry.
    assert_eq!(Vec::from_iter(woken), [request_uid("csr-1")]);
    let expected = (
        "approve",
        &[Reason::FirstCertificate, Reason::Contested][..],
    );
    assert_judged(&mut cluster, "csr-1", at(62), expected);
}

#[test]
fn a_write_that_found_its_request_gone_wakes_who_waited() {
    let [first, second] = two();
    let strict = Policy {
        rules: Rules {
            max_issues: 1,
            ..newest()
        },
        ..Policy::default()
    };
    let mut cluster = Cluster::new(strict, []);
    put(&mut cluster, first);
    put(&mut cluster, second);
    let record = machine("m-0", "worker-0");
    cluster.apply(Change::Machine(Box::new(record)), at(61));
    assert_judged(
        &mut cluster,
        "csr-1",
        at(61),
        ("approve", &[Reason::FirstCertificate, Reason::Contested]),
    );
    gone(&mut cluster, "csr-1");
    assert_judged(&mut cluster, "csr-0", at(62), SPENT);
    let woken = cluster.settle(&request_uid("csr-1"), Settlement::Undone);
    assert_eq!(Vec::from_iter(woken), [request_uid("csr-0")]);
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
}

#[test]
fn a_write_with_an_unknown_end_keeps_the_machine_spent_until_the_request_is_seen() {
    let [first, second] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], std::slice::from_ref(&first));
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    let woken = cluster.settle(&request_uid("csr-0"), Settlement::Unknown);
    assert!(woken.is_empty(), "{woken:?}");
    // A later attempt that certainly failed does not change the result of the first.
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
    put(&mut cluster, second);
    cluster.settle(&request_uid("csr-0"), Settlement::Undone);
    assert_judged(&mut cluster, "csr-1", at(62), SPENT);
    // Another client denied it: no certificate was issued, and the Machine is free.
    let closed = Request {
        standing: Standing::Closed,
        ..first
    };
    assert_eq!(put(&mut cluster, closed), [request_uid("csr-1")]);
    assert_judged(&mut cluster, "csr-1", at(62), APPROVED);
}

#[test]
fn a_request_that_goes_while_its_write_has_no_known_end_keeps_the_machine_spent() {
    let [first, second] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], &[first]);
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    cluster.settle(&request_uid("csr-0"), Settlement::Unknown);
    // The first write may have succeeded; the second finds the request deleted.
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    gone(&mut cluster, "csr-0");
    cluster.settle(&request_uid("csr-0"), Settlement::Undone);
    put(&mut cluster, second);
    assert_judged(&mut cluster, "csr-1", at(62), SPENT);
}

#[test]
fn the_cleaner_takes_the_request_and_leaves_the_claim() {
    let [first, second] = two();
    for settled in [true, false] {
        let mut cluster = cluster(&[machine("m-0", "worker-0")], std::slice::from_ref(&first));
        if settled {
            assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
            cluster.settle(&request_uid("csr-0"), Settlement::Written);
        }
        put(&mut cluster, approved(&first, at(61)));
        gone(&mut cluster, "csr-0");
        put(&mut cluster, second.clone());
        assert_judged(&mut cluster, "csr-1", at(62), SPENT);
        assert_judged(&mut cluster, "csr-1", at(61 + 300), REISSUED);
    }
}

#[test]
fn a_request_that_goes_undecided_leaves_no_claim() {
    let [first, second] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], &[first]);
    gone(&mut cluster, "csr-0");
    put(&mut cluster, second);
    assert_judged(&mut cluster, "csr-1", at(62), APPROVED);
}

#[test]
fn after_a_restart_approved_requests_are_claims_in_whatever_order_they_are_seen() {
    let [first, second] = two();
    let spent = approved(&first, at(60));
    let record = machine("m-0", "worker-0");
    let news = [
        Change::Machine(Box::new(record)),
        Change::Request(Box::new(spent)),
        Change::Request(Box::new(second)),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut cluster = Cluster::new(Policy::default(), []);
        for index in order {
            cluster.apply(news.get(index).unwrap().clone(), at(61));
        }
        assert_judged(&mut cluster, "csr-1", at(61), SPENT);
    }
}

#[test]
fn a_recorded_claim_counts_and_so_does_its_request_only_once() {
    let [first, second] = two();
    let policy = Policy {
        rules: Rules {
            max_issues: 2,
            ..Rules::default()
        },
        ..Policy::default()
    };
    let mut cluster = Cluster::new(policy, []);
    // The record is read before the Machines.
    cluster.apply(Change::Claimed(claim("csr-0", 0, at(60))), at(61));
    cluster.apply(
        Change::Machine(Box::new(machine("m-0", "worker-0"))),
        at(61),
    );
    put(&mut cluster, approved(&first, at(60)));
    put(&mut cluster, second);
    assert_judged(&mut cluster, "csr-1", at(61), SPENT);
    assert_judged(&mut cluster, "csr-1", at(360), REISSUED);
}

#[test]
fn an_approval_older_than_the_machine_was_for_an_earlier_one_of_the_same_name() {
    let [first, second] = two();
    for (made, expected) in [(-3600, APPROVED), (-10, APPROVED), (-9, SPENT)] {
        let earlier = Request {
            created_at: at(made),
            ..approved(&first, at(50))
        };
        let machines = [machine("m-0", "worker-0")];
        let mut cluster = cluster(&machines, &[earlier, second.clone()]);
        assert_judged(&mut cluster, "csr-1", at(61), expected);
    }
}

#[test]
fn a_new_machine_of_the_same_name_is_not_spent_by_the_old_one() {
    let [first, _] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], std::slice::from_ref(&first));
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    put(&mut cluster, approved(&first, at(61)));
    let old = MachineUid("m-0".to_owned());
    cluster.apply(Change::MachineGone(old), at(100));
    let next = Machine {
        created_at: at(100),
        uid: MachineUid("m-0-again".to_owned()),
        ..machine("m-0", "worker-0")
    };
    cluster.apply(Change::Machine(Box::new(next)), at(100));
    let request = Request {
        created_at: at(101),
        ..request("csr-1", "worker-0", 1)
    };
    put(&mut cluster, request);
    assert_judged(&mut cluster, "csr-1", at(102), APPROVED);
}

#[test]
fn an_approved_serving_request_spends_nothing() {
    let [first, second] = two();
    let serving = Request {
        signer: Signer::KubeletServing,
        ..approved(&first, at(60))
    };
    let mut cluster = cluster(&[machine("m-0", "worker-0")], &[serving, second]);
    assert_judged(&mut cluster, "csr-1", at(61), APPROVED);
}

#[test]
fn claims_are_recorded_when_they_are_old_or_their_request_is_gone() {
    let [first, _] = two();
    let mut cluster = cluster(&[machine("m-0", "worker-0")], std::slice::from_ref(&first));
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
    let record = |cluster: &Cluster, before| -> Vec<Claim> { cluster.claims_to_record(before) };
    let expected = [claim("csr-0", 0, at(61))];
    assert_eq!(record(&cluster, at(1000)), [], "its write is under way");
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    put(&mut cluster, approved(&first, at(61)));
    assert_eq!(record(&cluster, at(61)), [], "it is young");
    assert_eq!(record(&cluster, at(62)), expected, "it is old");
    gone(&mut cluster, "csr-0");
    assert_eq!(record(&cluster, at(61)), expected, "its request is gone");

    let bound = Machine {
        node_reference: Some(node("worker-0")),
        ..machine("m-0", "worker-0")
    };
    cluster.apply(Change::Machine(Box::new(bound)), at(62));
    // It may lose its reference to the Node, and the Node: it is still spent.
    assert_eq!(
        record(&cluster, at(1000)),
        expected,
        "its Machine became a Node"
    );
}

#[test]
fn approvals_by_others_are_recorded_too() {
    let [first, _] = two();
    let machines = [machine("m-0", "worker-0")];
    let cluster = cluster(&machines, &[approved(&first, at(60))]);
    assert_eq!(
        cluster.claims_to_record(at(61)),
        [claim("csr-0", 0, at(60))]
    );
}

#[test]
fn claims_of_machines_that_are_gone_are_forgotten() {
    let mut cluster = cluster(&[machine("m-0", "worker-0")], &[]);
    cluster.apply(Change::Claimed(claim("csr-9", 0, at(60))), at(61));
    cluster.forget_claims_of_gone_machines();
    assert_eq!(cluster.claims_to_record(at(61)).len(), 1);
    cluster.apply(Change::MachineGone(MachineUid("m-0".to_owned())), at(61));
    cluster.forget_claims_of_gone_machines();
    cluster.apply(
        Change::Machine(Box::new(machine("m-0", "worker-0"))),
        at(61),
    );
    assert_eq!(cluster.claims_to_record(at(61)), []);
}
