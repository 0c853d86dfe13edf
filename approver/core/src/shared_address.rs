//! IP addresses that mean "every machine" or "no machine", wherever they are listed. None of them vouches for anything, is
//! dialled, or makes a Machine ambiguous.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The reason why an address is not that of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedAddress {
    /// The machine's own end of a bridge from a container or virtual machine runtime, the same on each machine.
    Bridge(&'static str),
    /// All machines of a network.
    Broadcast,
    /// An IPv4 address in the deprecated IPv4-compatible form (RFC 4291 section 2.5.5.1).
    Compatible,
    /// An address that is only valid within a network segment.
    LinkLocal,
    /// The local machine.
    Loopback,
    /// The metadata service of a cloud.
    Metadata,
    /// A group of machines.
    Multicast,
    /// Any address.
    Unspecified,
}

/// The metadata addresses of clouds: AWS, and most others; AWS and Google over IPv6; Azure (wire server); Alibaba;
/// Oracle.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The bridges' own addresses. Only these: machines use the ranges around them, as in the default VPC of AWS
/// (172.31.0.0/16).
const BRIDGES: [(Ipv4Addr, &str); 6] = [
    // podman and CNI plugins (containers/common, `libnetwork`; containerd, `10-containerd-net.conflist`).
    (Ipv4Addr::new(10, 88, 0, 1), "podman or CNI"),
    // The first network that podman makes beside its own (containers/common, `pkg/config`, default subnet pools).
    (Ipv4Addr::new(10, 89, 0, 1), "podman"),
    // nerdctl (`pkg/netutil`, the default network).
    (Ipv4Addr::new(10, 4, 0, 1), "nerdctl"),
    // CRI-O (`contrib/cni/100-crio-bridge.conflist`).
    (Ipv4Addr::new(10, 85, 0, 1), "CRI-O"),
    // libvirt (`src/network/default.xml.in`).
    (Ipv4Addr::new(192, 168, 122, 1), "libvirt"),
    // LXC (`config/init/common/lxc-net.in`).
    (Ipv4Addr::new(10, 0, 3, 1), "LXC"),
];

impl SharedAddress {
    /// Returns the kind of a shared address, or of the IPv4 address embedded in it.
    pub fn of(ip: IpAddr) -> Option<Self> {
        let inner = embedded(ip);
        Self::plain(ip).or_else(|| match inner? {
            (ip, Form::Compatible) => Self::plain(ip.into()).or(Some(Self::Compatible)),
            (ip, Form::Current) => Self::plain(ip.into()),
        })
    }

    /// Returns true if requesting such an address is always wrong, because no configuration makes it a machine's own by
    /// mistake.
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Broadcast | Self::Loopback | Self::Multicast | Self::Unspecified => true,
            Self::Bridge(_) | Self::Compatible | Self::LinkLocal | Self::Metadata => false,
        }
    }

    fn plain(ip: IpAddr) -> Option<Self> {
        if METADATA.contains(&ip) {
            return Some(Self::Metadata);
        }
        if ip.is_loopback() {
            return Some(Self::Loopback);
        }
        if ip.is_unspecified() {
            return Some(Self::Unspecified);
        }
        if ip.is_multicast() {
            return Some(Self::Multicast);
        }
        match ip {
            IpAddr::V4(ip) => Self::v4(ip),
            // RFC 4291 section 2.5.6.
            IpAddr::V6(ip) => ip.is_unicast_link_local().then_some(Self::LinkLocal),
        }
    }

    fn v4(ip: Ipv4Addr) -> Option<Self> {
        if ip.is_link_local() {
            return Some(Self::LinkLocal);
        }
        let [first, second, third, last] = ip.octets();
        match (first, second, third, last) {
            // "This network" (RFC 6890). Clouds assign parts of the reserved range above 240.0.0.0 to instances.
            (0, ..) => return Some(Self::Unspecified),
            (255, 255, 255, 255) => return Some(Self::Broadcast),
            // docker0 and the networks that Docker creates next (moby, `libnetwork/ipamutils`, default pools).
            (172, 17..=31, 0, 1) => return Some(Self::Bridge("Docker")),
            _ => {}
        }
        let known = BRIDGES.iter().find(|(bridge, _)| *bridge == ip);
        known.map(|(_, of)| Self::Bridge(of))
    }
}

