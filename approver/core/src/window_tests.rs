//! The join window of a Machine, from its creation and from the time at which its instance was ready.

use super::*;
use crate::fixtures::{at, machine, request};
use crate::{Cluster, Feed, Rules, Source};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Returns true if a request created this long after the Machine is inside, for a Machine that was ready this long
/// after its creation.
fn is_expected(ready: Option<i64>, made: i64, now: i64, change: impl FnOnce(&mut Policy)) -> bool {
    let mut policy = Policy::default();
    change(&mut policy);
    let created_at = at(0);
    let machine = Machine {
        created_at,
        ready_at: ready.map(at),
        ..machine("m-0", "worker-0")
    };
    let request = Request {
        created_at: at(made),
        ..request("csr-0", "worker-0", 0)
    };
    is_inside(&request, &machine, &policy, at(now))
}

/// The times at which the instance was ready, and the request was created and judged, and the result.
const WINDOWS: &[(&str, Option<i64>, i64, i64, bool)] = &[
    ("no time known, inside", None, 2 * HOUR - 1, DAY, true),
    ("no time known, the end", None, 2 * HOUR, DAY, false),
    ("a day for a host", Some(DAY), DAY + 1200, DAY + 1300, true),
    (
        "asked before the record says so",
        Some(DAY),
        DAY - 60,
        DAY + 1,
        true,
    ),
    (
        "a day, and the last second",
        Some(DAY),
        DAY + 2 * HOUR - 1,
        2 * DAY,
        true,
    ),
    (
        "a day, and the end",
        Some(DAY),
        DAY + 2 * HOUR,
        2 * DAY,
        false,
    ),
    ("long after", Some(DAY), 3 * DAY, 3 * DAY, false),
    ("at once", Some(0), 2 * HOUR - 1, DAY, true),
    (
        "ready before the record",
        Some(-DAY),
        2 * HOUR - 1,
        DAY,
        true,
    ),
    (
        "ready before the record, late",
        Some(-1),
        2 * HOUR,
        DAY,
        false,
    ),
    ("ready in the future", Some(9 * DAY), DAY, DAY, false),
    (
        "ready in the future, inside of the other",
        Some(9 * DAY),
        HOUR,
        DAY,
        true,
    ),
    ("ready now", Some(DAY), DAY, DAY, true),
    (
        "the longest wait",
        Some(30 * DAY),
        30 * DAY + 1,
        30 * DAY + 9,
        true,
    ),
    (
        "longer than that",
        Some(30 * DAY + 1),
        30 * DAY + 9,
        30 * DAY + 9,
        false,
    ),
    ("before the record", Some(DAY), -11, DAY, false),
    ("within the clock skew", Some(DAY), -9, DAY, true),
];

#[test]
fn the_window_ends_a_while_after_the_instance_was_ready() {
    for (about, ready, made, now, expected) in WINDOWS {
        assert_eq!(
            is_expected(*ready, *made, *now, |_| {}),
            *expected,
            "{about}"
        );
    }
}

#[test]
fn the_record_alone_counts_where_the_policy_says_so() {
    let record = |policy: &mut Policy| policy.window_from = WindowFrom::Record;
    assert!(!is_expected(Some(DAY), DAY + 60, DAY + 60, record));
    assert!(is_expected(Some(DAY), HOUR, DAY + 60, record));
}

#[test]
fn a_pool_has_a_window_of_its_own() {
    let rules = |hours| Rules {
        join_window: SignedDuration::from_hours(hours),
        ..Rules::default()
    };
    for (pool, hours, made, expected) in [
        ("workers", 8, 7 * HOUR, true),
        ("workers", 8, 8 * HOUR, false),
        ("workers", 1, HOUR, false),
        ("others", 8, 7 * HOUR, false),
    ] {
        let own = |policy: &mut Policy| {
            policy.pools.insert(pool.to_owned(), rules(hours));
        };
        assert_eq!(
            is_expected(None, made, DAY, own),
            expected,
            "{pool}: {hours} h"
        );
    }
}

#[test]
fn the_reason_names_what_the_window_is_counted_from() {
    let said = |ready: Option<i64>| {
        let machine = Machine {
            created_at: at(0),
            ready_at: ready.map(at),
            ..machine("m-0", "worker-0")
        };
        let request = Request {
            created_at: at(3 * DAY),
            ..request("csr-0", "worker-0", 0)
        };
        describe(&request, &machine, &Policy::default(), at(3 * DAY))
    };
    assert!(
        said(None).contains("later than 2h after Machine openshift-machine-api/m-0 was created at")
    );
    assert!(said(Some(DAY)).contains(
        "later than 2h after the instance of Machine openshift-machine-api/m-0 was ready at"
    ));
    let future = said(Some(9 * DAY));
    assert!(
        future.contains("was created at") && future.contains("is not believed"),
        "{future}"
    );
}

/// A condition that comes and goes has a new time each time.
#[test]
fn what_becomes_ready_again_is_not_expected_anew() {
    let feed = Feed::Machines(crate::Scope::new(Source::OpenShift, ""));
    let mut cluster = Cluster::new(Policy::default(), [feed]);
    let ready = |seconds: Option<i64>| Machine {
        created_at: at(0),
        ready_at: seconds.map(at),
        ..machine("m-0", "worker-0")
    };
    for (told, known) in [
        (None, None),
        (Some(DAY), Some(DAY)),
        (Some(2 * DAY), Some(DAY)),
        (None, Some(DAY)),
        (Some(3 * DAY), Some(DAY)),
    ] {
        let change = crate::Change::Machine(Box::new(ready(told)));
        cluster.apply(change, at(4 * DAY));
        let machine = cluster.roll().iter().next().unwrap();
        assert_eq!(machine.ready_at, known.map(at), "{told:?}");
    }
}
