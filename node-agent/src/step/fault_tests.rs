//! Tests of the state machine while calls fail: the pauses, the notes, and the time limits.

use super::tests::{at, pending_since, seen};
use super::*;

fn unreachable() -> Event {
    Event::Faulted(Fault::Unreachable {
        detail: "refused".to_owned(),
    })
}

#[test]
fn faults_pause_longer_and_longer_and_are_told_once_per_cause() {
    let mut state = pending_since(0).state;
    let mut pauses = Vec::new();
    let mut notes = Vec::new();
    for second in 1..9 {
        let next = step(state, unreachable(), at(second));
        let Action::Read { after } = next.action else {
            panic!("{:?}", next.action)
        };
        pauses.push(after.as_secs_f64());
        notes.extend(next.notes);
        state = next.state;
    }
    assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
    assert_eq!(notes.len(), 1);
    let other = step(state, Event::Faulted(Fault::UntrustedServer), at(9));
    assert_eq!(other.notes.len(), 1, "a new cause is told at once");
    let back = step(
        other.state,
        Event::Observed(seen(RequestStatus::Pending)),
        at(10),
    );
    assert_eq!(
        back.notes[0],
        Note::Recovered {
            lasted: Duration::from_secs(1)
        }
    );
    assert_eq!(
        step(back.state, unreachable(), at(11)).action,
        Action::Read {
            after: Duration::from_millis(500)
        }
    );
}

#[test]
fn a_fault_while_filing_files_again() {
    let next = step(State::start().0, unreachable(), at(0));
    assert_eq!(
        (next.action, next.state.attempt()),
        (
            Action::Create {
                after: Duration::from_millis(500)
            },
            0
        )
    );
}

#[test]
fn patience_with_refusals_ends_and_with_everything_else_does_not() {
    let ends_after = |fault: Fault| {
        let mut state = State::start().0;
        (0..100_000).find(|second| {
            let next = step(state.clone(), Event::Faulted(fault.clone()), at(*second));
            state = next.state;
            matches!(next.action, Action::End(Ending::Fault { .. }))
        })
    };
    let text = || "x".to_owned();
    let moment = jiff::Timestamp::default();
    assert_eq!(ends_after(Fault::Unauthorized), Some(60));
    assert_eq!(ends_after(Fault::Forbidden { message: text() }), Some(300));
    assert_eq!(
        ends_after(Fault::Invalid {
            code: 422,
            message: text()
        }),
        Some(0)
    );
    for fault in [
        Fault::NotAnApiServer { detail: text() },
        Fault::ServerCertificateExpired {
            not_after: moment,
            now: moment,
        },
        Fault::ServerCertificateNotYetValid {
            not_before: moment,
            now: moment,
        },
        Fault::ServerError {
            code: 500,
            message: text(),
        },
        Fault::Throttled {
            after: Duration::ZERO,
        },
        Fault::TlsFailed { detail: text() },
        Fault::Unreachable { detail: text() },
        Fault::UntrustedServer,
        Fault::WrongServerName,
    ] {
        assert_eq!(ends_after(fault.clone()), None, "{fault:?}");
    }
}

#[test]
fn another_fault_in_between_starts_patience_anew() {
    let first = step(State::start().0, Event::Faulted(Fault::Unauthorized), at(0));
    let other = step(first.state, unreachable(), at(59));
    let again = step(other.state, Event::Faulted(Fault::Unauthorized), at(61));
    assert!(matches!(again.action, Action::Create { .. }));
}

#[test]
fn a_busy_server_is_given_the_time_it_asks_for_within_reason() {
    let pause = |seconds| {
        let fault = Fault::Throttled {
            after: Duration::from_secs(seconds),
        };
        step(State::start().0, Event::Faulted(fault), at(0)).action
    };
    assert_eq!(
        pause(7),
        Action::Create {
            after: Duration::from_secs(7)
        }
    );
    assert_eq!(
        pause(86_400),
        Action::Create {
            after: backoff::CEILING
        }
    );
}
