//! A reader for DER (ITU-T X.690 section 10), as far as certification requests need it, that accepts one encoding only.
//!
//! General parsers are lenient in different places: bytes after the last field of a sequence, lengths in more bytes
//! than needed, unexpected tags. In each such place the approver and the signer could see different requests. This
//! reader refuses every byte that is not the one it expects.

use std::fmt::Write as _;

use crate::ParseError;

/// BOOLEAN (X.690 section 8.2).
pub(crate) const BOOLEAN: u8 = 0x01;
/// INTEGER (X.690 section 8.3).
pub(crate) const INTEGER: u8 = 0x02;
/// BIT STRING, primitive (X.690 section 8.6).
pub(crate) const BIT_STRING: u8 = 0x03;
/// OCTET STRING, primitive (X.690 section 8.7).
pub(crate) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER (X.690 section 8.19).
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// UTF8String (X.680 section 41).
pub(crate) const UTF8_STRING: u8 = 0x0c;
/// PrintableString (X.680 section 41).
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
/// SEQUENCE, constructed (X.690 section 8.9).
pub(crate) const SEQUENCE: u8 = 0x30;
/// SET, constructed (X.690 section 8.11).
pub(crate) const SET: u8 = 0x31;
/// `[0]`, constructed: the attributes of a certification request (RFC 2986 section 4.1).
pub(crate) const ATTRIBUTES: u8 = 0xa0;

/// The bits of a tag that mark a number in the following bytes (X.690 section 8.1.2.4). Nothing here needs that.
const LONG_TAG: u8 = 0x1f;

/// One value: its tag, its contents, and its complete encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) contents: &'a [u8],
    pub(crate) der: &'a [u8],
}

/// Reads one value after another; `what` names the part of the request in errors.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next value, of any tag.
    pub(crate) fn element(&mut self) -> Result<Element<'a>, ParseError> {
        let (element, rest) = split_element(self.rest).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(element)
    }

    /// Returns the next value, which must have this tag.
    pub(crate) fn tagged(&mut self, tag: u8) -> Result<Element<'a>, ParseError> {
        let element = self.element()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(self.malformed())
        }
    }

    /// Returns a reader for the contents of the next value, which must have this tag; `what` names it in errors.
    pub(crate) fn inside(&mut self, tag: u8, what: &'static str) -> Result<Self, ParseError> {
        Ok(Self::new(self.tagged(tag)?.contents, what))
    }

    /// Returns the contents of a BIT STRING of whole bytes, as keys and signatures are.
    pub(crate) fn whole_bytes(&mut self) -> Result<&'a [u8], ParseError> {
        match self.tagged(BIT_STRING)?.contents.split_first() {
            Some((0, bytes)) => Ok(bytes),
            Some(_) | None => Err(self.malformed()),
        }
    }

    /// Returns the bytes of a positive INTEGER, without the leading zero byte that marks it as positive.
    pub(crate) fn positive_integer(&mut self) -> Result<&'a [u8], ParseError> {
        let contents = self.tagged(INTEGER)?.contents;
        match contents {
            [0x01..=0x7f, ..] => Ok(contents),
            [0, magnitude @ ..] if magnitude.first().is_some_and(|first| *first >= 0x80) => {
                Ok(magnitude)
            }
            _ => Err(self.malformed()),
        }
    }

    /// Succeeds if no bytes are left.
    pub(crate) fn end(self) -> Result<(), ParseError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(ParseError::TrailingDer { what: self.what })
        }
    }

    fn malformed(&self) -> ParseError {
        ParseError::MalformedDer { what: self.what }
    }
}

/// Splits off the first value of `bytes`; accepts minimal lengths only (X.690 section 10.1).
fn split_element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, after_tag) = bytes.split_first()?;
    if tag & LONG_TAG == LONG_TAG {
        return None;
    }
    let (length, after_length) = split_length(after_tag)?;
    let (contents, rest) = after_length.split_at_checked(length)?;
    let (der, _) = bytes.split_at_checked(bytes.len().checked_sub(rest.len())?)?;
    Some((Element { tag, contents, der }, rest))
}

