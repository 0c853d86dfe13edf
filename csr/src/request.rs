//! A certification request (PKCS#10, RFC 2986), read strictly.

use std::sync::{Arc, OnceLock};

use crate::der::{ATTRIBUTES, INTEGER, Reader, SEQUENCE};
use crate::evidence;
use crate::extensions::read_attributes;
use crate::pem::{self, MAX_REQUEST_SIZE};
use crate::signature::Signature;
use crate::{
    Binding, EvidenceError, NodeName, ParseError, PublicKey, RequestedNames, Statement, Subject,
};

/// Version 0 as the contents of an INTEGER (RFC 2986 section 4.1).
const VERSION_0: &[u8] = &[0];

/// A request with its subject, names and key, and a verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    subject: Subject,
    names: RequestedNames,
    public_key: PublicKey,
    // Shared between clones: large, or slow to compute.
    evidence: Arc<Result<Vec<Statement>, EvidenceError>>,
    proofs: Proofs,
}

/// The verification result of each statement, computed on first use from the rest of the request.
#[derive(Clone, Debug, Default)]
struct Proofs(Arc<OnceLock<Vec<Proof>>>);

/// The result of verifying one statement; `None` for an unknown kind.
type Proof = Option<Result<(), EvidenceError>>;

impl PartialEq for Proofs {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Proofs {}

impl CertificationRequest {
    /// Reads `spec.request`: one PEM block `CERTIFICATE REQUEST`, then any number of blocks `ROLLCALL EVIDENCE`.
    ///
    /// # Errors
    /// The first part that is not understood.
    pub fn from_pem(text: &[u8]) -> Result<Self, ParseError> {
        let (der, blocks) = pem::read(text)?;
        Ok(Self {
            evidence: Arc::new(evidence::read_blocks(blocks)),
            ..Self::from_der(&der)?
        })
    }

    /// Reads the DER from the request's PEM block. Such a request has no evidence.
    ///
    /// # Errors
    /// As [`CertificationRequest::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self, ParseError> {
        let Unverified {
            request,
            signed,
            key,
            signature,
        } = Unverified::read(der)?;
        signature.verify(key, signed)?;
        Ok(request)
    }

    /// The subject of the requested certificate.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The requested subject alternative names.
    pub fn names(&self) -> &RequestedNames {
        &self.names
    }

    /// The key to be certified.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The statements of the evidence, not yet verified ([`CertificationRequest::proofs`]); usually empty.
    ///
    /// # Errors
    /// The reason why the evidence is unreadable. The signer ignores evidence, so the request itself is not malformed;
    /// the approver decides what to do.
    pub fn evidence(&self) -> Result<&[Statement], &EvidenceError> {
        (*self.evidence).as_deref()
    }

    /// The results for the statements of [`CertificationRequest::evidence`], in order: `Ok` if signed for this
    /// request's key and node and for the cluster that the statement names; `None` for an unknown kind, which proves
    /// nothing.
    /// Verifying a signature is slow, so it is done on first use and cached.
    pub fn proofs(&self) -> &[Option<Result<(), EvidenceError>>] {
        self.proofs.0.get_or_init(|| {
            let statements = self.evidence.iter().flatten();
            statements.map(|statement| self.verify(statement)).collect()
        })
    }

    fn verify(&self, statement: &Statement) -> Option<Result<(), EvidenceError>> {
        let Ok(node) = NodeName::from_username(&self.subject.common_name) else {
            // No statement can have been signed for a name that is not a node's.
            return Some(Err(EvidenceError::BadSignature));
        };
        let binding = Binding {
            request_key: self.public_key.hash(),
            node,
            cluster: statement.cluster(),
        };
        match statement {
            Statement::PreviousCertificate(previous) => Some(previous.verify(&binding)),
            Statement::JoinKey(join_key) => Some(join_key.verify(&binding)),
            Statement::Other(_) => None,
        }
    }
}

/// A parsed request, before its signature is verified.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) request: CertificationRequest,
    /// The bytes that the signature covers.
    signed: &'a [u8],
    /// The bytes of the public key's BIT STRING.
    key: &'a [u8],
    signature: Signature<'a>,
}

impl<'a> Unverified<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, ParseError> {
        if der.len() > MAX_REQUEST_SIZE {
            return Err(ParseError::TooLarge { size: der.len() });
        }
        let mut outer = Reader::new(der, "request");
        let mut parts = outer.inside(SEQUENCE, "request")?;
        outer.end()?;
        let info = parts.tagged(SEQUENCE)?;
        let algorithm = parts.tagged(SEQUENCE)?.contents;
        let value = parts.whole_bytes()?;
        parts.end()?;

        let (request, key) = read_info(Reader::new(info.contents, "request information"))?;
        let signature = Signature::read(request.public_key.algorithm(), algorithm, value)?;
        Ok(Self {
            request,
            signed: info.der,
            key,
            signature,
        })
    }
}

/// Reads the CertificationRequestInfo, and the bytes of its public key.
fn read_info(mut info: Reader<'_>) -> Result<(CertificationRequest, &[u8]), ParseError> {
    if info.tagged(INTEGER)?.contents != VERSION_0 {
        return Err(ParseError::UnsupportedVersion);
    }
    let subject = Subject::read(info.inside(SEQUENCE, "subject")?)?;
    let (public_key, key) = PublicKey::read(info.tagged(SEQUENCE)?.der)?;
    let names = read_attributes(info.inside(ATTRIBUTES, "attributes")?)?;
    info.end()?;
    Ok((
        CertificationRequest {
            subject,
            names,
            public_key,
            evidence: Arc::new(Ok(Vec::new())),
            proofs: Proofs::default(),
        },
        key,
    ))
}
