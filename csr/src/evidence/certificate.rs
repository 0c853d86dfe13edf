//! The public key inside a certificate (RFC 5280 section 4.1), found by strict reading.
//!
//! Who signed the certificate, for whom and until when is for the caller to check; the key is read here so that a
//! statement's signature and the certificate in it can never be judged by two different keys.

use crate::der::{INTEGER, Reader, SEQUENCE};
use crate::{ParseError, PublicKey};

/// `[0]`, constructed: the version of a certificate (RFC 5280 section 4.1).
const VERSION: u8 = 0xa0;

/// Version 3 as the contents of an INTEGER (RFC 5280 section 4.1.2.1), what every Kubernetes signer issues.
const VERSION_3: &[u8] = &[2];

/// The key that a certificate is for.
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
    // Signature algorithm, issuer, validity and subject stand between serial number and key.
    for _ in 0..4 {
        fields.tagged(SEQUENCE)?;
    }
    let (key, _) = PublicKey::read(fields.tagged(SEQUENCE)?.der)?;
    Ok(key)
}
