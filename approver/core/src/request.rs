//! A request: one CertificateSigningRequest for a kubelet, reduced to what a decision needs.

use std::borrow::Cow;

use jiff::Timestamp;
use rollcall_csr::{CertificationRequest, KeyHash, NODES_GROUP, NodeName, ParseError, Signer};

/// The `metadata.uid` of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestUid(pub String);

/// The requestor, as authenticated by the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requestor {
    /// `spec.username`.
    pub username: String,
    /// `spec.groups`.
    pub groups: Vec<String>,
}

impl Requestor {
    /// The id of the bootstrap token in use, if any.
    pub fn bootstrap_token(&self) -> Option<&str> {
        self.username.strip_prefix(BOOTSTRAP_USER)
    }

    /// The node of this requestor, if it is one: by user name and group, as the API server identifies a node
    /// (Kubernetes: `pkg/auth/nodeidentifier/default.go`).
    pub fn node(&self) -> Option<NodeName> {
        let member = self.groups.iter().any(|group| group == NODES_GROUP);
        // Any other user name is not a node's.
        NodeName::from_username(&self.username)
            .ok()
            .filter(|_| member)
    }
}

/// The prefix of the user name of a bootstrap token, before its id (Kubernetes:
/// `staging/src/k8s.io/cluster-bootstrap/token/api`).
pub const BOOTSTRAP_USER: &str = "system:bootstrap:";

/// The group of all bootstrap tokens; groups of some of them begin with it and a colon (Kubernetes:
/// `staging/src/k8s.io/cluster-bootstrap/token/api`).
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Approved at this time; whether the certificate is issued does not matter here.
    Approved(Timestamp),
    /// Denied, or failed by the signer: it will never get a certificate.
    Closed,
    /// Undecided.
    Pending,
}

/// The maximum length of a displayed name, in bytes: that of most kinds' names (Kubernetes:
/// `apimachinery/pkg/util/validation`, DNS-1123 subdomain).
const SHOWN: usize = 253;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The uid, which distinguishes it from a later request of the same name.
    pub uid: RequestUid,
    /// Its name.
    pub name: String,
    /// The signer.
    pub signer: Signer,
    /// The requestor.
    pub requestor: Requestor,
    /// `spec.usages`, unchanged.
    pub usages: Vec<String>,
    /// The creation time, by the API server's clock.
    pub created_at: Timestamp,
    /// The state.
    pub standing: Standing,
    /// True if its certificate was issued. No decision depends on it.
    pub issued: bool,
    /// The content of `spec.request`, or the error of parsing it.
    pub content: Result<CertificationRequest, ParseError>,
}

impl Request {
    /// The node of the requested certificate, if the request names one.
    pub fn node_name(&self) -> Option<NodeName> {
        // An unreadable request, or one whose common name is not a node's, has no node: the checks report that.
        let content = self.content.as_ref().ok()?;
        NodeName::from_username(&content.subject().common_name).ok()
    }

    /// The key of the requested certificate, if readable.
    pub fn key(&self) -> Option<KeyHash> {
        self.content
            .as_ref()
            .ok()
            .map(|content| content.public_key().hash())
    }

    /// Returns true if the node makes the request for itself.
    pub fn is_by_its_node(&self) -> bool {
        self.requestor
            .node()
            .is_some_and(|requestor| self.node_name() == Some(requestor))
    }

    /// The name for display: quoted and escaped unless it contains only the usual characters of object names, because the
    /// requestor can choose nearly any text.
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

    /// Returns true if it was created later than another one. Names order those created in the same second (the API's
    /// resolution).
    pub(crate) fn is_newer_than(&self, other: &Self) -> bool {
        (self.created_at, &self.name) > (other.created_at, &other.name)
    }

    /// Returns true if it is undecided.
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
