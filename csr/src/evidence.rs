//! Evidence: what the machine itself proves, carried after the request in `spec.request`.
//!
//! `docs/evidence.md` is the format's specification. A request with evidence that cannot be read stays a good request:
//! the signer never sees evidence. So evidence has errors of its own, which are kept beside the request.

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

/// Most statements that one request may carry, so that it cannot make the approver verify signatures without end.
pub const MAX_STATEMENTS: usize = 8;

/// Version 1 as the contents of an INTEGER.
const VERSION_1: &[u8] = &[1];

/// A list of statements that belongs to one request.
///
/// There is one encoding only for each list: whatever [`Evidence::from_der`] takes, [`Evidence::to_der`] gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence(Vec<Statement>);

impl Evidence {
    /// Evidence with these statements, from 1 to [`MAX_STATEMENTS`].
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
    /// Whatever is not understood, in the order in which it is met. The signatures are left to
    /// [`PreviousCertificate::verify`] and [`JoinKey::verify`].
    pub fn from_der(der: &[u8]) -> Result<Self, EvidenceError> {
        let mut outer = Reader::new(der, "evidence");
        let mut fields = outer.inside(SEQUENCE, "evidence")?;
        outer.end()?;
        // Before anything else: of another version only this much is known.
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

    /// The PEM block, which follows the request's.
    pub fn to_pem(&self) -> String {
        armour::block(&self.to_der())
    }

    /// The text of `spec.request`: a request's PEM block and this evidence.
    ///
    /// # Errors
    /// [`ParseError::TooLarge`] when the two are more than is read ([`MAX_REQUEST_SIZE`]); without the evidence the
    /// request may still be taken.
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

/// The statements of all blocks of a request, in their order; none without a block.
pub(crate) fn read_blocks(blocks: EvidenceBlocks) -> Result<Vec<Statement>, EvidenceError> {
    let mut statements = Vec::new();
    for block in blocks {
        statements.extend(Evidence::from_der(&block?)?.0);
        if statements.len() > MAX_STATEMENTS {
            return Err(EvidenceError::TooManyStatements);
        }
    }
    // A machine has one identity to show, and each certificate takes long to verify.
    let previous = statements
        .iter()
        .filter(|statement| matches!(statement, Statement::PreviousCertificate(_)));
    if previous.count() > 1 {
        return Err(EvidenceError::TooManyStatements);
    }
    Ok(statements)
}
