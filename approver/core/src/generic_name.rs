//! Names that mean "any machine": those that images, installers and init systems give a machine before anything has named
//! it. Two machines may bear such a name at once, so a record that reports one says nothing about its machine: the name owns
//! no node, makes nothing ambiguous, and does not outweigh a convention.

use std::net::IpAddr;

use rollcall_csr::NodeName;

use crate::Source;

/// Names of the machine itself (RFC 6761 section 6.3; `/etc/hosts` of Debian, Fedora and SUSE; systemd, `man
/// nss-myhostname`).
const LOCAL: [&str; 8] = [
    "localhost",
    "localhost4",
    "localhost6",
    "localhost-live",
    "ip6-localhost",
    "ip6-loopback",
    "ipv6-localhost",
    "ipv6-loopback",
];

/// Host names that images and installers come with (systemd, `man hostname`, on the fallback name of each distribution;
/// debian-installer, `netcfg`; the vendors' cloud and board images).
const DEFAULTS: [&str; 56] = [
    "almalinux",
    "alpine",
    "amazonlinux",
    "arch",
    "archiso",
    "archlinux",
    "armbian",
    "bottlerocket",
    "buildroot",
    "centos",
    "changeme",
    "change-me",
    "cirros",
    "coreos",
    "debian",
    "debian-live",
    "dietpi",
    "fedora",
    "fedora-coreos",
    "flatcar",
    "flatcar-linux",
    "gentoo",
    "hostname",
    "kali",
    "linux",
    "linuxkit",
    "livecd",
    "manjaro",
    "mint",
    "my-hostname",
    "nixos",
    "no-hostname",
    "none",
    "null",
    "openeuler",
    "opensuse",
    "openwrt",
    "oraclelinux",
    "packer",
    "photon",
    "photon-machine",
    "raspberrypi",
    "raspbian",
    "redhat",
    "rhcos",
    "rhel",
    "rocky",
    "rockylinux",
    "sles",
    "suse",
    "talos",
    "template",
    "ubuntu",
    "ubuntu-server",
    "unassigned",
    "undefined",
];

/// More of them, which say in words that there is no name.
const NO_NAME: [&str; 5] = [
    "unassigned-hostname",
    "unknown",
    "unnamed",
    "vagrant",
    "your-hostname",
];

/// Domains that installers, home routers and multicast DNS put behind a name by themselves (`localdomain`: dracut and
/// Anaconda; `local`: RFC 6762; `home.arpa`: RFC 8375; the others are factory settings of routers).
const DEFAULT_DOMAINS: [&str; 9] = [
    "fritz.box",
    "home",
    "home.arpa",
    "internal",
    "lan",
    "local",
    "localdomain",
    "localdomain4",
    "localdomain6",
];

/// How long a machine-id is, in hexadecimal digits (`man machine-id`). Fallback host names are sometimes made of it.
const MACHINE_ID: usize = 32;

/// Whether a record of this source says something about its machine by this name. In an ExpectedMachine a person, or a list
/// that a person wrote, names the node: there, only names of the machine itself mean nothing.
pub(crate) fn tells(source: Source, name: &NodeName) -> bool {
    match source {
        Source::ExpectedMachine => !is_local(name),
        Source::ClusterApi | Source::Gardener | Source::Karpenter | Source::OpenShift => {
            !is_default(name) && !is_machine_id(name) && !is_address(name)
        }
    }
}

/// Whether a name that is built from something else, such as the name of the record, is one that every machine may have.
/// An id of 32 digits is then that of a record or an instance.
pub(crate) fn is_default(name: &NodeName) -> bool {
    let (label, domain) = split(name);
    let known = DEFAULTS.contains(&label) || NO_NAME.contains(&label);
    is_local(name) || (known && is_default_domain(domain))
}

/// Whether a name means the machine itself to every machine, or is the text of an address that does.
fn is_local(name: &NodeName) -> bool {
    let (label, domain) = split(name);
    let text = name.as_str();
    text.ends_with(".localhost")
        || (LOCAL.contains(&label) && is_default_domain(domain))
        || text.parse().is_ok_and(|ip: IpAddr| {
            // An address that is anybody's names nobody.
            crate::SharedAddress::of(ip).is_some()
        })
}

/// Whether a name is the text of an IP address: an address, which says what the machine is reached by and not what it is
/// called.
fn is_address(name: &NodeName) -> bool {
    name.as_str().parse::<IpAddr>().is_ok()
}

fn is_machine_id(name: &NodeName) -> bool {
    let (label, domain) = split(name);
    let digits = label.bytes().all(|byte| byte.is_ascii_hexdigit());
    label.len() == MACHINE_ID && digits && is_default_domain(domain)
}

fn is_default_domain(domain: &str) -> bool {
    domain.is_empty() || DEFAULT_DOMAINS.contains(&domain)
}

/// The first label and the domain after it, which may be empty.
fn split(name: &NodeName) -> (&str, &str) {
    let text = name.as_str();
    text.split_once('.').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_by(source: Source, text: &str) -> bool {
        tells(source, &NodeName::from_dns_name(text).unwrap())
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn names_that_any_machine_may_have_tell_nothing() {
        for text in [
            "localhost",
            "Localhost.",
            "localhost.localdomain",
            "localhost4.localdomain4",
            "localhost6",
            "ip6-localhost",
            "ip6-loopback",
            "localhost-live",
            "localhost.local",
            "worker-0.localhost",
            "127.0.0.1",
            "169.254.169.254",
        ] {
            for source in [
                Source::OpenShift,
                Source::ClusterApi,
                Source::ExpectedMachine,
            ] {
                assert!(!told_by(source, text), "{source:?} {text}");
            }
        }
        for text in [
            "ubuntu",
            "Ubuntu.localdomain",
            "debian.lan",
            "fedora",
            "centos.local",
            "rhel",
            "rocky.home.arpa",
            "almalinux",
            "archlinux",
            "alpine.fritz.box",
            "raspberrypi.local",
            "kali",
            "photon-machine",
            "talos",
            "unassigned",
            "unassigned-hostname",
            "unknown",
            "changeme",
            "template",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9d2",
            "4C1F0F0AA9C04B77B0F7D5BE3CF1A9D2.localdomain",
            "10.0.37.6",
        ] {
            assert!(!told_by(Source::OpenShift, text), "{text}");
            // A person who writes a record means it.
            assert!(told_by(Source::ExpectedMachine, text), "{text}");
        }
    }

    #[test]
    fn names_that_only_look_like_them_tell_which_machine_it_is() {
        for text in [
            "worker-0",
            "worker-0.localdomain",
            "localhost-0",
            "notlocalhost",
            "localhost.example.com",
            "ubuntu-1",
            "ubuntu-1.lan",
            "ubuntu.example.com",
            "fedora.prod.internal",
            "debian-12-a",
            "node",
            "master",
            "talos-x7k-2pq",
            "photon-0a1b2c3d",
            "ip-10-0-37-6",
            "ip-10-0-37-6.ec2.internal",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9d",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9d2a",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9dx",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9d2.example.com",
            "4c1f0f0a-a9c0-4b77-b0f7-d5be3cf1a9d2",
            "10.0.37.6.example.com",
        ] {
            for source in [Source::OpenShift, Source::ExpectedMachine] {
                assert!(told_by(source, text), "{source:?} {text}");
            }
        }
    }
}
