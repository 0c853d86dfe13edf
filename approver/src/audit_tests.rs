//! The limits of an audit's findings, and the decisions that are never kept.

use rollcall_approver_core::{Facts, Policy, decide};

use super::*;
use crate::convert::to_request;
use crate::fixtures::{csr, read};

/// A request without a known Machine, and the decision about it.
fn held(name: &str) -> (Request, Decision) {
    let (request, _) = to_request(read(&csr(name, "stranger"))).unwrap();
    let now = request.created_at;
    let decision = decide(&request, &Facts::default(), &Policy::default(), now);
    (request, decision)
}

fn approved() -> Theirs {
    Theirs {
        decision: Others::Approved,
        ..Theirs::left()
    }
}

#[test]
fn only_the_newest_differences_are_kept_and_all_are_counted() {
    let (audit, metrics) = (Audit::default(), Metrics::new());
    let (request, decision) = held("csr-0");
    let now = request.created_at;
    assert_eq!(audit.report(), None);
    audit.begin(now);
    for number in 0..LAST + 5 {
        let request = Request {
            name: format!("csr-{number}"),
            ..request.clone()
        };
        audit.compare(&request, approved(), || decision.clone(), &metrics, now);
    }
    let report = audit.report().unwrap();
    assert_eq!(report.differences, u64::try_from(LAST + 5).unwrap());
    assert_eq!((report.agreements, report.last.len()), (0, LAST));
    assert_eq!(report.last[0].csr, "csr-5");
    // The node is the same each time.
    let unknown: Vec<_> = report.unknown.iter().collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(
        (unknown[0].node.as_str(), unknown[0].reason),
        ("stranger", "MachineNotFound")
    );
    assert_eq!(unknown[0].count, report.differences);
}

#[test]
fn a_hold_is_not_kept_because_it_may_still_be_approved() {
    let audit = Audit::default();
    let (request, decision) = held("csr-0");
    audit.keep(&request.uid, &decision);
    assert!(audit.findings().kept.is_empty());
}

#[test]
fn a_request_that_both_left_alone_is_no_difference() {
    let (audit, metrics) = (Audit::default(), Metrics::new());
    let (request, decision) = held("csr-0");
    audit.begin(request.created_at);
    let now = request.created_at;
    audit.compare(&request, Theirs::left(), || decision, &metrics, now);
    let report = audit.report().unwrap();
    assert_eq!((report.agreements, report.differences), (1, 0));
    assert_eq!(report.unknown, []);
}
