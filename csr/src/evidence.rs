//! Evidence: what the machine itself proves, carried after the request in `spec.request`.
//!
//! `docs/evidence.md` specifies the format. A request with unreadable evidence is still a valid request, because the
//! signer never reads evidence. So evidence has its own errors, which are kept beside the request.

mod armour;
mod binding;
mod certificate;
mod error;
mod statement;

pub(crate) use armour::contents;
pub use binding::{Binding, ClusterId};
pub use error::EvidenceError;
pub use statement::{JoinKey, OtherStatement, PreviousCertificate, Statement};

use crate::der::{INTEGER, Reader, SEQUENCE};
use crate::encode::encode;
use crate::pem::EvidenceBlocks;
use crate::{MAX_REQUEST_SIZE, ParseError};

/// The maximum number of statements in one request; bounds the signatures that the approver verifies.
pub const MAX_STATEMENTS: usize = 8;

/// Version 1 as the contents of an INTEGER.
const VERSION_1: &[u8] = &[1];

/// The list of statements of one request.
///
/// The encoding of a list is unique: [`Evidence::to_der`] returns exactly the bytes that [`Evidence::from_der`]
/// accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence(Vec<Statement>);

impl Evidence {
    /// Creates evidence from 1 to [`MAX_STATEMENTS`] statements.
    ///
    /// # Errors
    /// [`EvidenceError::NoStatements`] and [`EvidenceError::TooManyStatements`].
    pub fn new(statements: Vec<Statement>) -> Result<Self, EvidenceError> {
        if statements.is_empty() {
            return Err(EvidenceError::NoStatements);
        }
        if statements.len() > MAX_STATEMENTS {
            return Err(EvidenceError::TooManyStatements);
        }
        Ok(Self(statements))
    }

    /// Reads the DER inside a PEM block `ROLLCALL EVIDENCE`.
    ///
    /// # Errors
    /// The first part that is not understood. Signatures are verified separately, by [`PreviousCertificate::verify`]
    /// and [`JoinKey::verify`].
    pub fn from_der(der: &[u8]) -> Result<Self, EvidenceError> {
        let mut outer = Reader::new(der, "evidence");
        let mut fields = outer.inside(SEQUENCE, "evidence")?;
        outer.end()?;
        // Checked first: the fields of other versions are unknown.
        if fields.tagged(INTEGER)?.contents != VERSION_1 {
            return Err(EvidenceError::UnsupportedVersion);
        }
        let mut list = fields.inside(SEQUENCE, "list of statements")?;
        fields.end()?;
        let mut statements = Vec::new();
        while !list.is_empty() {
            if statements.len() == MAX_STATEMENTS {
                return Err(EvidenceError::TooManyStatements);
            }
            statements.push(Statement::read(&mut list)?);
        }
        Self::new(statements)
    }

    /// The statements, in their order.
    pub fn statements(&self) -> &[Statement] {
        &self.0
    }

    /// The DER of `Evidence`.
    pub fn to_der(&self) -> Vec<u8> {
        let statements: Vec<u8> = self.0.iter().flat_map(Statement::to_der).collect();
        let version = encode(INTEGER, &[VERSION_1]);
        encode(SEQUENCE, &[&version, &encode(SEQUENCE, &[&statements])])
    }

    /// The PEM block, appended to the request's.
    pub fn to_pem(&self) -> String {
        armour::block(&self.to_der())
    }

    /// Returns the text of `spec.request`: a request's PEM block followed by this evidence.
    ///
    /// # Errors
    /// [`ParseError::TooLarge`] if both together exceed [`MAX_REQUEST_SIZE`]; the request may still be accepted without
    /// the evidence.
    pub fn append_to(&self, request_pem: &str) -> Result<String, EvidenceError> {
        let line_break = if request_pem.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let text = format!("{request_pem}{line_break}{}", self.to_pem());
        if text.len() > MAX_REQUEST_SIZE {
            return Err(ParseError::TooLarge { size: text.len() }.into());
        }
        Ok(text)
    }
}

/// Returns the statements of all blocks of a request, in order; empty if it has no block.
pub(crate) fn read_blocks(blocks: EvidenceBlocks) -> Result<Vec<Statement>, EvidenceError> {
    let mut statements = Vec::new();
    for block in blocks {
        statements.extend(Evidence::from_der(&block?)?.0);
        if statements.len() > MAX_STATEMENTS {
            return Err(EvidenceError::TooManyStatements);
        }
    }
    // A machine needs only one previous certificate, and each takes long to verify.
    let previous = statements
        .iter()
        .filter(|statement| matches!(statement, Statement::PreviousCertificate(_)));
    if previous.count() > 1 {
        return Err(EvidenceError::TooManyStatements);
    }
    Ok(statements)
}
