//! The statements of evidence.

use super::certificate;
use super::{Binding, ClusterId, EvidenceError};
use crate::der::{OCTET_STRING, Reader, SEQUENCE, UTF8_STRING};
use crate::encode::encode;
use crate::signature::Signature;
use crate::{ParseError, PublicKey};

/// The kind of [`PreviousCertificate`].
const PREVIOUS_CERTIFICATE: &str = "previous-certificate";

/// The kind of [`JoinKey`].
const JOIN_KEY: &str = "join-key";

/// Longest kind, in bytes; the limit of a DNS label (RFC 1035 section 2.3.4).
const MAX_KIND: usize = 63;

/// One fact that the machine proves or claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The machine holds the key of a client certificate that was issued to it before.
    PreviousCertificate(PreviousCertificate),
    /// The machine holds a key that is pinned in its Machine.
    JoinKey(JoinKey),
    /// A statement of an unknown kind. It proves nothing.
    Other(OtherStatement),
}

impl Statement {
    /// Creates a `previous-certificate` statement. `sign` signs with the certificate's key and the algorithm of that
    /// key: ECDSA P-256 with SHA-256, P-384 with SHA-384 (both in ASN.1 form), Ed25519, or RSA PKCS#1 v1.5 with
    /// SHA-256.
    ///
    /// # Errors
    /// Those of `sign`; [`EvidenceError::Unreadable`] if the certificate is malformed or its key unsupported;
    /// [`EvidenceError::BadSignature`] if `sign` uses another key.
    pub fn previous_certificate<E: From<EvidenceError>>(
        certificate_der: &[u8],
        binding: &Binding,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let key = certificate::public_key(certificate_der).map_err(EvidenceError::from)?;
        let signature = sign(&binding.signed(PREVIOUS_CERTIFICATE, certificate_der))?;
        let statement = PreviousCertificate {
            certificate_der: certificate_der.to_vec(),
            proof: Proof {
                cluster: binding.cluster,
                key,
                signature,
            },
        };
        statement.verify(binding)?;
        Ok(Self::PreviousCertificate(statement))
    }

    /// Creates a `join-key` statement about the key with this SubjectPublicKeyInfo. `sign` signs with it, as for
    /// [`Statement::previous_certificate`].
    ///
    /// # Errors
    /// As [`Statement::previous_certificate`].
    pub fn join_key<E: From<EvidenceError>>(
        spki_der: &[u8],
        binding: &Binding,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let (key, _) = PublicKey::read(spki_der).map_err(EvidenceError::from)?;
        let signature = sign(&binding.signed(JOIN_KEY, spki_der))?;
        let statement = JoinKey {
            proof: Proof {
                cluster: binding.cluster,
                key,
                signature,
            },
        };
        statement.verify(binding)?;
        Ok(Self::JoinKey(statement))
    }

    /// The name of the kind, printable ASCII.
    pub fn kind(&self) -> &str {
        match self {
            Self::PreviousCertificate(_) => PREVIOUS_CERTIFICATE,
            Self::JoinKey(_) => JOIN_KEY,
            Self::Other(other) => &other.kind,
        }
    }

    /// The cluster that the statement names.
    pub fn cluster(&self) -> ClusterId {
        match self {
            Self::PreviousCertificate(statement) => statement.cluster(),
            Self::JoinKey(statement) => statement.cluster(),
            Self::Other(other) => other.cluster,
        }
    }

    /// The subject of the statement: the DER of its certificate or key, or the body if the kind is unknown.
    pub(crate) fn shown(&self) -> &[u8] {
        match self {
            Self::PreviousCertificate(statement) => &statement.certificate_der,
            Self::JoinKey(statement) => statement.key().spki_der(),
            Self::Other(other) => &other.body,
        }
    }

    /// Reads the next statement of a list.
    pub(super) fn read(list: &mut Reader<'_>) -> Result<Self, EvidenceError> {
        let mut fields = list.inside(SEQUENCE, "statement")?;
        let kind = read_kind(fields.tagged(UTF8_STRING)?.contents)?;
        let cluster = ClusterId::read(fields.tagged(OCTET_STRING)?.contents)?;
        let body = fields.tagged(OCTET_STRING)?.contents;
        fields.end()?;
        Ok(match kind {
            PREVIOUS_CERTIFICATE => {
                let (certificate_der, signature) = read_body(body)?;
                let key = certificate::public_key(certificate_der)?;
                Self::PreviousCertificate(PreviousCertificate {
                    certificate_der: certificate_der.to_vec(),
                    proof: Proof {
                        cluster,
                        key,
                        signature,
                    },
                })
            }
            JOIN_KEY => {
                let (spki_der, signature) = read_body(body)?;
                let (key, _) = PublicKey::read(spki_der)?;
                Self::JoinKey(JoinKey {
                    proof: Proof {
                        cluster,
                        key,
                        signature,
                    },
                })
            }
            other => Self::Other(OtherStatement {
                kind: other.to_owned(),
                cluster,
                body: body.to_vec(),
            }),
        })
    }

