//! Drives the request: performs the actions of [`step`], feeds the events back, and logs the notes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use crate::console::Console;
use crate::error::AgentError;
use crate::fault::{Fault, Place};
use crate::report::{self, Names};
use crate::requests::Requests;
use crate::step::{Action, Ending, Moment, State, step};

/// Files the request and follows it until the certificate is issued; returns its name and the certificate. Retries indefinitely;
/// the caller limits that.
///
/// # Errors
/// If the request is denied or fails, or the API server refuses permanently.
pub async fn follow(
    requests: &mut Requests,
    console: &Console,
    place: &Place,
    resubmit_after: Duration,
) -> Result<(String, Vec<u8>), AgentError> {
    let start = Instant::now();
    let (mut state, mut action) = State::start();
    console.wait_for(&format!("{} to take the request", place.server));
    loop {
        let attempt = state.attempt();
        let event = match action {
            Action::Create { after } => {
                tokio::time::sleep(after).await;
                requests.create(attempt).await
            }
            Action::End(ending) => return Err(ended(ending, &requests.name(attempt), place)),
            Action::Finish(certificate) => return Ok((requests.name(attempt), certificate)),
            Action::Read { after } => {
                tokio::time::sleep(after).await;
                requests.read(attempt).await
            }
            Action::Watch { until } => {
                requests
                    .watch(
                        attempt,
                        start.checked_add(until).unwrap_or_else(Instant::now),
                    )
                    .await
            }
        };
        let moment = Moment {
            jitter: jitter(),
            now: start.elapsed(),
            resubmit_after,
        };
        let next = step(state, event, moment);
        let names = Names {
            now: &requests.name(attempt),
            next: &requests.name(next.state.attempt()),
        };
        for note in &next.notes {
            report::tell(note, console, place, names);
        }
        state = next.state;
        action = next.action;
    }
}

/// Returns a random number from 0 to 1. The standard library seeds its hashers from the operating system, which is
/// random enough for jitter and needs no crate.
pub(crate) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    // The upper 32 bits fit a float exactly.
    let upper = u32::try_from(random.wrapping_shr(32)).unwrap_or_default();
    f64::from(upper) / f64::from(u32::MAX)
}

fn ended(ending: Ending, name: &str, place: &Place) -> AgentError {
    match ending {
        Ending::Denied(verdict) => AgentError::Denied {
            name: name.to_owned(),
            because: report::because(&verdict),
        },
        Ending::Failed(verdict) => AgentError::Failed {
            name: name.to_owned(),
            because: report::because(&verdict),
        },
        Ending::Fault { fault, lasted } => gave_in(&fault, lasted, place),
    }
}

pub(crate) fn gave_in(fault: &Fault, lasted: Duration, place: &Place) -> AgentError {
    let what = fault.describe(place);
    match fault {
        Fault::Forbidden { .. } => AgentError::MissingRight { what, lasted },
        Fault::Unauthorized => AgentError::RefusedCredential { what, lasted },
        Fault::Invalid { .. }
        | Fault::NotAnApiServer { .. }
        | Fault::ServerCertificateExpired { .. }
        | Fault::ServerCertificateNotYetValid { .. }
        | Fault::ServerError { .. }
        | Fault::Throttled { .. }
        | Fault::TlsFailed { .. }
        | Fault::Unreachable { .. }
        | Fault::UntrustedServer
        | Fault::WrongServerName => AgentError::Rejected(what),
    }
}
