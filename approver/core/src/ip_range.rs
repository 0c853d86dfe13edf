//! A range of IP addresses, written as a prefix and its length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses (RFC 4632 section 3.1, RFC 4291 section 2.3), such as `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    prefix: IpAddr,
    length: u32,
}

/// The reason why a text is not a range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IpRangeError {
    /// Bits are set after the prefix: probably a typing error.
    #[error("it has bits set after its prefix")]
    HostBits,
    /// The text is not an address, a slash and a length that is valid for the address.
    #[error("it is not an address and a prefix length, like 192.0.2.0/24 or 2001:db8::/32")]
    NotARange,
}

impl IpRange {
    /// The prefix length.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The first and the last address.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let (first, width) = bits(self.prefix);
        let free = width.saturating_sub(self.length);
        // A range without a prefix ends at the last address.
        let ones = 1_u128
            .checked_shl(free)
            .map_or(u128::MAX, |next| next.wrapping_sub(1));
        let last = first | ones;
        let last = match self.prefix {
            IpAddr::V4(_) => {
                u32::try_from(last).map_or(self.prefix, |bits| IpAddr::V4(bits.into()))
            }
            IpAddr::V6(_) => IpAddr::V6(last.into()),
        };
        (self.prefix, last)
    }

    /// Returns true if the range contains this address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.prefix.is_ipv4() == ip.is_ipv4()
            && leading(self.prefix, self.length) == leading(ip, self.length)
    }
}

/// The bits of an address, and their number.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (ip.to_bits().into(), u32::BITS),
        IpAddr::V6(ip) => (ip.to_bits(), u128::BITS),
    }
}

/// The leading bits of an address.
fn leading(ip: IpAddr, length: u32) -> u128 {
    let (value, width) = bits(ip);
    // With no leading bits, all addresses are the same.
    value
        .checked_shr(width.saturating_sub(length))
        .filter(|_| length > 0)
        .unwrap_or_default()
}

impl FromStr for IpRange {
    type Err = IpRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, length) = text.split_once('/').ok_or(IpRangeError::NotARange)?;
        let prefix: IpAddr = prefix.parse().map_err(|_| IpRangeError::NotARange)?;
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: u32 = length.parse().map_err(|_| IpRangeError::NotARange)?;
        let (value, width) = bits(prefix);
        if !digits || length > width {
            return Err(IpRangeError::NotARange);
        }
        let free = width.saturating_sub(length);
        if value.trailing_zeros() < free {
            return Err(IpRangeError::HostBits);
        }
        Ok(Self { prefix, length })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.prefix, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_begins_with_its_prefix() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"),
            ("::/0", "ffff::", "0.0.0.0"),
            ("::1/128", "::1", "::2"),
        ] {
            let read: IpRange = range.parse().unwrap();
            assert!(read.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(
                !read.contains(outside.parse().unwrap()),
                "{range} {outside}"
            );
            assert_eq!(read.to_string(), range);
            let (first, last) = read.ends();
            assert!(read.contains(first) && read.contains(last), "{range}");
        }
    }

    #[test]
    fn a_range_has_two_ends() {
        for (range, last) in [
            ("10.0.0.0/8", "10.255.255.255"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("fe80::/10", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let read: IpRange = range.parse().unwrap();
            assert_eq!(read.ends().1, last.parse::<IpAddr>().unwrap(), "{range}");
        }
    }

    #[test]
    fn typing_errors_are_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "a/8",
            "/8",
        ] {
            assert_eq!(
                text.parse::<IpRange>(),
                Err(IpRangeError::NotARange),
                "{text:?}"
            );
        }
        for text in ["10.0.0.1/8", "2001:db8::1/64", "128.0.0.0/0"] {
            assert_eq!(
                text.parse::<IpRange>(),
                Err(IpRangeError::HostBits),
                "{text:?}"
            );
        }
    }
}
