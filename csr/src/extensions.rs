//! The attributes of a request: none, or one extension request that asks only for names.
//!
//! Go merges all extension request attributes and reads the first value of each. Parsers that read only the first
//! attribute, or all values, see other names than the signer. So only one attribute with one value is accepted.

use crate::der::{BOOLEAN, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, SET, dotted};
use crate::{ParseError, RequestedNames};

/// id-ExtensionReq, 1.2.840.113549.1.9.14 (RFC 2985 section 5.4.2).
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// id-ce-subjectAltName, 2.5.29.17 (RFC 5280 section 4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// TRUE (X.690 section 11.1).
const TRUE: &[u8] = &[0xff];

/// Reads the names that the attributes of a request ask for.
pub(crate) fn read_attributes(mut attributes: Reader<'_>) -> Result<RequestedNames, ParseError> {
    let mut extension_request = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.inside(SEQUENCE, "attribute")?;
        let oid = attribute.tagged(OBJECT_IDENTIFIER)?.contents;
        if oid != EXTENSION_REQUEST {
            return Err(ParseError::ForeignAttribute { oid: dotted(oid) });
        }
        let values = attribute.inside(SET, "attribute")?;
        attribute.end()?;
        if extension_request.replace(values).is_some() {
            return Err(ParseError::SeveralExtensionRequests);
        }
    }
    extension_request.map_or_else(|| Ok(RequestedNames::default()), read_extension_request)
}

/// Reads the values of the attribute: one list of extensions. An empty list requests nothing, in Go too.
fn read_extension_request(mut values: Reader<'_>) -> Result<RequestedNames, ParseError> {
    if values.is_empty() {
        return Err(ParseError::SeveralAttributeValues);
    }
    let mut extensions = values.inside(SEQUENCE, "extension request")?;
    if !values.is_empty() {
        return Err(ParseError::SeveralAttributeValues);
    }
    let mut names = None;
    while !extensions.is_empty() {
        let value = read_subject_alt_name(extensions.inside(SEQUENCE, "requested extension")?)?;
        if names.replace(RequestedNames::from_der(value)?).is_some() {
            return Err(ParseError::SeveralSubjectAltNames);
        }
    }
    Ok(names.unwrap_or_default())
}

