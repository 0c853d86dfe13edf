//! The subject of a request: one organization, one common name and nothing else.

use crate::ParseError;
use crate::der::{OBJECT_IDENTIFIER, PRINTABLE_STRING, Reader, SEQUENCE, SET, UTF8_STRING, dotted};

/// The organization, and so the group, of every kubelet (Kubernetes: `user.NodesGroup`).
pub const NODES_GROUP: &str = "system:nodes";

/// id-at-commonName, 2.5.4.3 (RFC 5280 appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// id-at-organizationName, 2.5.4.10 (RFC 5280 appendix A.1).
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// A subject with exactly one organization and one common name, both of plain string types and printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The value of the only O attribute.
    pub organization: String,
    /// The value of the only CN attribute.
    pub common_name: String,
}

impl Subject {
    /// Reads a Name (RFC 5280 section 4.1.2.4), of a request or a certificate.
    ///
    /// # Errors
    /// The first part that is not one plain organization or one plain common name.
    pub fn from_der(name: &[u8]) -> Result<Self, ParseError> {
        let mut outer = Reader::new(name, "subject");
        let names = outer.inside(SEQUENCE, "subject")?;
        outer.end()?;
        Self::read(names)
    }

    /// Reads the relative distinguished names inside the SEQUENCE of a Name (RFC 5280 section 4.1.2.4).
    pub(crate) fn read(mut names: Reader<'_>) -> Result<Self, ParseError> {
        let mut organization = None;
        let mut common_name = None;
        while !names.is_empty() {
            let (oid, value_tag, value) = read_rdn(&mut names)?;
            let (slot, attribute, several) = match oid {
                oid if oid == COMMON_NAME => (
                    &mut common_name,
                    "common name",
                    ParseError::SeveralCommonNames,
                ),
                oid if oid == ORGANIZATION => (
                    &mut organization,
                    "organization",
                    ParseError::SeveralOrganizations,
                ),
                foreign => {
                    return Err(ParseError::ForeignSubjectAttribute {
                        oid: dotted(foreign),
                    });
                }
            };
            if slot
                .replace(read_text(attribute, value_tag, value)?)
                .is_some()
            {
                return Err(several);
            }
        }
        Ok(Self {
            organization: organization.ok_or(ParseError::MissingOrganization)?,
            common_name: common_name.ok_or(ParseError::MissingCommonName)?,
        })
    }
}

/// Reads the next relative distinguished name, which must hold one attribute: its type, and the tag and bytes of its
/// value.
fn read_rdn<'a>(names: &mut Reader<'a>) -> Result<(&'a [u8], u8, &'a [u8]), ParseError> {
    let mut set = names.inside(SET, "subject")?;
    let mut attribute = set.inside(SEQUENCE, "subject")?;
    if !set.is_empty() {
        return Err(ParseError::MultiValuedRdn);
    }
    let oid = attribute.tagged(OBJECT_IDENTIFIER)?.contents;
    let value = attribute.element()?;
    attribute.end()?;
    Ok((oid, value.tag, value.contents))
}

/// Reads the text of a value. User and group names of nodes are printable ASCII; other text could only mislead the
/// reader.
fn read_text(attribute: &'static str, tag: u8, value: &[u8]) -> Result<String, ParseError> {
    let belongs = match tag {
        PRINTABLE_STRING => is_printable_string,
        UTF8_STRING => is_printable_ascii,
        tag => return Err(ParseError::UnsupportedStringType { attribute, tag }),
    };
    if value.is_empty() {
        return Err(ParseError::EmptySubjectAttribute { attribute });
    }
    let text = str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(belongs));
    text.map(str::to_owned)
        .ok_or(ParseError::ForbiddenCharacter { attribute })
}

