//! The events, actions and notes of the state machine in [`mod@crate::step`].

use std::time::Duration;

use crate::fault::Fault;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request is filed.
    Created(Seen),
    /// Its name is taken.
    Exists,
    /// The call failed.
    Faulted(Fault),
    /// There is no request of that name, or no longer.
    Gone,
    /// The request as it is now.
    Observed(Seen),
    /// The watch is over; read and go on.
    WatchEnded {
        /// How long it was open.
        lasted: Duration,
    },
    /// The time that [`Action::Watch`] named has come.
    Woke,
}

/// The request object as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How old it is by its creation time; zero if that cannot be told.
    pub age: Duration,
    /// Whether it asks for the key in hand, from the right signer, with the right usages.
    pub ours: bool,
    /// How far it has come.
    pub status: RequestStatus,
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestStatus {
    /// Approved, not signed yet.
    Approved(Verdict),
    /// Denied, for ever.
    Denied(Verdict),
    /// The signer cannot sign it, for ever.
    Failed(Verdict),
    /// Nobody has decided, and the approver says what it waits for.
    Held(Verdict),
    /// Approved and signed; the certificate in PEM.
    Issued(Vec<u8>),
    /// Nobody has decided.
    Pending,
}

/// What a condition says, or the approver of a request that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// File the request under the name of this attempt, after a pause.
    Create {
        /// The pause.
        after: Duration,
    },
    /// Give up.
    End(Ending),
    /// This is the certificate.
    Finish(Vec<u8>),
    /// Read the request, after a pause.
    Read {
        /// The pause.
        after: Duration,
    },
    /// Watch the request until something happens or this time has come.
    Watch {
        /// When to come back with [`Event::Woke`].
        until: Duration,
    },
}

/// Why it ends in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody denied it.
    Denied(Verdict),
    /// The signer will not sign it.
    Failed(Verdict),
    /// A fault that does not pass, and for how long it was there.
    Fault {
        /// Which.
        fault: Fault,
        /// For how long.
        lasted: Duration,
    },
}

/// What to tell people about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An own request from before was found.
    Adopted {
        /// How old it is.
        age: Duration,
    },
    /// It was approved.
    Approved(Verdict),
    /// The approver holds it, for this reason from now on.
    Held(Verdict),
    /// The API server answers again.
    Recovered {
        /// How long it did not.
        lasted: Duration,
    },
    /// The pending request is too old; a new one follows.
    Resubmitting {
        /// How long it was pending.
        pending: Duration,
    },
    /// Somebody deleted it.
    Removed,
    /// Approved but not signed for long.
    SignerSlow {
        /// For how long.
        waited: Duration,
    },
    /// It is filed.
    Submitted,
    /// The name belongs to another request.
    Taken,
    /// A call failed.
    Trouble {
        /// How.
        fault: Fault,
        /// When the next try is.
        retry_in: Duration,
    },
    /// Nobody has decided yet.
    Waiting {
        /// For how long.
        waited: Duration,
        /// What the approver holds it for, if it says so.
        held: Option<Verdict>,
    },
}

/// What a step depends on besides state and event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Randomness from 0 to 1 for this step.
    pub jitter: f64,
    /// The time since the agent's start.
    pub now: Duration,
    /// How long a request may be pending before another one is filed.
    pub resubmit_after: Duration,
}
