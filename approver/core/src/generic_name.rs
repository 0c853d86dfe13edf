//! Names that do not identify a machine: the defaults of images, installers and init systems. Two machines may have such a
//! name at once, so a record with one says nothing about its machine: the name owns no node, makes nothing ambiguous, and
//! does not take precedence over a convention.

use std::net::IpAddr;

use rollcall_csr::NodeName;

use crate::Source;

/// Names for the local machine (RFC 6761 section 6.3; `/etc/hosts` of Debian, Fedora and SUSE; systemd, `man
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

/// Default host names of images and installers (systemd, `man hostname`, on the fallback name of each distribution;
/// debian-installer, `netcfg`; the vendors' cloud and board images).
const DEFAULTS: [&str; 62] = [
    "almalinux",
    "alpine",
    "amazonlinux",
    "arch",
    "archiso",
    "archlinux",
    "armbian",
    "beaglebone",
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
    "linuxmint",
    "livecd",
    "manjaro",
    "mint",
    "my-hostname",
    "nixos",
    "no-hostname",
    "none",
    "null",
    "odroid",
    "openeuler",
    "opensuse",
    "openwrt",
    "oraclelinux",
    "orangepi",
    "packer",
    "photon",
    "photon-machine",
    "raspberrypi",
    "raspbian",
    "redhat",
    "rhcos",
    "rhel",
    "rock64",
    "rocky",
    "rockylinux",
    "sles",
    "suse",
    "talos",
    "tegra-ubuntu",
    "template",
    "ubuntu",
    "ubuntu-server",
    "unassigned",
    "undefined",
];

/// Further defaults, which literally mean that no name is set.
const NO_NAME: [&str; 10] = [
    "no-name",
    "nohostname",
    "noname",
    "unset",
    "unspecified",
    "unassigned-hostname",
    "unknown",
    "unnamed",
    "vagrant",
    "your-hostname",
];

/// Domains that installers, home routers and multicast DNS append by default (`localdomain`: dracut and Anaconda; `local`: RFC
/// 6762; `home.arpa`: RFC 8375; `openstacklocal` and `novalocal`: OpenStack, `dns_domain` of Neutron and `dhcp_domain` of Nova;
/// the others are factory settings of routers).
const DEFAULT_DOMAINS: [&str; 11] = [
    "fritz.box",
    "home",
    "home.arpa",
    "internal",
    "lan",
    "local",
    "localdomain",
    "localdomain4",
    "localdomain6",
    "novalocal",
    "openstacklocal",
];

/// Names of the metadata service of a cloud (Google; AWS), and of the host as its containers know it (Docker; podman).
const SURROUNDINGS: [&str; 8] = [
    "gateway.docker.internal",
    "host.containers.internal",
    "host.docker.internal",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
];

/// The length of a machine-id, in hexadecimal digits (`man machine-id`). Some fallback host names contain it.
const MACHINE_ID: usize = 32;

/// The distribution whose images have the release, of four digits, in their host name: `ubuntu2204`, `ubuntu-2404`.
const RELEASED: &str = "ubuntu";
const RELEASE: usize = 4;

/// Returns true if this name, in a record of this source, identifies its machine. In an ExpectedMachine a user wrote the
/// node name, directly or in a list: there, only names for the local machine are excluded.
pub(crate) fn tells(source: Source, name: &NodeName) -> bool {
    match source {
        Source::ExpectedMachine => !is_local(name),
        Source::ClusterApi | Source::Gardener | Source::Karpenter | Source::OpenShift => {
            !is_default(name) && !is_machine_id(name) && !is_address(name)
        }
    }
}

/// Returns true if this name, in a record of this source, can be that of its machine's node. A machine without a name is
/// `localhost` in the domain that DHCP gives it, so there no domain makes a name of that.
pub(crate) fn names_node(source: Source, name: &NodeName) -> bool {
    let unnamed = source != Source::ExpectedMachine && is_unnamed(name);
    tells(source, name) && !unnamed
}

