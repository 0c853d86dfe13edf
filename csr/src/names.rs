//! The subject alternative names of a request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ParseError;
use crate::der::{Reader, SEQUENCE};

// The tags of the four forms that Go reads, context-specific and primitive (RFC 5280 section 4.2.1.6). Go silently
// drops every other tag.
const RFC822_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

/// All subject alternative names of a request. The forms that Go's parser silently drops (otherName, dirName,
/// registeredID and the like) are refused earlier, as [`crate::ParseError`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedNames {
    /// DNS names, as written in the request: printable ASCII without blanks, not yet validated as host names.
    pub dns: Vec<String>,
    /// E-mail addresses: printable ASCII without blanks.
    pub emails: Vec<String>,
    /// IP addresses; never an IPv4 address in IPv6 form.
    pub ips: Vec<IpAddr>,
    /// URIs of the form `scheme://host/path`.
    pub uris: Vec<String>,
}

impl RequestedNames {
    /// Returns true if the request asks for no name.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.emails.is_empty() && self.ips.is_empty() && self.uris.is_empty()
    }

    /// Reads the value of a subjectAltName extension (RFC 5280 section 4.2.1.6); certificates have the same one.
    ///
    /// # Errors
    /// The first part that is not understood.
    pub fn from_der(extension_value: &[u8]) -> Result<Self, ParseError> {
        let mut outer = Reader::new(extension_value, "subjectAltName extension");
        let mut general_names = outer.inside(SEQUENCE, "subjectAltName extension")?;
        outer.end()?;
        if general_names.is_empty() {
            return Err(ParseError::EmptySubjectAltName);
        }
        let mut names = Self::default();
        while !general_names.is_empty() {
            let name = general_names.element()?;
            match name.tag {
                DNS_NAME => names.dns.push(read_text("DNS name", name.contents)?),
                IP_ADDRESS => names.ips.push(read_ip(name.contents)?),
                RFC822_NAME => names
                    .emails
                    .push(read_text("e-mail address", name.contents)?),
                URI => names.uris.push(read_uri(name.contents)?),
                tag => return Err(ParseError::UnsupportedGeneralName { form: form(tag) }),
            }
        }
        Ok(names)
    }
}

/// The name in RFC 5280 section 4.2.1.6 for the form with this tag.
fn form(tag: u8) -> &'static str {
    match tag {
        0xa0 => "otherName",
        0xa3 => "x400Address",
        0xa4 => "directoryName",
        0xa5 => "ediPartyName",
        0x88 => "registeredID",
        _ => "unknown to RFC 5280",
    }
}

/// Reads an IA5String without blanks and control characters, which none of these names may contain.
fn read_text(attribute: &'static str, bytes: &[u8]) -> Result<String, ParseError> {
    let text = str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
    text.map(str::to_owned)
        .ok_or(ParseError::ForbiddenCharacter { attribute })
}

fn read_ip(bytes: &[u8]) -> Result<IpAddr, ParseError> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).map_err(|_| ParseError::BadIpAddress {
        length: bytes.len(),
    })?;
    let address = Ipv6Addr::from(octets);
    match address.to_ipv4_mapped() {
        Some(_) => Err(ParseError::MappedIpAddress {
            address: address.into(),
        }),
        None => Ok(address.into()),
    }
}

