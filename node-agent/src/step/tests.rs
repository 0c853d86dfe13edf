//! Tests of the state machine: every outcome, the pauses, and the notes.

use super::*;

const RESUBMIT: Duration = Duration::from_mins(10);

pub(super) fn at(seconds: u64) -> Moment {
    Moment {
        jitter: 0.0,
        now: Duration::from_secs(seconds),
        resubmit_after: RESUBMIT,
    }
}

pub(super) fn seen(status: RequestStatus) -> Seen {
    Seen {
        age: Duration::ZERO,
        ours: true,
        status,
    }
}

/// A request that was filed at `seconds`.
pub(super) fn pending_since(seconds: u64) -> Next {
    step(
        State::start().0,
        Event::Created(seen(RequestStatus::Pending)),
        at(seconds),
    )
}

fn until(seconds: u64) -> Action {
    Action::Watch {
        until: Duration::from_secs(seconds),
    }
}

#[test]
fn a_filed_request_is_watched_and_its_certificate_ends_the_work() {
    let next = pending_since(1);
    assert_eq!(
        next.notes,
        [
            Note::Submitted,
            Note::Waiting {
                waited: Duration::ZERO,
                held: None,
            }
        ]
    );
    assert_eq!(next.action, until(11));
    let issued = seen(RequestStatus::Issued(b"pem".to_vec()));
    assert_eq!(
        step(next.state, Event::Observed(issued), at(2)).action,
        Action::Finish(b"pem".to_vec())
    );
}

#[test]
fn a_denied_or_failed_request_ends_the_work_instead_of_waiting_for_ever() {
    let verdict = Verdict {
        reason: "R".to_owned(),
        message: "m".to_owned(),
    };
    let denied = Event::Observed(seen(RequestStatus::Denied(verdict.clone())));
    assert_eq!(
        step(pending_since(0).state, denied, at(1)).action,
        Action::End(Ending::Denied(verdict.clone()))
    );
    let failed = Event::Observed(seen(RequestStatus::Failed(verdict.clone())));
    assert_eq!(
        step(pending_since(0).state, failed, at(1)).action,
        Action::End(Ending::Failed(verdict))
    );
}

#[test]
fn a_taken_name_is_adopted_only_if_it_is_ours() {
    let next = step(State::start().0, Event::Exists, at(0));
    assert_eq!(
        next.action,
        Action::Read {
            after: Duration::ZERO
        }
    );
    let ours = step(
        next.state.clone(),
        Event::Observed(seen(RequestStatus::Pending)),
        at(0),
    );
    assert!(matches!(ours.action, Action::Watch { .. }) && ours.state.attempt() == 0);
    let foreign = Seen {
        ours: false,
        ..seen(RequestStatus::Issued(b"not for our key".to_vec()))
    };
    let foreign = step(next.state, Event::Observed(foreign), at(0));
    assert!(
        matches!(foreign.action, Action::Create { .. }),
        "{:?}",
        foreign.action
    );
    assert_eq!(
        (foreign.state.attempt(), foreign.notes),
        (1, vec![Note::Taken])
    );
}

#[test]
fn a_deleted_request_is_filed_again_under_the_next_name_after_growing_pauses() {
    let mut state = pending_since(0).state;
    for (attempt, pause) in [(1, 500), (2, 1_000), (3, 2_000)] {
        let next = step(state, Event::Gone, at(1));
        assert_eq!(
            next.action,
            Action::Create {
                after: Duration::from_millis(pause)
            }
        );
        assert_eq!(
            (next.state.attempt(), next.notes),
            (attempt, vec![Note::Removed])
        );
        state = step(
            next.state,
            Event::Created(seen(RequestStatus::Pending)),
            at(1),
        )
        .state;
    }
}

#[test]
fn a_request_that_is_pending_too_long_is_filed_again() {
    let early = step(pending_since(5).state, Event::Woke, at(604));
    assert_eq!((early.action, early.state.attempt()), (until(605), 0));
    let late = step(early.state, Event::Woke, at(605));
    assert_eq!(
        (late.action, late.state.attempt()),
        (
            Action::Create {
                after: Duration::ZERO
            },
            1
        )
    );
    assert_eq!(late.notes, [Note::Resubmitting { pending: RESUBMIT }]);
}

#[test]
fn the_age_of_an_adopted_request_counts() {
    let adopting = step(State::start().0, Event::Exists, at(0)).state;
    let old = Seen {
        age: Duration::from_mins(9),
        ..seen(RequestStatus::Pending)
    };
    let next = step(adopting.clone(), Event::Observed(old), at(2));
    assert_eq!(
        next.notes[0],
        Note::Adopted {
            age: Duration::from_mins(9)
        }
    );
    assert_eq!(step(next.state, Event::Woke, at(62)).state.attempt(), 1);
    let ancient = Seen {
        age: RESUBMIT,
        ..seen(RequestStatus::Pending)
    };
    assert_eq!(
        step(adopting.clone(), Event::Observed(ancient), at(2))
            .state
            .attempt(),
        1
    );
    // An approved request is never abandoned, whatever its age.
    let approved = Seen {
        age: RESUBMIT,
        ..seen(RequestStatus::Approved(Verdict::default()))
    };
    assert_eq!(
        step(adopting, Event::Observed(approved), at(2))
            .state
            .attempt(),
        0
    );
}

