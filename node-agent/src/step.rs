//! The state machine of the request: a pure function from state and event to state and action.
//!
//! ```text
//! Submit --Created--> Follow --Issued--> Finish
//!   |  ^                | | \--Denied, Failed--> End
//!   |  |                | \--Gone, not ours, pending too long--> Submit the next name
//! Exists |              \--WatchEnded--> Follow, read again
//!   v  | not ours
//!  Adopt --ours--> Follow
//! ```
//! A fault keeps the state and repeats the action after a pause, unless its time limit has passed.

use std::time::Duration;

use crate::backoff;
use crate::fault::Fault;

mod pending;
mod vocabulary;

use pending::Follow;
pub use vocabulary::{Action, Ending, Event, Moment, Note, RequestStatus, Seen, Verdict};

/// API servers refuse valid tokens for some seconds after a start, until their caches are filled; kubelet waits for the
/// API server as long (`waitForServer` in its bootstrap: one minute).
const UNAUTHORIZED_PATIENCE: Duration = Duration::from_mins(1);

/// The installer of a new cluster binds the bootstrapper's role some minutes after the API server starts.
const FORBIDDEN_PATIENCE: Duration = Duration::from_mins(5);

/// A signer takes well under a second; kube-controller-manager's longest normal pause is a change of leader. A longer
/// wait is logged.
const SIGNER_PATIENCE: Duration = Duration::from_secs(10);

/// A watch that ends sooner counts as a failure, so that one that is closed at once is not reopened in a tight loop.
const SHORT_WATCH: Duration = Duration::from_secs(5);

/// The delay of the first reminder; each later one comes after twice the time.
const FIRST_REMINDER: Duration = Duration::from_secs(10);

/// The maximum interval between reminders.
const LONGEST_REMINDER: Duration = Duration::from_mins(10);

/// The agent's knowledge of its request. Times count from the agent's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    attempt: u32,
    stage: Stage,
    faults: Option<FaultRun>,
    /// Watches that ended at once, and requests that vanished, since the last stable period.
    losses: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Adopt,
    Follow(Follow),
    Submit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FaultRun {
    word: &'static str,
    since: Duration,
    tell_at: Duration,
    count: u32,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The new state.
    pub state: State,
    /// The next action.
    pub action: Action,
    /// The notes to log.
    pub notes: Vec<Note>,
}

impl State {
    /// Returns the initial state, and its action.
    pub fn start() -> (Self, Action) {
        let state = Self {
            attempt: 0,
            stage: Stage::Submit,
            faults: None,
            losses: 0,
        };
        (
            state,
            Action::Create {
                after: Duration::ZERO,
            },
        )
    }

    /// The number of the current name, from 0.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// Returns the next state and action. Total: handles every event in every state.
pub fn step(state: State, event: Event, moment: Moment) -> Next {
    let fault = match event {
        Event::Faulted(fault) => fault,
        Event::Created(_)
        | Event::Exists
        | Event::Gone
        | Event::Observed(_)
        | Event::WatchEnded { .. }
        | Event::Woke => {
            return answered(state, event, moment);
        }
    };
    let mut state = state;
    let before = state.faults.take().filter(|run| run.word == fault.as_str());
    let mut run = before.unwrap_or(FaultRun {
        word: fault.as_str(),
        since: moment.now,
        tell_at: moment.now,
        count: 0,
    });
    let lasted = moment.now.saturating_sub(run.since);
    let left = patience(&fault).map(|patience| patience.saturating_sub(lasted));
    if left == Some(Duration::ZERO) {
        return Next {
            state,
            action: Action::End(Ending::Fault { fault, lasted }),
            notes: Vec::new(),
        };
    }
    let asked = if let Fault::Throttled { after } = fault {
        after.min(backoff::CEILING)
    } else {
        Duration::ZERO
    };
    let pause = backoff::pause(run.count, moment.jitter).max(asked);
    // The last retry comes at the time limit, not later.
    let after = left.map_or(pause, |left| pause.min(left));
    run.count = run.count.saturating_add(1);
    let mut notes = Vec::new();
    if moment.now >= run.tell_at {
        run.tell_at = moment.now.saturating_add(reminder(lasted));
        notes.push(Note::Trouble {
            fault,
            retry_in: after,
        });
    }
    state.faults = Some(run);
    let action = match state.stage {
        Stage::Submit => Action::Create { after },
        Stage::Adopt | Stage::Follow(_) => Action::Read { after },
    };
    Next {
        state,
        action,
        notes,
    }
}

/// Returns the time for which a fault is retried; `None` for no limit.
fn patience(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Forbidden { .. } => Some(FORBIDDEN_PATIENCE),
        Fault::Invalid { .. } => Some(Duration::ZERO),
        Fault::Unauthorized => Some(UNAUTHORIZED_PATIENCE),
        Fault::NotAnApiServer { .. }
        | Fault::ServerCertificateExpired { .. }
        | Fault::ServerCertificateNotYetValid { .. }
        | Fault::ServerError { .. }
        | Fault::Throttled { .. }
        | Fault::TlsFailed { .. }
        | Fault::Unreachable { .. }
        | Fault::UntrustedServer
        | Fault::WrongServerName => None,
    }
}

/// Returns the time until the next reminder, for a wait of this length: doubling, within bounds.
fn reminder(lasted: Duration) -> Duration {
    lasted.clamp(FIRST_REMINDER, LONGEST_REMINDER)
}

