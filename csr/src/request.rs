//! A certification request (PKCS#10, RFC 2986), read strictly.

use crate::{ParseError, PublicKey, RequestedNames, Subject};

/// A request whose subject, names and key are all known, and whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    subject: Subject,
    names: RequestedNames,
    public_key: PublicKey,
}

impl CertificationRequest {
    /// Reads `spec.request`: one PEM block `CERTIFICATE REQUEST`, first and, for now, alone.
    ///
    /// # Errors
    /// Whatever is not understood, in the order in which it is met.
    pub fn from_pem(_text: &[u8]) -> Result<Self, ParseError> {
        Err(ParseError::Placeholder)
    }

    /// Reads the DER inside the PEM block.
    ///
    /// # Errors
    /// As [`CertificationRequest::from_pem`].
    pub fn from_der(_der: &[u8]) -> Result<Self, ParseError> {
        Err(ParseError::Placeholder)
    }

    /// Who the certificate is for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The subject alternative names it asks for.
    pub fn names(&self) -> &RequestedNames {
        &self.names
    }

    /// The key it asks a certificate for.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}
