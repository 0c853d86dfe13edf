//! The errors of evidence: one variant and one stable word per cause.

use super::MAX_STATEMENTS;
use crate::ParseError;

/// The reason why evidence is unreadable, or a statement invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The statement names another cluster than the one it is verified for.
    #[error("the statement was made for another cluster")]
    AnotherCluster,
    /// The signature over this binding does not verify with the statement's key.
    #[error(
        "the signature of the statement does not belong to this request's key, node name and cluster"
    )]
    BadSignature,
    /// The kind has invalid characters or an invalid length.
    #[error(
        "the kind of a statement is not 1 to 63 lower-case letters, digits, hyphens, dots and slashes"
    )]
    MalformedKind,
    /// The list of statements is empty.
    #[error("the evidence holds no statement")]
    NoStatements,
    /// More statements than [`MAX_STATEMENTS`], or more than one previous certificate, in all blocks together.
    #[error(
        "the evidence holds more than {MAX_STATEMENTS} statements, or more than one previous certificate"
    )]
    TooManyStatements,
    /// The block, its DER, or a key in it is malformed.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// A version other than 1.
    #[error("the evidence is not of version 1, the only one that is understood")]
    UnsupportedVersion,
}

impl EvidenceError {
    /// Every word that [`EvidenceError::as_str`] can return, in alphabetical order.
    pub const ALL_WORDS: &[&str] = &[
        "AnotherCluster",
        "BadSignature",
        "MalformedDer",
        "MalformedKey",
        "MalformedKind",
        "MalformedPem",
        "NoStatements",
        "PemHeaders",
        "RsaKeySize",
        "TooLarge",
        "TooManyStatements",
        "TrailingDer",
        "UnsupportedKey",
        "UnsupportedVersion",
    ];

    /// The stable word for the cause. Errors that requests and evidence share have the same word in both.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AnotherCluster => "AnotherCluster",
            Self::BadSignature => "BadSignature",
            Self::MalformedKind => "MalformedKind",
            Self::NoStatements => "NoStatements",
            Self::TooManyStatements => "TooManyStatements",
            Self::Unreadable(error) => error.as_str(),
            Self::UnsupportedVersion => "UnsupportedVersion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_unique() {
        let words = EvidenceError::ALL_WORDS;
        assert!(words.is_sorted_by(|one, next| one < next), "{words:?}");
    }
}
