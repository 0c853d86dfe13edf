//! A request: one CertificateSigningRequest for a kubelet, reduced to what a decision needs.

use jiff::Timestamp;
use rollcall_csr::{CertificationRequest, KeyHash, NodeName, ParseError, Signer};

/// The `metadata.uid` of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestUid(pub String);

/// Who made a request, as the API server authenticated them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requestor {
    /// `spec.username`.
    pub username: String,
    /// `spec.groups`.
    pub groups: Vec<String>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Approved at this time; whether the signer has issued the certificate does not matter here.
    Approved(Timestamp),
    /// Denied, or failed by the signer: it will never get a certificate.
    Closed,
    /// Nobody has decided yet.
    Pending,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What tells it from a later request of the same name.
    pub uid: RequestUid,
    /// Its name.
    pub name: String,
    /// Whom it asks to sign.
    pub signer: Signer,
    /// Who made it.
    pub requestor: Requestor,
    /// `spec.usages`, as they stand there.
    pub usages: Vec<String>,
    /// When it was made, by the API server's clock.
    pub created_at: Timestamp,
    /// How far it has come.
    pub standing: Standing,
    /// What `spec.request` asks for, or why that could not be read.
    pub content: Result<CertificationRequest, ParseError>,
}

impl Request {
    /// The node that the certificate would be for, where the request names one.
    pub fn node_name(&self) -> Option<NodeName> {
        // A request that cannot be read, or whose common name is no node's, names no node: the checks say so.
        let content = self.content.as_ref().ok()?;
        NodeName::from_username(&content.subject().common_name).ok()
    }

    /// The key that it asks a certificate for, where it could be read.
    pub fn key(&self) -> Option<KeyHash> {
        self.content
            .as_ref()
            .ok()
            .map(|content| content.public_key().hash())
    }

    /// Whether nobody has decided yet.
    pub fn is_pending(&self) -> bool {
        self.standing == Standing::Pending
    }
}