/// Splits off a length. [`crate::MAX_REQUEST_SIZE`] fits in two bytes of length, so longer ones are refused.
fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, length @ 0x80..=0xff, rest @ ..] => Some((usize::from(*length), rest)),
        [0x82, high @ 0x01..=0xff, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

/// Formats the contents of an OBJECT IDENTIFIER in dotted form, for messages; in hexadecimal if they are malformed.
pub(crate) fn dotted(oid: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(number);
            number = 0;
        }
    }
    let complete = oid.last().is_some_and(|byte| byte & 0x80 == 0);
    match (complete, numbers.split_first()) {
        (true, Some((&first, rest))) => {
            // X.690 section 8.19.4: the first number holds the first two arcs.
            let root = (first / 40).min(2);
            let arcs = [root, first.saturating_sub(root.saturating_mul(40))];
            let text: Vec<String> = arcs.iter().chain(rest).map(u64::to_string).collect();
            text.join(".")
        }
        _ => oid.iter().fold("0x".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").ok();
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Element<'_>, ParseError> {
        Reader::new(bytes, "test").element()
    }

    #[test]
    fn reads_lengths_in_their_shortest_form_only() {
        assert_eq!(one(&[4, 1, 7]).unwrap().contents, [7]);
        let long = |header: &[u8], length| [header, &vec![0; length]].concat();
        assert_eq!(
            one(&long(&[4, 0x81, 0x80], 0x80)).unwrap().contents.len(),
            0x80
        );
        assert_eq!(
            one(&long(&[4, 0x82, 1, 0], 0x100)).unwrap().contents.len(),
            0x100
        );
        for padded in [
            long(&[4, 0x81, 1], 1),
            long(&[4, 0x81, 0x7f], 0x7f),
            long(&[4, 0x82, 0, 0x80], 0x80),
            long(&[4, 0x83, 0, 1, 0], 0x100),
            long(&[4, 0x84, 0, 0, 0, 1], 1),
        ] {
            assert_eq!(
                one(&padded),
                Err(ParseError::MalformedDer { what: "test" }),
                "{padded:?}"
            );
        }
    }

    #[test]
    fn refuses_indefinite_lengths_long_tags_and_truncation() {
        for bytes in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 2, 0],
            &[0x30, 0x80, 0, 0],
            &[0x1f, 1, 0],
            &[0xbf, 0x1f, 0],
            &[4, 0x82],
        ] {
            assert_eq!(
                one(bytes),
                Err(ParseError::MalformedDer { what: "test" }),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn an_element_knows_its_own_bytes_and_the_rest_must_be_empty() {
        let mut reader = Reader::new(&[4, 1, 7, 5, 0], "test");
        assert_eq!(
            reader.element().unwrap(),
            Element {
                tag: 4,
                contents: &[7],
                der: &[4, 1, 7]
            }
        );
        assert_eq!(reader.end(), Err(ParseError::TrailingDer { what: "test" }));
        assert_eq!(Reader::new(&[], "test").end(), Ok(()));
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        let integer = |contents: &[u8]| {
            let bytes = [&[INTEGER, u8::try_from(contents.len()).unwrap()], contents].concat();
            Reader::new(&bytes, "test")
                .positive_integer()
                .map(<[u8]>::to_vec)
        };
        assert_eq!(integer(&[1]), Ok(vec![1]));
        assert_eq!(integer(&[0, 0x80]), Ok(vec![0x80]));
        for refused in [
            &[][..],
            &[0],
            &[0x80],
            &[0xff, 0xff],
            &[0, 1],
            &[0, 0, 0x80],
        ] {
            assert!(integer(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn bit_strings_fill_whole_bytes() {
        assert_eq!(
            Reader::new(&[3, 2, 0, 9], "test").whole_bytes(),
            Ok(&[9][..])
        );
        for refused in [&[3, 0][..], &[3, 2, 1, 8], &[0x23, 4, 3, 2, 0, 9]] {
            assert!(
                Reader::new(refused, "test").whole_bytes().is_err(),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn shows_object_identifiers_as_people_know_them() {
        assert_eq!(dotted(&[0x55, 0x04, 0x0b]), "2.5.4.11");
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07]),
            "1.2.840.113549.1.9.7"
        );
        assert_eq!(dotted(&[0x88, 0x37, 0x03]), "2.999.3");
        assert_eq!(dotted(&[0x55, 0x84]), "0x5584");
        assert_eq!(dotted(&[]), "0x");
    }
}
