//! Errors of AWS calls, each with the next step.

use jiff::SignedDuration;

/// The cause of a failed call to AWS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The clock here and AWS's differ too much for a signature to be accepted.
    #[error(
        "AWS does not accept the time of the request ({code}): this machine's clock is {} its own; synchronise it",
        apart(.ahead)
    )]
    Clock {
        /// The code AWS gave.
        code: String,
        /// The time by which the local clock is ahead, if AWS sent its time.
        ahead: Option<SignedDuration>,
    },
    /// There are no credentials, or they cannot be got.
    #[error("no AWS credentials: {0}")]
    Credentials(String),
    /// The answer is not what the API promises.
    #[error("{call} answered something that cannot be understood: {message}")]
    Malformed {
        /// Which call.
        call: &'static str,
        /// The problem.
        message: String,
    },
    /// AWS understood the call and refused it.
    #[error("{call} was refused: {message} ({code}, HTTP status {status})")]
    Refused {
        /// Which call.
        call: &'static str,
        /// The code AWS gave.
        code: String,
        /// The message of AWS.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// A setting is wrong or missing.
    #[error("{0}")]
    Setting(String),
    /// AWS asks for fewer calls.
    #[error("{call} was throttled by AWS ({code})")]
    Throttled {
        /// Which call.
        call: &'static str,
        /// The code AWS gave.
        code: String,
    },
    /// No answer came.
    #[error("{host} cannot be reached: {message}")]
    Unreachable {
        /// The host that was called.
        host: String,
        /// The problem.
        message: String,
    },
    /// AWS failed.
    #[error("{call} failed on AWS's side (HTTP status {status}, {code})")]
    Unwell {
        /// Which call.
        call: &'static str,
        /// The code AWS gave.
        code: String,
        /// The HTTP status.
        status: u16,
    },
}

impl Error {
    /// Returns true if the same call may work on a retry.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unreachable { .. } | Self::Unwell { .. } => true,
            Self::Clock { .. }
            | Self::Credentials(_)
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::Setting(_) => false,
        }
    }
}

fn apart(ahead: &Option<SignedDuration>) -> String {
    match ahead {
        Some(ahead) if ahead.is_negative() => {
            format!("{} s behind", ahead.as_secs().unsigned_abs())
        }
        Some(ahead) => format!("{} s ahead of", ahead.as_secs()),
        None => "not near".to_owned(),
    }
}
