//! The name of a node, as Kubernetes allows it, and its user name.

use std::fmt;
use std::str::FromStr;

/// The prefix of a kubelet's user name, before its node's name (Kubernetes: `pkg/auth/nodeidentifier`).
const USERNAME_PREFIX: &str = "system:node:";

/// Longest DNS subdomain, in characters (Kubernetes `DNS1123SubdomainMaxLength`, from RFC 1035 section 2.3.4).
const MAX_LENGTH: usize = 253;

/// The name of a node: a lower-case RFC 1123 subdomain, as the API server requires for a Node object.
///
/// Labels longer than 63 characters are accepted because Kubernetes accepts them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user name of the kubelet on this node: `system:node:<name>`.
    pub fn username(&self) -> String {
        format!("{USERNAME_PREFIX}{}", self.0)
    }

    /// Parses the node's name from a kubelet's user name or common name.
    ///
    /// # Errors
    /// [`NodeNameError::NotANode`] without the `system:node:` prefix; otherwise as [`NodeName::from_str`].
    pub fn from_username(username: &str) -> Result<Self, NodeNameError> {
        username
            .strip_prefix(USERNAME_PREFIX)
            .ok_or(NodeNameError::NotANode)?
            .parse()
    }

    /// Parses a name as machine records and cloud APIs write it: in any case, optionally with a trailing dot.
    ///
    /// # Errors
    /// As [`NodeName::from_str`], after lower-casing it and trimming one trailing dot.
    pub fn from_dns_name(name: &str) -> Result<Self, NodeNameError> {
        name.strip_suffix('.')
            .unwrap_or(name)
            .to_ascii_lowercase()
            .parse()
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() {
            return Err(NodeNameError::Empty);
        }
        if name.len() > MAX_LENGTH {
            return Err(NodeNameError::TooLong(name.len()));
        }
        if name.split('.').all(is_label) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NodeNameError::NotASubdomain)
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns true for an RFC 1123 label: lower-case letters, digits and `-`, with a letter or digit at both ends.
fn is_label(label: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    label.starts_with(alphanumeric)
        && label.ends_with(alphanumeric)
        && label.chars().all(|c| alphanumeric(c) || c == '-')
}

/// The reason why a text is not the name of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeNameError {
    /// The text is empty.
    #[error("the node name is empty")]
    Empty,
    /// The user name or common name does not belong to a kubelet.
    #[error("it does not begin with {USERNAME_PREFIX}")]
    NotANode,
    /// Not a lower-case RFC 1123 subdomain.
    #[error("the node name is not a lower-case RFC 1123 subdomain")]
    NotASubdomain,
    /// Longer than a DNS name can be; the length in bytes.
    #[error("the node name has {0} characters; {MAX_LENGTH} are allowed")]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for name in [
            "a",
            "worker-0",
            "ip-10-0-0-1.eu-west-1.compute.internal",
            "0",
            "1.2.3.4",
            &"a".repeat(253),
        ] {
            assert_eq!(name.parse::<NodeName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for name in [
            "A", "a_b", "-a", "a-", "a..b", ".a", "a.", "a b", "a\0", "ü", "*.a", "a:b", "a/b",
        ] {
            assert_eq!(
                name.parse::<NodeName>(),
                Err(NodeNameError::NotASubdomain),
                "{name:?}"
            );
        }
        assert_eq!("".parse::<NodeName>(), Err(NodeNameError::Empty));
        assert_eq!(
            "a".repeat(254).parse::<NodeName>(),
            Err(NodeNameError::TooLong(254))
        );
    }

    #[test]
    fn reads_and_writes_user_names() {
        let name = NodeName::from_username("system:node:worker-0").unwrap();
        assert_eq!(name.username(), "system:node:worker-0");
        assert_eq!(
            NodeName::from_username("worker-0"),
            Err(NodeNameError::NotANode)
        );
        assert_eq!(
            NodeName::from_username("system:node:"),
            Err(NodeNameError::Empty)
        );
    }

    #[test]
    fn folds_dns_names_of_machine_records() {
        assert_eq!(
            NodeName::from_dns_name("Worker-0.Example.COM.")
                .unwrap()
                .as_str(),
            "worker-0.example.com"
        );
        assert!(NodeName::from_dns_name("worker-0..").is_err());
    }
}
