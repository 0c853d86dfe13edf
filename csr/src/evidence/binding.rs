//! What every statement is bound to, and the bytes that are signed for it.

use std::fmt;

use crate::der::{OCTET_STRING, SEQUENCE, UTF8_STRING};
use crate::encode::encode;
use crate::hash::{self, sha256};
use crate::{KeyHash, NodeName, ParseError};

/// What the signed bytes begin with, so that no signature made for another purpose is one of these.
const CONTEXT: &str = "rollcall.dev/evidence/v1";

/// SHA-256 over the DER of one CA certificate of a cluster's API server: which cluster a statement is about.
///
/// A cluster whose CA bundle holds several certificates has several of these; each of them names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 32]);

impl ClusterId {
    /// Hashes the DER of a CA certificate.
    pub fn of_ca(certificate_der: &[u8]) -> Self {
        Self(sha256(certificate_der))
    }

    /// Takes the contents of an OCTET STRING.
    pub(super) fn read(contents: &[u8]) -> Result<Self, ParseError> {
        let hash = contents.try_into().map_err(|_| ParseError::MalformedDer {
            what: "cluster of a statement",
        })?;
        Ok(Self(hash))
    }

    pub(crate) fn to_der(self) -> Vec<u8> {
        encode(OCTET_STRING, &[&self.0])
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hash::write(&self.0, f)
    }
}

/// What a statement must have been made for: with any other key, node or cluster it is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key that the request asks a certificate for.
    pub request_key: KeyHash,
    /// The node that the request is for.
    pub node: NodeName,
    /// The cluster that the request is made in.
    pub cluster: ClusterId,
}

impl Binding {
    /// The bytes that are signed: the DER of `Signed` in `docs/evidence.md`. `shown` is the DER of the certificate or
    /// key that the statement shows.
    pub(super) fn signed(&self, kind: &str, shown: &[u8]) -> Vec<u8> {
        encode(
            SEQUENCE,
            &[
                &encode(UTF8_STRING, &[CONTEXT.as_bytes()]),
                &encode(UTF8_STRING, &[kind.as_bytes()]),
                &encode(OCTET_STRING, &[self.request_key.as_bytes()]),
                &encode(UTF8_STRING, &[self.node.as_str().as_bytes()]),
                &self.cluster.to_der(),
                &encode(OCTET_STRING, &[&sha256(shown)]),
            ],
        )
    }
}