    /// The DER of `Statement`.
    pub(super) fn to_der(&self) -> Vec<u8> {
        let body = match self {
            Self::PreviousCertificate(statement) => statement.proof.body(self.shown()),
            Self::JoinKey(statement) => statement.proof.body(self.shown()),
            Self::Other(other) => other.body.clone(),
        };
        encode(
            SEQUENCE,
            &[
                &encode(UTF8_STRING, &[self.kind().as_bytes()]),
                &self.cluster().to_der(),
                &encode(OCTET_STRING, &[&body]),
            ],
        )
    }
}

/// Reads a kind, which must be plain text because messages show it.
fn read_kind(contents: &[u8]) -> Result<&str, EvidenceError> {
    let is_plain = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'/')
    };
    std::str::from_utf8(contents)
        .ok()
        .filter(|kind| (1..=MAX_KIND).contains(&kind.len()) && contents.iter().all(is_plain))
        .ok_or(EvidenceError::MalformedKind)
}

/// Reads the body of a statement: the certificate or key, and the signature made with it.
fn read_body(body: &[u8]) -> Result<(&[u8], Vec<u8>), ParseError> {
    let mut outer = Reader::new(body, "body of a statement");
    let mut fields = outer.inside(SEQUENCE, "body of a statement")?;
    outer.end()?;
    let shown = fields.tagged(SEQUENCE)?.der;
    let signature = fields.tagged(OCTET_STRING)?.contents.to_vec();
    fields.end()?;
    Ok((shown, signature))
}

/// A client certificate that was issued to the machine before, possibly expired, and a signature with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousCertificate {
    certificate_der: Vec<u8>,
    proof: Proof,
}

impl PreviousCertificate {
    /// The certificate. Only its key is checked so far: the caller must check issuer, subject and validity.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// The cluster that the statement names.
    pub fn cluster(&self) -> ClusterId {
        self.proof.cluster
    }

    /// The public key in the certificate.
    pub fn key(&self) -> &PublicKey {
        &self.proof.key
    }

    /// Verifies that the holder of the certificate's key made this statement for this binding.
    ///
    /// # Errors
    /// [`EvidenceError::AnotherCluster`] and [`EvidenceError::BadSignature`].
    pub fn verify(&self, binding: &Binding) -> Result<(), EvidenceError> {
        self.proof
            .verify(PREVIOUS_CERTIFICATE, &self.certificate_der, binding)
    }
}

/// A public key that an authorized user pinned in the Machine, and a signature with its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinKey {
    proof: Proof,
}

impl JoinKey {
    /// The cluster that the statement names.
    pub fn cluster(&self) -> ClusterId {
        self.proof.cluster
    }

    /// The key. The caller must check that it is the pinned one.
    pub fn key(&self) -> &PublicKey {
        &self.proof.key
    }

    /// Verifies that the holder of the key made this statement for this binding.
    ///
    /// # Errors
    /// [`EvidenceError::AnotherCluster`] and [`EvidenceError::BadSignature`].
    pub fn verify(&self, binding: &Binding) -> Result<(), EvidenceError> {
        self.proof.verify(JOIN_KEY, self.key().spki_der(), binding)
    }
}

/// A statement of an unknown kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherStatement {
    kind: String,
    cluster: ClusterId,
    body: Vec<u8>,
}

/// A signature with the key in the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Proof {
    cluster: ClusterId,
    key: PublicKey,
    signature: Vec<u8>,
}

impl Proof {
    fn verify(&self, kind: &str, shown: &[u8], binding: &Binding) -> Result<(), EvidenceError> {
        if self.cluster != binding.cluster {
            return Err(EvidenceError::AnotherCluster);
        }
        let (key, bits) = PublicKey::read(self.key.spki_der())?;
        Signature::of_key(key.algorithm(), &self.signature)
            .verify(bits, &binding.signed(kind, shown))
            .map_err(|_| EvidenceError::BadSignature)
    }

    fn body(&self, shown: &[u8]) -> Vec<u8> {
        encode(
            SEQUENCE,
            &[shown, &encode(OCTET_STRING, &[&self.signature])],
        )
    }
}
