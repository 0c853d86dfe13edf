//! The subject alternative names that a request asks for.

use std::net::IpAddr;

/// Every subject alternative name of a request. Forms that Go's parser drops without a word (otherName, dirName,
/// registeredID and the like) never get here: they are refused as [`crate::ParseError`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedNames {
    /// DNS names, as they stand in the request.
    pub dns: Vec<String>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
}

impl RequestedNames {
    /// Whether the request asks for no name at all.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.emails.is_empty() && self.ips.is_empty() && self.uris.is_empty()
    }
}
