//! The events, actions and notes of the state machine in [`mod@crate::step`].

use std::time::Duration;

use crate::fault::Fault;

/// An event for the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request is filed.
    Created(Seen),
    /// The name is in use.
    Exists,
    /// The call failed.
    Faulted(Fault),
    /// No request of that name exists, or it was deleted.
    Gone,
    /// The current request.
    Observed(Seen),
    /// The watch ended; read the request and continue.
    WatchEnded {
        /// The duration of the watch.
        lasted: Duration,
    },
    /// The time given in [`Action::Watch`] has come.
    Woke,
}

/// The relevant fields of the request object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The age by its creation time; zero if unknown.
    pub age: Duration,
    /// True if it has our key, the right signer and the right usages.
    pub ours: bool,
    /// The state of the request.
    pub status: RequestStatus,
}

/// The state of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestStatus {
    /// Approved, not signed yet.
    Approved(Verdict),
    /// Denied, which is final.
    Denied(Verdict),
    /// The signer cannot sign it, which is final.
    Failed(Verdict),
    /// Undecided, and held by the approver with this reason.
    Held(Verdict),
    /// Approved and signed; the certificate in PEM.
    Issued(Vec<u8>),
    /// Undecided.
    Pending,
}

/// Reason and message of a condition, or of the approver for a request that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// File the request under the name of this attempt, after a pause.
    Create {
        /// The pause.
        after: Duration,
    },
    /// Give up.
    End(Ending),
    /// Return this certificate.
    Finish(Vec<u8>),
    /// Read the request, after a pause.
    Read {
        /// The pause.
        after: Duration,
    },
    /// Watch the request until an event or this time.
    Watch {
        /// The time of the next [`Event::Woke`].
        until: Duration,
    },
}

/// The reason why the run fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The request was denied.
    Denied(Verdict),
    /// The signer refused to sign it.
    Failed(Verdict),
    /// A permanent fault, and its duration.
    Fault {
        /// The fault.
        fault: Fault,
        /// Its duration.
        lasted: Duration,
    },
}

/// A message about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A request of an earlier run was found.
    Adopted {
        /// Its age.
        age: Duration,
    },
    /// It was approved.
    Approved(Verdict),
    /// The approver holds it, with a new reason.
    Held(Verdict),
    /// The API server answers again.
    Recovered {
        /// The duration of the outage.
        lasted: Duration,
    },
    /// The pending request is too old; a new one follows.
    Resubmitting {
        /// The time for which it was pending.
        pending: Duration,
    },
    /// The request was deleted.
    Removed,
    /// The request is approved but not signed within the usual time.
    SignerSlow {
        /// The time since its approval.
        waited: Duration,
    },
    /// It is filed.
    Submitted,
    /// The name belongs to another request.
    Taken,
    /// A call failed.
    Trouble {
        /// The fault.
        fault: Fault,
        /// The time until the next retry.
        retry_in: Duration,
    },
    /// The request is still undecided.
    Waiting {
        /// The time since it was filed.
        waited: Duration,
        /// The approver's reason for holding it, if there is one.
        held: Option<Verdict>,
    },
}

/// The inputs of a step besides state and event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Randomness from 0 to 1 for this step.
    pub jitter: f64,
    /// The time since the agent's start.
    pub now: Duration,
    /// The time after which a pending request is replaced by another one.
    pub resubmit_after: Duration,
}