/// Returns true if the first label of a name is one for the local machine.
pub(crate) fn is_unnamed(name: &NodeName) -> bool {
    let (label, _) = split(name);
    LOCAL.contains(&label)
}

/// Returns true if a name derived from another field, such as the name of the record, is a default that every machine
/// may have. A 32-digit id in it is not a default, but the id of a record or an instance.
pub(crate) fn is_default(name: &NodeName) -> bool {
    let (label, domain) = split(name);
    let known = DEFAULTS.contains(&label) || NO_NAME.contains(&label) || is_release(label);
    is_local(name) || (known && is_default_domain(domain))
}

/// Returns true if a name means the local machine, or its surroundings, on every machine, or is the text of such an address.
fn is_local(name: &NodeName) -> bool {
    let (label, domain) = split(name);
    let text = name.as_str();
    text.ends_with(".localhost")
        || (LOCAL.contains(&label) && is_default_domain(domain))
        || SURROUNDINGS.contains(&text)
        || text.parse().is_ok_and(|ip: IpAddr| {
            // A shared address does not identify a machine.
            crate::SharedAddress::of(ip).is_some()
        })
}

/// Returns true if a label is that of an image: the distribution and its release. Fewer digits count machines, as in
/// `ubuntu-1`.
fn is_release(label: &str) -> bool {
    let release = label.strip_prefix(RELEASED);
    let release = release.map(|rest| rest.strip_prefix('-').unwrap_or(rest));
    release
        .is_some_and(|rest| rest.len() == RELEASE && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns true if a name is the text of an IP address, which is how to reach a machine and not its name.
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

/// Splits a name into its first label and its domain, which may be empty.
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
            "localhost.openstacklocal",
            "worker-0.localhost",
            "metadata.google.internal",
            "instance-data.ec2.internal",
            "Host.Docker.Internal",
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
            "debian.novalocal",
            "ubuntu.openstacklocal",
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
            "ubuntu2204",
            "ubuntu-2404.localdomain",
            "tegra-ubuntu.local",
            "beaglebone",
            "noname",
            "nohostname.home",
            "4c1f0f0aa9c04b77b0f7d5be3cf1a9d2",
            "4C1F0F0AA9C04B77B0F7D5BE3CF1A9D2.localdomain",
            "10.0.37.6",
        ] {
            assert!(!told_by(Source::OpenShift, text), "{text}");
            // A user who writes a record means the name in it.
            assert!(told_by(Source::ExpectedMachine, text), "{text}");
        }
    }

    #[test]
    fn localhost_in_a_domain_names_no_node() {
        for text in [
            "localhost.example.com",
            "LOCALHOST.corp.internal.",
            "localhost4.prod.example",
            "ip6-localhost.example.com",
            "localhost-live.corp.example",
            "localhost",
        ] {
            let name = NodeName::from_dns_name(text).unwrap();
            for source in [Source::OpenShift, Source::ClusterApi, Source::Gardener] {
                assert!(!names_node(source, &name), "{text}");
            }
        }
        let name = NodeName::from_dns_name("localhost.example.com").unwrap();
        assert!(names_node(Source::ExpectedMachine, &name));
        for text in [
            "localhost-1.example.com",
            "worker-0.localhosts",
            "host.localhost.example",
        ] {
            let name = NodeName::from_dns_name(text).unwrap();
            assert!(names_node(Source::OpenShift, &name), "{text}");
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
            "worker-0.openstacklocal",
            "worker-0.novalocal",
            "local-host",
            "localhost-live-0.example.com",
            "metadata.example.com",
            "metadata-0",
            "ubuntu-1",
            "ubuntu-1.lan",
            "ubuntu.example.com",
            "fedora.prod.internal",
            "debian-12-a",
            "debian12",
            "ubuntu-12",
            "ubuntu22041",
            "ubuntu2204.example.com",
            "ubuntu-22-04",
            "rancher",
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
