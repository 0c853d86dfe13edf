//! The messages about a request, which users read while they wait.

use crate::console::{Console, Topic};
use crate::fault::Place;
use crate::step::{Note, Verdict};
use crate::words;

/// The name of the request that a note is about, and the next one to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) now: &'a str,
    pub(crate) next: &'a str,
}

/// Logs a note, and sets the current wait.
pub(crate) fn tell(note: &Note, console: &Console, place: &Place, names: Names<'_>) {
    let Names { now: name, next } = names;
    match note {
        Note::Approved(_) => console.wait_for(&format!("the signer to sign {name}")),
        Note::Removed | Note::Resubmitting { .. } | Note::Taken => {
            console.wait_for(&format!("{} to take {next}", place.server));
        }
        Note::Trouble { fault, .. } => {
            console.wait_for(&format!("the API server: {}", fault.describe(place)))
        }
        Note::Held(verdict) => wait_for_approval(console, name, Some(verdict)),
        Note::Waiting { held, .. } => wait_for_approval(console, name, held.as_ref()),
        Note::Adopted { .. }
        | Note::Recovered { .. }
        | Note::SignerSlow { .. }
        | Note::Submitted => {}
    }
    let sentence = sentence(note, place, names);
    match note {
        Note::Adopted { .. } | Note::Approved(_) | Note::Submitted => {
            console.say(Topic::Request, &sentence)
        }
        Note::Recovered { .. } => console.say(Topic::Bootstrap, &sentence),
        Note::Removed | Note::Resubmitting { .. } | Note::Taken => {
            console.warn(Topic::Request, &sentence)
        }
        Note::SignerSlow { .. } => console.warn(Topic::Waiting, &sentence),
        Note::Trouble { .. } => console.warn(Topic::Bootstrap, &sentence),
        Note::Held(_) | Note::Waiting { .. } => console.say(Topic::Waiting, &sentence),
    }
}

fn wait_for_approval(console: &Console, name: &str, held: Option<&Verdict>) {
    let held = held.map(|verdict| format!(", which is held: {}", reason(verdict)));
    console.wait_for(&format!(
        "the approval of {name}{}",
        held.unwrap_or_default()
    ));
}

fn sentence(note: &Note, place: &Place, names: Names<'_>) -> String {
    let Names { now: name, next } = names;
    match note {
        Note::Adopted { age } => {
            format!(
                "{name} is there already, for the same key, made {} ago",
                words::span(*age)
            )
        }
        Note::Approved(verdict) => format!("{name} was approved{}", because(verdict)),
        Note::Held(verdict) => format!("{name} is held: {}", reason(verdict)),
        Note::Recovered { lasted } => {
            format!(
                "{} answers again after {}",
                place.server,
                words::span(*lasted)
            )
        }
        Note::Removed => format!("{name} was deleted before it was issued; filing {next}"),
        Note::Resubmitting { pending } => {
            format!(
                "{name} has been pending for {}; filing {next}",
                words::span(*pending)
            )
        }
        Note::SignerSlow { waited } => format!(
            "{name} was approved {} ago but is not signed; the signer may be down: look at \
             kube-controller-manager (csrsigning)",
            words::span(*waited)
        ),
        Note::Submitted => format!("submitted as {name}"),
        Note::Taken => format!("{name} is there already, for another key; trying {next}"),
        Note::Trouble { fault, retry_in } => {
            format!(
                "{}; next try in {}",
                fault.describe(place),
                words::span(*retry_in)
            )
        }
        Note::Waiting { waited, held } => {
            let so_far = if waited.as_secs() == 0 {
                String::new()
            } else {
                format!(" for {}", words::span(*waited))
            };
            let why = match held {
                Some(verdict) => format!("it is held: {}", reason(verdict)),
                None => format!("to see why: kubectl describe csr {name}"),
            };
            format!(
                "{name} is pending{so_far} until the cluster's approver or an administrator approves it; {why}"
            )
        }
    }
}

/// Formats a condition's reason and message in brackets, as far as present.
pub(crate) fn because(verdict: &Verdict) -> String {
    match reason(verdict).as_str() {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

/// Formats reason and message, as far as present.
fn reason(verdict: &Verdict) -> String {
    match (verdict.reason.as_str(), verdict.message.as_str()) {
        ("", text) | (text, "") => text.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::console::LogFormat;

    #[test]
    fn whoever_gives_up_waiting_for_a_held_request_says_what_it_was_held_for() {
        let sink = Box::new(std::io::sink());
        let console = Console::new(sink, LogFormat::Text, false, Clock::system());
        let place = Place {
            authority_name: "the CA".to_owned(),
            credential_name: "the token".to_owned(),
            server: "https://api.test".to_owned(),
        };
        let names = Names {
            now: "csr-0",
            next: "csr-1",
        };
        let verdict = Verdict {
            reason: "MachineNotFound".to_owned(),
            message: "no Machine owns worker-0".to_owned(),
        };
        tell(&Note::Held(verdict), &console, &place, names);
        assert_eq!(
            console.waiting_for(),
            "the approval of csr-0, which is held: MachineNotFound: no Machine owns worker-0"
        );
    }
}
