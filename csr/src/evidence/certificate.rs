//! The public key in a certificate (RFC 5280 section 4.1), parsed strictly.
//!
//! The caller checks issuer, subject and validity. The key is read here so that a statement's signature and its
//! certificate can never be checked with two different keys.

use crate::der::{INTEGER, Reader, SEQUENCE};
use crate::{ParseError, PublicKey};

/// `[0]`, constructed: the version of a certificate (RFC 5280 section 4.1).
const VERSION: u8 = 0xa0;

/// Version 3 as the contents of an INTEGER (RFC 5280 section 4.1.2.1), which every Kubernetes signer issues.
const VERSION_3: &[u8] = &[2];

/// Returns the subject's public key.
pub(super) fn public_key(der: &[u8]) -> Result<PublicKey, ParseError> {
    const WHAT: &str = "certificate";
    let mut outer = Reader::new(der, WHAT);
    let mut parts = outer.inside(SEQUENCE, WHAT)?;
    outer.end()?;
    let mut fields = parts.inside(SEQUENCE, WHAT)?;
    parts.tagged(SEQUENCE)?;
    parts.whole_bytes()?;
    parts.end()?;

    let mut version = fields.inside(VERSION, WHAT)?;
    if version.tagged(INTEGER)?.contents != VERSION_3 {
        return Err(ParseError::MalformedDer { what: WHAT });
    }
    version.end()?;
    fields.tagged(INTEGER)?;
    // Signature algorithm, issuer, validity and subject come between serial number and key.
    for _ in 0..4 {
        fields.tagged(SEQUENCE)?;
    }
    let (key, _) = PublicKey::read(fields.tagged(SEQUENCE)?.der)?;
    Ok(key)
}
