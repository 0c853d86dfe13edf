//! The sentences about a request: what people read while they wait.

use crate::console::{Console, Topic};
use crate::fault::Place;
use crate::step::{Note, Verdict};
use crate::words;

/// The name a note is about and the one that is tried next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) now: &'a str,
    pub(crate) next: &'a str,
}

/// Writes a note's line, and remembers what is waited for from now on.
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
        Note::Waiting { .. } => console.wait_for(&format!("the approval of {name}")),
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
        Note::Waiting { .. } => console.say(Topic::Waiting, &sentence),
    }
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
        Note::Waiting { waited } => {
            let so_far = if waited.as_secs() == 0 {
                String::new()
            } else {
                format!(" for {}", words::span(*waited))
            };
            format!(
                "{name} is pending{so_far} until the cluster's approver or an administrator approves it; \
                 to see why: kubectl describe csr {name}"
            )
        }
    }
}

/// A condition's reason and message in brackets, as far as it has them.
pub(crate) fn because(verdict: &Verdict) -> String {
    match (verdict.reason.as_str(), verdict.message.as_str()) {
        ("", "") => String::new(),
        ("", text) | (text, "") => format!(" ({text})"),
        (reason, message) => format!(" ({reason}: {message})"),
    }
}