#[test]
fn an_approved_request_waits_for_its_signer_and_says_so_after_ten_seconds() {
    let approved = Event::Observed(seen(RequestStatus::Approved(Verdict::default())));
    let next = step(pending_since(0).state, approved.clone(), at(5));
    assert_eq!(
        (next.action, next.notes),
        (until(15), vec![Note::Approved(Verdict::default())])
    );
    let again = step(next.state, approved, at(6));
    assert_eq!(
        (again.action, again.notes),
        (until(15), vec![]),
        "told once"
    );
    let slow = step(again.state, Event::Woke, at(15));
    assert_eq!(
        slow.notes,
        [Note::SignerSlow {
            waited: Duration::from_secs(10)
        }]
    );
    assert_eq!(
        step(slow.state, Event::Woke, at(3_000)).state.attempt(),
        0,
        "no second request for an approved one"
    );
}

fn held(reason: &str) -> (Verdict, Event) {
    let verdict = Verdict {
        reason: reason.to_owned(),
        message: "m".to_owned(),
    };
    let event = Event::Observed(seen(RequestStatus::Held(verdict.clone())));
    (verdict, event)
}

fn waiting(seconds: u64, held: Option<Verdict>) -> [Note; 1] {
    let waited = Duration::from_secs(seconds);
    [Note::Waiting { waited, held }]
}

#[test]
fn what_the_approver_holds_it_for_is_told_once_for_every_change_and_by_every_reminder() {
    let (verdict, event) = held("MachineNotFound");
    let next = step(pending_since(0).state, event.clone(), at(6));
    assert_eq!(next.notes, [Note::Held(verdict.clone())]);
    // That line counts as a reminder.
    assert_eq!(next.action, until(16));
    let again = step(next.state, event, at(7));
    assert_eq!((again.action, again.notes), (until(16), vec![]));
    let reminded = step(again.state, Event::Woke, at(16));
    assert_eq!(reminded.notes, waiting(16, Some(verdict)));
    let (other, event) = held("MachineBound");
    let changed = step(reminded.state, event, at(17));
    assert_eq!(changed.notes, [Note::Held(other)]);
    let pending = Event::Observed(seen(RequestStatus::Pending));
    let free = step(changed.state, pending.clone(), at(20));
    assert_eq!(free.notes, waiting(20, None));
    assert_eq!(step(free.state, pending, at(21)).notes, []);
}

#[test]
fn a_request_that_is_adopted_says_with_its_first_reminder_what_it_is_held_for() {
    let adopting = step(State::start().0, Event::Exists, at(0)).state;
    let (verdict, event) = held("MachineNotFound");
    let next = step(adopting, event, at(2));
    let adopted = Note::Adopted {
        age: Duration::ZERO,
    };
    assert_eq!(next.notes[0], adopted);
    assert_eq!(next.notes[1..], waiting(0, Some(verdict)));
}

#[test]
fn a_held_request_is_filed_again_like_any_other_and_the_next_one_says_anew_what_it_waits_for() {
    let (verdict, event) = held("MachineNotFound");
    let next = step(pending_since(0).state, event.clone(), at(6));
    let late = step(next.state, Event::Woke, at(600));
    assert_eq!(late.notes, [Note::Resubmitting { pending: RESUBMIT }]);
    let created = Event::Created(seen(RequestStatus::Pending));
    let filed = step(late.state, created, at(600));
    assert_eq!(filed.notes[1..], waiting(0, None));
    let told = step(filed.state, event, at(606));
    assert_eq!(told.notes, [Note::Held(verdict)]);
}

#[test]
fn reminders_come_further_and_further_apart() {
    let mut next = pending_since(0);
    let mut reminders = Vec::new();
    while let Action::Watch { until } = next.action {
        let moment = Moment {
            now: until,
            resubmit_after: Duration::from_hours(2),
            ..at(0)
        };
        next = step(next.state, Event::Woke, moment);
        reminders.push(until.as_secs());
        if reminders.len() == 9 {
            break;
        }
    }
    // The first watch still ends after the usual ten minutes.
    assert_eq!(reminders, [10, 20, 40, 80, 160, 320, 640, 1_240, 1_840]);
}

#[test]
fn a_watch_that_ends_is_read_again_and_one_that_ends_at_once_after_a_pause() {
    let ended = |state, seconds| {
        step(
            state,
            Event::WatchEnded {
                lasted: Duration::from_secs(seconds),
            },
            at(1),
        )
    };
    let short = ended(pending_since(0).state, 0);
    assert_eq!(
        short.action,
        Action::Read {
            after: Duration::from_millis(500)
        }
    );
    let shorter = ended(short.state, 0);
    assert_eq!(
        shorter.action,
        Action::Read {
            after: Duration::from_secs(1)
        }
    );
    let long = ended(shorter.state, 60);
    assert_eq!(
        long.action,
        Action::Read {
            after: Duration::ZERO
        }
    );
    assert_eq!(
        ended(long.state, 0).action,
        Action::Read {
            after: Duration::from_millis(500)
        }
    );
}