/// The form of an IPv4 address in an IPv6 address.
#[derive(Clone, Copy)]
enum Form {
    Compatible,
    Current,
}

/// Returns the IPv4 address embedded in an IPv6 address, in the forms that packets are sent by.
fn embedded(ip: IpAddr) -> Option<(Ipv4Addr, Form)> {
    let IpAddr::V6(ip) = ip else {
        return None;
    };
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c, d, e, f) {
        // IPv4-mapped (RFC 4291 section 2.5.5.2) and IPv4-translated (RFC 2765 section 2.1).
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0)
        // NAT64: the well-known prefix (RFC 6052 section 2.1) and the one for local use (RFC 8215), by its longest form.
        | (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => Some((v4(g, h), Form::Current)),
        // 6to4 (RFC 3056 section 2).
        (0x2002, ..) => Some((v4(b, c), Form::Current)),
        (0, 0, 0, 0, 0, 0) => Some((v4(g, h), Form::Compatible)),
        _ => None,
    }
}

impl fmt::Display for SharedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge(of) => return write!(f, "the bridge of {of} on every machine"),
            Self::Broadcast => "a broadcast address",
            Self::Compatible => "an IPv4 address in a deprecated form",
            Self::LinkLocal => "a link-local address, which any machine may have",
            Self::Loopback => "the loopback of every machine",
            Self::Metadata => "where clouds tell instances about themselves",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "no machine's address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_class_is_known_in_every_form() {
        use SharedAddress::{
            Bridge, Broadcast, Compatible, LinkLocal, Loopback, Metadata, Multicast, Unspecified,
        };
        for (text, class) in [
            ("127.0.0.1", Loopback),
            ("127.255.0.3", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b:1::7f00:1", Loopback),
            ("2002:7f00:1::1", Loopback),
            ("::ffff:0:127.0.0.1", Loopback),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("255.255.255.255", Broadcast),
            ("224.0.0.251", Multicast),
            ("ff02::1", Multicast),
            ("169.254.0.1", LinkLocal),
            ("169.254.20.10", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("64:ff9b::169.254.1.1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("::ffff:169.254.169.254", Metadata),
            ("64:ff9b::a9fe:a9fe", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("168.63.129.16", Metadata),
            ("100.100.100.200", Metadata),
            ("192.0.0.192", Metadata),
            ("172.17.0.1", Bridge("Docker")),
            ("172.31.0.1", Bridge("Docker")),
            ("10.88.0.1", Bridge("podman or CNI")),
            ("10.89.0.1", Bridge("podman")),
            ("10.4.0.1", Bridge("nerdctl")),
            ("10.85.0.1", Bridge("CRI-O")),
            ("192.168.122.1", Bridge("libvirt")),
            ("10.0.3.1", Bridge("LXC")),
            ("::ffff:172.17.0.1", Bridge("Docker")),
            ("::10.0.0.1", Compatible),
        ] {
            assert_eq!(
                SharedAddress::of(text.parse().unwrap()),
                Some(class),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_of_machines_are_none_of_them() {
        for text in [
            "10.0.0.1",
            "10.88.0.2",
            "10.89.1.1",
            "10.4.0.2",
            "10.0.3.10",
            "172.16.0.1",
            "172.18.0.2",
            "240.0.0.1",
            "172.31.0.10",
            "172.31.16.1",
            "172.32.0.1",
            "192.168.122.10",
            "100.100.100.201",
            "168.63.129.17",
            "169.253.1.1",
            "223.255.255.1",
            "2001:db8::1",
            "fd00:ec2::253",
            "fec0::1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(SharedAddress::of(text.parse().unwrap()), None, "{text}");
        }
    }
}