/// Handles an event other than a fault.
fn answered(mut state: State, event: Event, moment: Moment) -> Next {
    let mut notes = Vec::new();
    // Waking up shows nothing about the API server; every other event is a response.
    if event != Event::Woke
        && let Some(run) = state.faults.take()
    {
        notes.push(Note::Recovered {
            lasted: moment.now.saturating_sub(run.since),
        });
    }
    match event {
        Event::Created(seen) => {
            notes.push(Note::Submitted);
            observed(state, seen, moment, notes)
        }
        Event::Observed(seen) => {
            if state.stage == Stage::Adopt && seen.ours {
                notes.push(Note::Adopted { age: seen.age });
            }
            observed(state, seen, moment, notes)
        }
        Event::Exists => {
            state.stage = Stage::Adopt;
            Next {
                state,
                action: Action::Read {
                    after: Duration::ZERO,
                },
                notes,
            }
        }
        Event::Gone => lost(state, moment, notes),
        Event::WatchEnded { lasted } => {
            let after = if lasted < SHORT_WATCH {
                pause_for_loss(&mut state, moment)
            } else {
                quiet(&mut state)
            };
            Next {
                state,
                action: Action::Read { after },
                notes,
            }
        }
        Event::Faulted(_) | Event::Woke => {
            let action = waiting(&mut state, moment, &mut notes);
            Next {
                state,
                action,
                notes,
            }
        }
    }
}

fn quiet(state: &mut State) -> Duration {
    state.losses = 0;
    Duration::ZERO
}

fn pause_for_loss(state: &mut State, moment: Moment) -> Duration {
    let pause = backoff::pause(state.losses, moment.jitter);
    state.losses = state.losses.saturating_add(1);
    pause
}

/// Handles a request that does not exist. During adoption, the name is simply free again; otherwise a user or
/// controller deleted it.
fn lost(mut state: State, moment: Moment, mut notes: Vec<Note>) -> Next {
    let after = pause_for_loss(&mut state, moment);
    if let Stage::Follow(_) = state.stage {
        notes.push(Note::Removed);
        state.attempt = state.attempt.saturating_add(1);
    }
    state.stage = Stage::Submit;
    Next {
        state,
        action: Action::Create { after },
        notes,
    }
}

/// Handles a name that another request uses; the next name is tried after a pause, so that many used names cause no
/// flood of calls.
fn taken(mut state: State, moment: Moment, mut notes: Vec<Note>) -> Next {
    notes.push(Note::Taken);
    let after = pause_for_loss(&mut state, moment);
    state.attempt = state.attempt.saturating_add(1);
    state.stage = Stage::Submit;
    Next {
        state,
        action: Action::Create { after },
        notes,
    }
}

fn observed(mut state: State, seen: Seen, moment: Moment, mut notes: Vec<Note>) -> Next {
    if !seen.ours {
        return taken(state, moment, notes);
    }
    let mut follow = match state.stage {
        Stage::Follow(follow) => follow,
        // A request of an earlier run has the age by its creation time; one of this run is new, regardless of clocks.
        Stage::Adopt => Follow::begin(moment.now, seen.age),
        Stage::Submit => Follow::begin(moment.now, Duration::ZERO),
    };
    let end = match seen.status {
        RequestStatus::Denied(verdict) => Some(Action::End(Ending::Denied(verdict))),
        RequestStatus::Failed(verdict) => Some(Action::End(Ending::Failed(verdict))),
        RequestStatus::Issued(certificate) => Some(Action::Finish(certificate)),
        RequestStatus::Approved(verdict) => {
            if follow.approved_since.is_none() {
                notes.push(Note::Approved(verdict));
                follow.approved_since = Some(moment.now);
                follow.remind_at = moment.now.saturating_add(SIGNER_PATIENCE);
            }
            None
        }
        RequestStatus::Held(verdict) => {
            follow.hold(verdict, moment.now, &mut notes);
            None
        }
        RequestStatus::Pending => {
            follow.let_go(moment.now);
            None
        }
    };
    state.stage = Stage::Follow(follow);
    let action = end.unwrap_or_else(|| waiting(&mut state, moment, &mut notes));
    Next {
        state,
        action,
        notes,
    }
}

/// Returns the action while nothing has changed: remind, file a new request, or continue to watch.
fn waiting(state: &mut State, moment: Moment, notes: &mut Vec<Note>) -> Action {
    let Moment {
        now,
        resubmit_after,
        ..
    } = moment;
    let follow = match &mut state.stage {
        Stage::Adopt => {
            return Action::Read {
                after: Duration::ZERO,
            };
        }
        Stage::Submit => {
            return Action::Create {
                after: Duration::ZERO,
            };
        }
        Stage::Follow(follow) => follow,
    };
    if let Some(approved) = follow.approved_since {
        let waited = now.saturating_sub(approved);
        if now >= follow.remind_at {
            notes.push(Note::SignerSlow { waited });
            follow.remind_at = now.saturating_add(reminder(waited));
        }
        return Action::Watch {
            until: follow.remind_at,
        };
    }
    let pending = follow.pending(now);
    if pending >= resubmit_after {
        notes.push(Note::Resubmitting { pending });
        state.attempt = state.attempt.saturating_add(1);
        state.stage = Stage::Submit;
        return Action::Create {
            after: Duration::ZERO,
        };
    }
    if now >= follow.remind_at {
        notes.push(Note::Waiting {
            waited: pending,
            held: follow.held.clone(),
        });
        follow.put_off(now);
    }
    let resubmit_at = now.saturating_add(resubmit_after.saturating_sub(pending));
    Action::Watch {
        until: follow.remind_at.min(resubmit_at),
    }
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