fn is_printable_ascii(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Returns true for the characters of a PrintableString (X.680 section 41.4). Go also accepts `*` and `&`.
fn is_printable_string(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        let length = |more: usize| u8::try_from(value.len().strict_add(more)).unwrap();
        let header = [SET, length(9), SEQUENCE, length(7), OBJECT_IDENTIFIER, 3];
        [&header, oid, &[tag, length(0)], value].concat()
    }

    fn read(attributes: &[Vec<u8>]) -> Result<Subject, ParseError> {
        Subject::read(Reader::new(&attributes.concat(), "subject"))
    }

    fn common_name(tag: u8, value: &[u8]) -> Result<String, ParseError> {
        let organization = attribute(ORGANIZATION, PRINTABLE_STRING, b"o");
        read(&[organization, attribute(COMMON_NAME, tag, value)]).map(|subject| subject.common_name)
    }

    #[test]
    fn reads_one_organization_and_one_common_name_in_any_order() {
        let organization = attribute(ORGANIZATION, UTF8_STRING, b"system:nodes");
        let name = attribute(COMMON_NAME, PRINTABLE_STRING, b"system:node:a");
        let subject = Subject {
            organization: "system:nodes".to_owned(),
            common_name: "system:node:a".to_owned(),
        };
        assert_eq!(
            read(&[organization.clone(), name.clone()]),
            Ok(subject.clone())
        );
        assert_eq!(read(&[name.clone(), organization.clone()]), Ok(subject));
        assert_eq!(
            read(std::slice::from_ref(&organization)),
            Err(ParseError::MissingCommonName)
        );
        assert_eq!(
            read(std::slice::from_ref(&name)),
            Err(ParseError::MissingOrganization)
        );
        assert_eq!(read(&[]), Err(ParseError::MissingOrganization));
        assert_eq!(
            read(&[name.clone(), organization.clone(), name]),
            Err(ParseError::SeveralCommonNames)
        );
        assert_eq!(
            read(&[organization.clone(), organization]),
            Err(ParseError::SeveralOrganizations)
        );
    }

    #[test]
    fn names_a_foreign_attribute() {
        let unit = attribute(&[0x55, 0x04, 0x0b], UTF8_STRING, b"x");
        assert_eq!(
            read(&[unit]),
            Err(ParseError::ForeignSubjectAttribute {
                oid: "2.5.4.11".to_owned()
            })
        );
    }

    #[test]
    fn refuses_characters_outside_the_string_type() {
        let forbidden = Err(ParseError::ForbiddenCharacter {
            attribute: "common name",
        });
        for value in ["a\0b", "a\n", "\u{7f}", "ü", "\u{202e}a"] {
            assert_eq!(
                common_name(UTF8_STRING, value.as_bytes()),
                forbidden,
                "{value:?}"
            );
        }
        assert_eq!(common_name(UTF8_STRING, &[0xff]), forbidden);
        assert_eq!(
            common_name(UTF8_STRING, b"a*&@_~ "),
            Ok("a*&@_~ ".to_owned())
        );
        for value in ["a*", "a&", "a@", "a_"] {
            assert_eq!(
                common_name(PRINTABLE_STRING, value.as_bytes()),
                forbidden,
                "{value:?}"
            );
        }
        let all = "azAZ09 '()+,-./:=?";
        assert_eq!(
            common_name(PRINTABLE_STRING, all.as_bytes()),
            Ok(all.to_owned())
        );
    }

    #[test]
    fn refuses_other_string_types_and_empty_values() {
        // NumericString, T61String, IA5String, UniversalString, BMPString, INTEGER.
        for tag in [0x12, 0x14, 0x16, 0x1c, 0x1e, 0x02] {
            let error = ParseError::UnsupportedStringType {
                attribute: "common name",
                tag,
            };
            assert_eq!(common_name(tag, b"1234"), Err(error));
        }
        let empty = ParseError::EmptySubjectAttribute {
            attribute: "common name",
        };
        assert_eq!(common_name(UTF8_STRING, b""), Err(empty));
    }
}