/// Returns the value of an extension, which must be a subjectAltName.
fn read_subject_alt_name(mut extension: Reader<'_>) -> Result<&[u8], ParseError> {
    let oid = extension.tagged(OBJECT_IDENTIFIER)?.contents;
    if oid != SUBJECT_ALT_NAME {
        return Err(ParseError::ForeignExtension { oid: dotted(oid) });
    }
    let malformed = ParseError::MalformedDer {
        what: "requested extension",
    };
    let mut value = extension.element()?;
    // `critical`: DER omits the default, FALSE (X.690 section 11.5). The signer sets its own value.
    if value.tag == BOOLEAN {
        if value.contents != TRUE {
            return Err(malformed);
        }
        value = extension.element()?;
    }
    if value.tag != OCTET_STRING {
        return Err(malformed);
    }
    extension.end()?;
    Ok(value.contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        [&[tag, u8::try_from(contents.len()).unwrap()], &contents[..]].concat()
    }

    fn extension(oid: &[u8], critical: &[u8], value: &[u8]) -> Vec<u8> {
        tlv(
            SEQUENCE,
            &[
                &tlv(OBJECT_IDENTIFIER, &[oid]),
                critical,
                &tlv(OCTET_STRING, &[value]),
            ],
        )
    }

    fn subject_alt_name(dns: &str) -> Vec<u8> {
        extension(
            SUBJECT_ALT_NAME,
            &[],
            &tlv(SEQUENCE, &[&tlv(0x82, &[dns.as_bytes()])]),
        )
    }

    fn attribute(oid: &[u8], values: &[&[u8]]) -> Vec<u8> {
        tlv(
            SEQUENCE,
            &[&tlv(OBJECT_IDENTIFIER, &[oid]), &tlv(SET, values)],
        )
    }

    fn requesting(extensions: &[&[u8]]) -> Vec<u8> {
        attribute(EXTENSION_REQUEST, &[&tlv(SEQUENCE, extensions)])
    }

    fn read(attributes: &[&[u8]]) -> Result<Vec<String>, ParseError> {
        read_attributes(Reader::new(&attributes.concat(), "attributes")).map(|names| names.dns)
    }

    #[test]
    fn reads_none_or_one_extension_request() {
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&[&requesting(&[])]), Ok(vec![]));
        assert_eq!(
            read(&[&requesting(&[&subject_alt_name("a")])]),
            Ok(vec!["a".to_owned()])
        );
    }

    #[test]
    fn refuses_a_second_extension_request_whatever_is_in_the_first() {
        let evil = requesting(&[&subject_alt_name("evil")]);
        for first in [
            requesting(&[]),
            requesting(&[&subject_alt_name("good")]),
            evil.clone(),
        ] {
            assert_eq!(
                read(&[&first, &evil]),
                Err(ParseError::SeveralExtensionRequests)
            );
        }
    }

    #[test]
    fn refuses_all_but_one_value() {
        let (good, evil) = (
            tlv(SEQUENCE, &[&subject_alt_name("good")]),
            tlv(SEQUENCE, &[&subject_alt_name("evil")]),
        );
        assert_eq!(
            read(&[&attribute(EXTENSION_REQUEST, &[&good, &evil])]),
            Err(ParseError::SeveralAttributeValues)
        );
        assert_eq!(
            read(&[&attribute(EXTENSION_REQUEST, &[])]),
            Err(ParseError::SeveralAttributeValues)
        );
    }

    #[test]
    fn refuses_foreign_attributes_and_extensions_wherever_they_stand() {
        let password = attribute(
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07],
            &[&tlv(0x0c, &[b"x"])],
        );
        let error = ParseError::ForeignAttribute {
            oid: "1.2.840.113549.1.9.7".to_owned(),
        };
        let names = requesting(&[&subject_alt_name("a")]);
        assert_eq!(read(&[&password, &names]), Err(error.clone()));
        assert_eq!(read(&[&names, &password]), Err(error));

        let constraints = extension(&[0x55, 0x1d, 0x13], TRUE_FIELD, &[0x30, 3, 1, 1, 0xff]);
        let error = ParseError::ForeignExtension {
            oid: "2.5.29.19".to_owned(),
        };
        assert_eq!(
            read(&[&requesting(&[&constraints, &subject_alt_name("a")])]),
            Err(error.clone())
        );
        assert_eq!(
            read(&[&requesting(&[&subject_alt_name("a"), &constraints])]),
            Err(error)
        );
    }

    /// `critical TRUE` as DER.
    const TRUE_FIELD: &[u8] = &[1, 1, 0xff];

    #[test]
    fn reads_critical_in_its_one_encoding() {
        let value = tlv(SEQUENCE, &[&tlv(0x82, &[b"a"])]);
        let with = |critical: &[u8]| {
            read(&[&requesting(&[&extension(
                SUBJECT_ALT_NAME,
                critical,
                &value,
            )])])
        };
        assert_eq!(with(TRUE_FIELD), Ok(vec!["a".to_owned()]));
        for critical in [
            &[1, 1, 0][..],
            &[1, 1, 1],
            &[1, 0],
            &[1, 1, 0xff, 1, 1, 0xff],
            &[5, 0],
        ] {
            assert!(with(critical).is_err(), "{critical:?}");
        }
    }

    #[test]
    fn refuses_two_subject_alt_names() {
        let twice = requesting(&[&subject_alt_name("a"), &subject_alt_name("a")]);
        assert_eq!(read(&[&twice]), Err(ParseError::SeveralSubjectAltNames));
    }
}
