//! A request: one CertificateSigningRequest for a kubelet, reduced to what a decision needs.

use std::borrow::Cow;

use jiff::Timestamp;
use rollcall_csr::{CertificationRequest, KeyHash, NODES_GROUP, NodeName, ParseError, Signer};

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

impl Requestor {
    /// The id of the bootstrap token that was used, if one was.
    pub fn bootstrap_token(&self) -> Option<&str> {
        self.username.strip_prefix(BOOTSTRAP_USER)
    }

    /// The node that this is, if it is one: by user name and group, as the API server tells a node (Kubernetes:
    /// `pkg/auth/nodeidentifier/default.go`).
    pub fn node(&self) -> Option<NodeName> {
        let member = self.groups.iter().any(|group| group == NODES_GROUP);
        // Any other user name is simply not a node's.
        NodeName::from_username(&self.username)
            .ok()
            .filter(|_| member)
    }
}

/// The user name of whoever uses a bootstrap token is this and the token's id (Kubernetes:
/// `staging/src/k8s.io/cluster-bootstrap/token/api`).
const BOOTSTRAP_USER: &str = "system:bootstrap:";

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

/// How much of a name is shown, in bytes: as long as a name of most kinds may be (Kubernetes:
/// `apimachinery/pkg/util/validation`, DNS-1123 subdomain).
const SHOWN: usize = 253;

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
    /// Whether its certificate was issued. No decision rests on it.
    pub issued: bool,
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

    /// Whether the node asks for itself.
    pub fn is_by_its_node(&self) -> bool {
        self.requestor
            .node()
            .is_some_and(|requestor| self.node_name() == Some(requestor))
    }

    /// Its name for people: quoted and escaped unless it holds only what names of objects usually do, because its requestor may
    /// choose nearly any text.
    pub fn shown_name(&self) -> Cow<'_, str> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if !self.name.is_empty() && self.name.len() <= SHOWN && self.name.bytes().all(usual) {
            return Cow::Borrowed(&self.name);
        }
        let end = self.name.floor_char_boundary(SHOWN);
        match self.name.get(..end) {
            Some(begin) if end < self.name.len() => Cow::Owned(format!("{begin:?}...")),
            _ => Cow::Owned(format!("{:?}", self.name)),
        }
    }

    /// Whether it was made later than another one. Names tell apart what was made in one second (the API's resolution).
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        (self.created_at, &self.name) > (other.created_at, &other.name)
    }

    /// Whether nobody has decided yet.
    pub fn is_pending(&self) -> bool {
        self.standing == Standing::Pending
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::request;

    #[test]
    fn a_name_that_could_mislead_is_shown_quoted() {
        let shown = |name: &str| {
            let mut request = request("csr-0", "worker-0", 0);
            name.clone_into(&mut request.name);
            request.shown_name().into_owned()
        };
        for name in ["node-csr-N4X_unAl", "csr-0.a:b"] {
            assert_eq!(shown(name), name);
        }
        assert_eq!(shown("zz evil"), "\"zz evil\"");
        assert_eq!(
            shown("a\nINFO b\u{1b}\u{202e}"),
            "\"a\\nINFO b\\u{1b}\\u{202e}\""
        );
        assert_eq!(shown(""), "\"\"");
        assert_eq!(
            shown(&"\u{e4}".repeat(200)),
            format!("\"{}\"...", "\u{e4}".repeat(126))
        );
    }
}
