//! Server names: the DNS names and IP addresses in serving certificates and Machine records.

use std::fmt;
use std::net::IpAddr;

use rollcall_csr::NodeName;

use crate::{Address, Machine, SharedAddress, generic_name};

/// A DNS name or an IP address, in canonical form for comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerName {
    /// A DNS name: lower case, without a trailing dot, and not the text of an IP address.
    Dns(NodeName),
    /// An IP address; never an IPv4 address in IPv6 form.
    Ip(IpAddr),
}

impl ServerName {
    /// Parses a DNS name or an IP address.
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::of_ip(ip));
        }
        // Any other text is a name that no Machine can vouch for.
        NodeName::from_dns_name(text).ok().map(Self::Dns)
    }

    /// Parses a requested DNS name, which must not be the text of an IP address.
    pub(crate) fn read_dns(text: &str) -> Option<Self> {
        Self::read(text).filter(|name| matches!(name, Self::Dns(_)))
    }

    /// An IP address.
    pub(crate) fn of_ip(ip: IpAddr) -> Self {
        Self::Ip(ip.to_canonical())
    }

    /// Converts an address of a Machine. Machine APIs also write IP addresses as host names, as kubelets do.
    pub(crate) fn of_address(address: &Address) -> Option<Self> {
        match address {
            Address::ExternalDns(name) | Address::Hostname(name) | Address::InternalDns(name) => {
                Self::read(name.as_str())
            }
            Address::ExternalIp(ip) | Address::InternalIp(ip) => Some(Self::of_ip(*ip)),
        }
    }

    /// Returns all names and addresses of a Machine that are not generic or shared.
    pub(crate) fn of_machine(machine: &Machine) -> impl Iterator<Item = Self> {
        let tells = |address: &&Address| match address {
            Address::ExternalDns(name) | Address::Hostname(name) | Address::InternalDns(name) => {
                // A name that is the text of an IP address counts as an address.
                let ip = name.as_str().parse::<IpAddr>().is_ok();
                ip || generic_name::tells(machine.source, name)
            }
            Address::ExternalIp(_) | Address::InternalIp(_) => true,
        };
        let addresses = machine.addresses.iter().filter(tells);
        addresses
            .filter_map(Self::of_address)
            .filter(|name| !matches!(name, Self::Ip(ip) if SharedAddress::of(*ip).is_some()))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_have_one_form() {
        for (text, form) in [
            ("Worker-0.Example.COM.", Some("worker-0.example.com")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("FD00:0:0::1", Some("fd00::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("*.example.com", None),
            ("10.0.0.1:10250", None),
            ("", None),
        ] {
            let read = ServerName::read(text).map(|name| name.to_string());
            assert_eq!(read.as_deref(), form, "{text:?}");
        }
        assert_eq!(ServerName::read_dns("10.0.0.1"), None);
        assert_eq!(ServerName::read_dns("a"), ServerName::read("A."));
    }
}