/// Reads a URI in the one form that is its own canonical form: Go parses URIs, refuses some and rewrites others.
fn read_uri(bytes: &[u8]) -> Result<String, ParseError> {
    let text = read_text("URI", bytes)?;
    let (scheme, rest) = text.split_once("://").ok_or(ParseError::UnsupportedUri)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|c| lower(c) || matches!(c, '+' | '-' | '.'))
        && host
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(|c| lower(c) || c == '-'))
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '/'));
    if plain {
        Ok(text)
    } else {
        Err(ParseError::UnsupportedUri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(tag: u8, value: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(value.len()).unwrap()], value].concat()
    }

    fn read(names: &[Vec<u8>]) -> Result<RequestedNames, ParseError> {
        RequestedNames::from_der(&name(SEQUENCE, &names.concat()))
    }

    #[test]
    fn reads_all_four_forms_in_order() {
        let names = read(&[
            name(DNS_NAME, b"b.example"),
            name(IP_ADDRESS, &[10, 0, 0, 1]),
            name(DNS_NAME, b"*.a.example"),
            name(RFC822_NAME, b"a@b"),
            name(URI, b"spiffe://cluster.local/ns/a_B"),
            name(
                IP_ADDRESS,
                &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ]);
        let expected = RequestedNames {
            dns: vec!["b.example".to_owned(), "*.a.example".to_owned()],
            emails: vec!["a@b".to_owned()],
            ips: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            uris: vec!["spiffe://cluster.local/ns/a_B".to_owned()],
        };
        assert_eq!(names, Ok(expected.clone()));
        assert!(!expected.is_empty());
        assert!(RequestedNames::default().is_empty());
    }

    #[test]
    fn refuses_every_form_that_go_drops() {
        for tag in
            (0..=u8::MAX).filter(|tag| ![DNS_NAME, IP_ADDRESS, RFC822_NAME, URI].contains(tag))
        {
            // Placed after a good name, so that a parser that skips unknown forms would succeed.
            let word = read(&[name(DNS_NAME, b"a"), name(tag, b"x")])
                .unwrap_err()
                .as_str();
            let long_tag = tag & 0x1f == 0x1f;
            assert_eq!(
                word,
                if long_tag {
                    "MalformedDer"
                } else {
                    "UnsupportedGeneralName"
                },
                "{tag:#x}"
            );
        }
    }

    #[test]
    fn refuses_text_that_is_no_name() {
        for value in [&b""[..], b"a b", b"a\0", b"a\x7f", "ü".as_bytes(), &[0xff]] {
            for tag in [DNS_NAME, RFC822_NAME, URI] {
                assert_eq!(
                    read(&[name(tag, value)]).unwrap_err().as_str(),
                    "ForbiddenCharacter",
                    "{value:?}"
                );
            }
        }
    }

    #[test]
    fn addresses_have_one_length_and_one_form() {
        for length in [0, 1, 3, 5, 8, 15, 17, 32] {
            assert_eq!(
                read(&[name(IP_ADDRESS, &vec![1; length])]),
                Err(ParseError::BadIpAddress { length })
            );
        }
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
        let address = IpAddr::from(mapped);
        assert_eq!(
            read(&[name(IP_ADDRESS, &mapped)]),
            Err(ParseError::MappedIpAddress { address })
        );
    }

    #[test]
    fn takes_plain_uris_only() {
        for uri in [
            "https://a",
            "https://a/",
            "spiffe://a.b-c/d/e",
            "a+b.c-1://h",
        ] {
            assert_eq!(
                read(&[name(URI, uri.as_bytes())]).map(|names| names.uris),
                Ok(vec![uri.to_owned()])
            );
        }
        for uri in [
            "a",
            "urn:x",
            "://a",
            "https://",
            "https:///a",
            "HTTPS://a",
            "https://A",
            "https://a:80",
            "https://u@a",
            "https://[::1]",
            "https://a./",
            "https://a?q",
            "https://a/#f",
            "https://a/%41",
            "1a://b",
        ] {
            assert_eq!(
                read(&[name(URI, uri.as_bytes())]),
                Err(ParseError::UnsupportedUri),
                "{uri}"
            );
        }
    }

    #[test]
    fn the_extension_holds_one_list_that_is_not_empty() {
        assert_eq!(read(&[]), Err(ParseError::EmptySubjectAltName));
        let what = "subjectAltName extension";
        assert_eq!(
            RequestedNames::from_der(&[0x30, 0, 0]),
            Err(ParseError::TrailingDer { what })
        );
        assert_eq!(
            RequestedNames::from_der(&[0x31, 0]),
            Err(ParseError::MalformedDer { what })
        );
        assert_eq!(
            RequestedNames::from_der(&[]),
            Err(ParseError::MalformedDer { what })
        );
    }
}
