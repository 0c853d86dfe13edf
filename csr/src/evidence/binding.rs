//! The binding of a statement to a request, and the bytes that are signed for it.

use std::fmt;

use crate::der::{OCTET_STRING, SEQUENCE, UTF8_STRING};
use crate::encode::encode;
use crate::hash::{self, sha256};
use crate::{KeyHash, NodeName, ParseError};

/// The prefix of the signed bytes, so that a signature made for another purpose is never valid here.
const CONTEXT: &str = "rollcall.dev/evidence/v1";

/// SHA-256 over the DER of a CA certificate of a cluster's API server: identifies the cluster of a statement.
///
/// A cluster whose CA bundle holds several certificates has several ids; each of them identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId([u8; 32]);

impl ClusterId {
    /// Hashes the DER of a CA certificate.
    pub fn of_ca(certificate_der: &[u8]) -> Self {
        Self(sha256(certificate_der))
    }

    /// Reads the contents of an OCTET STRING.
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

/// The key, node and cluster that a statement is made for: it is invalid for any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key to be certified.
    pub request_key: KeyHash,
    /// The node of the request.
    pub node: NodeName,
    /// The cluster of the request.
    pub cluster: ClusterId,
}

impl Binding {
    /// The bytes that are signed: the DER of `Signed` in `docs/evidence.md`. `shown` is the DER of the certificate or
    /// key in the statement.
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
