//! The PEM block of a request (RFC 7468), read so that Go's `pem.Decode` is sure to find the same block.
//!
//! Go searches for the first readable block: it skips text before it, BEGIN lines without an END, and malformed blocks.
//! Here the text must begin with the block, in the one form that all encoders write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{ParseError, evidence};

/// Largest accepted request, in bytes, as PEM with all evidence or as DER. A request with an 8192-bit RSA key has about
/// 3 KiB of PEM, so this leaves room for about three hundred names; the API server's own limit is etcd's, 1.5 MiB.
pub const MAX_REQUEST_SIZE: usize = 16 * 1024;

/// The maximum length of a foreign label in a message, in bytes.
const SHOWN_LABEL: usize = 64;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
const LABEL: &[u8] = b"CERTIFICATE REQUEST";
const END_LINE: &[u8] = b"-----END CERTIFICATE REQUEST-----";

/// The content of each block of evidence, or an error if it is not base64.
pub(crate) type EvidenceBlocks = Vec<Result<Vec<u8>, ParseError>>;

/// Returns the DER in the block `CERTIFICATE REQUEST` at the start of `text`, and the blocks of evidence after it.
pub(crate) fn read(text: &[u8]) -> Result<(Vec<u8>, EvidenceBlocks), ParseError> {
    if text.len() > MAX_REQUEST_SIZE {
        return Err(ParseError::TooLarge { size: text.len() });
    }
    let (der, after) = first_block(text)?;
    Ok((der, evidence::contents(after)?))
}

/// Returns the content of the first block, and the text after the line with its END.
fn first_block(text: &[u8]) -> Result<(Vec<u8>, &[u8]), ParseError> {
    let mut rest = begin(text)?;
    check_label(next_line(&mut rest).unwrap_or_default())?;
    let mut base64 = Vec::with_capacity(rest.len());
    loop {
        let line = next_line(&mut rest).ok_or(ParseError::MalformedPem {
            why: "it has no END line of its own",
        })?;
        if line == END_LINE {
            break;
        }
        check_base64_line(line)?;
        base64.extend_from_slice(line);
    }
    Ok((decode(&base64)?, rest))
}

/// Decodes the content of a block: its lines without their breaks.
pub(crate) fn decode(base64: &[u8]) -> Result<Vec<u8>, ParseError> {
    STANDARD
        .decode(base64)
        .map_err(|_| ParseError::MalformedPem {
            why: "its content is not base64",
        })
}

/// Returns the text from the first BEGIN, which must begin its line and may follow white space only.
fn begin(text: &[u8]) -> Result<&[u8], ParseError> {
    let is_block = |at: &[u8]| at.starts_with(BEGIN);
    let (white, block) = text.split_at(
        text.iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .unwrap_or(text.len()),
    );
    if is_block(block) && white.last().is_none_or(|last| *last == b'\n') {
        return Ok(block);
    }
    let later = text.windows(BEGIN.len()).any(is_block);
    Err(if later {
        ParseError::LeadingData
    } else {
        ParseError::NotPem
    })
}

fn check_label(line: &[u8]) -> Result<(), ParseError> {
    let label = line
        .strip_prefix(BEGIN)
        .and_then(|label| label.strip_suffix(DASHES))
        .ok_or(ParseError::MalformedPem {
            why: "its BEGIN line does not end with five dashes",
        })?;
    if label == LABEL {
        return Ok(());
    }
    let shown = label
        .get(..SHOWN_LABEL)
        .unwrap_or(label)
        .escape_ascii()
        .to_string();
    Err(ParseError::WrongPemLabel { label: shown })
}

/// Checks a line between BEGIN and END: base64 only, without the blanks that Go would drop.
pub(crate) fn check_base64_line(line: &[u8]) -> Result<(), ParseError> {
    if line.contains(&b':') {
        return Err(ParseError::PemHeaders);
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if !line.is_empty() && line.iter().all(is_base64) {
        Ok(())
    } else {
        Err(ParseError::MalformedPem {
            why: "a line of it is not base64",
        })
    }
}

/// Splits the next line off `text`, without its line break (LF or CR LF); `None` at the end of the text.
pub(crate) fn next_line<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    if text.is_empty() {
        return None;
    }
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().unwrap_or_default();
    match parts.next() {
        Some(rest) => {
            *text = rest;
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        }
        // Go strips a carriage return only before a line feed.
        None => {
            *text = &[];
            Some(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The DER of the request in a text; other tests cover the evidence after it.
    fn request_der(text: &[u8]) -> Result<Vec<u8>, ParseError> {
        super::read(text).map(|(der, _)| der)
    }

    /// `request_der` of a text in which `{}` is replaced by a valid block with the content `hi!`.
    fn read(frame: &str) -> Result<Vec<u8>, ParseError> {
        let block = "-----BEGIN CERTIFICATE REQUEST-----\naGkh\n-----END CERTIFICATE REQUEST-----";
        request_der(frame.replace("{}", block).as_bytes())
    }

    #[test]
    fn reads_a_block_between_white_space() {
        for frame in [
            "{}",
            "{}\n",
            "\n{}\n\n",
            " \r\n{}\r\n \t\n",
            "\t\n\n{}\n\x0c",
        ] {
            assert_eq!(read(frame), Ok(b"hi!".to_vec()), "{frame:?}");
        }
        let crlf = read(&"{}\n".replace("{}", "-----BEGIN CERTIFICATE REQUEST-----\r\naG\r\nkh\r\n-----END CERTIFICATE REQUEST-----\r"));
        assert_eq!(crlf, Ok(b"hi!".to_vec()));
    }

    #[test]
    fn gives_the_blocks_of_evidence_after_the_request() {
        let text = "-----BEGIN CERTIFICATE REQUEST-----\naGkh\n-----END CERTIFICATE REQUEST-----\n\
                    -----BEGIN ROLLCALL EVIDENCE-----\naGkh\n-----END ROLLCALL EVIDENCE-----\n";
        let (hi, blocks) = (b"hi!".to_vec(), vec![Ok(b"hi!".to_vec())]);
        assert_eq!(super::read(text.as_bytes()), Ok((hi, blocks)));
    }

    #[test]
    fn refuses_everything_around_the_block() {
        for (frame, error) in [
            ("junk\n{}", ParseError::LeadingData),
            (" {}", ParseError::LeadingData),
            ("\r{}", ParseError::LeadingData),
            ("\u{feff}{}", ParseError::LeadingData),
            ("\0{}", ParseError::LeadingData),
            ("", ParseError::NotPem),
            (" \n", ParseError::NotPem),
            ("aGkh", ParseError::NotPem),
            ("-----begin certificate request-----", ParseError::NotPem),
            ("{}\nx", ParseError::TrailingData),
            ("{}\n\0", ParseError::TrailingData),
            ("{}\n{}", ParseError::TrailingData),
            (
                "{}\n-----BEGIN CERTIFICATE-----\naGkh\n-----END CERTIFICATE-----\n",
                ParseError::TrailingData,
            ),
            (
                "{}-----BEGIN ROLLCALL EVIDENCE-----\naGkh\n-----END ROLLCALL EVIDENCE-----\n",
                ParseError::MalformedPem {
                    why: "a line of it is not base64",
                },
            ),
            (
                "-----BEGIN ROLLCALL EVIDENCE-----\naGkh\n-----END ROLLCALL EVIDENCE-----\n{}",
                ParseError::WrongPemLabel {
                    label: "ROLLCALL EVIDENCE".to_owned(),
                },
            ),
        ] {
            assert_eq!(read(frame), Err(error), "{frame:?}");
        }
    }

    #[test]
    fn refuses_what_go_would_skip_or_read_otherwise() {
        let begin = "-----BEGIN CERTIFICATE REQUEST-----";
        let end = "-----END CERTIFICATE REQUEST-----";
        for text in [
            format!("{begin}\naGkh"),
            format!("{begin}\naGkh\n{begin}\naGkh\n{end}"),
            format!("{begin}\naGkh\n-----END CERTIFICATE-----\n{end}"),
            format!("{begin}\naGkh\n {end}"),
            format!("{begin}\naGkh\n{end} "),
            format!("{begin}\naGkh\n{end}\r"),
            format!("{begin}\naGkh\n{end}x\n"),
            format!("{begin}\n\naGkh\n{end}"),
            format!("{begin}\naG kh\n{end}"),
            format!("{begin}\naG\r\r\nkh\n{end}"),
            format!("{begin}\naGk\n{end}"),
            format!("{begin}\naGl=\n{end}"),
            format!("{begin}\naA==aA==\n{end}"),
            format!("{begin}\na-_h\n{end}"),
            "-----BEGIN CERTIFICATE REQUEST----\naGkh\n-----END CERTIFICATE REQUEST----".to_owned(),
            format!("{begin} \naGkh\n{end}"),
            format!("{begin}\r\r\naGkh\n{end}"),
        ] {
            assert_eq!(
                request_der(text.as_bytes()).unwrap_err().as_str(),
                "MalformedPem",
                "{text:?}"
            );
        }
        let headers = format!("{begin}\nProc-Type: 4\n\naGkh\n{end}");
        assert_eq!(request_der(headers.as_bytes()), Err(ParseError::PemHeaders));
    }

    #[test]
    fn names_the_label_that_it_found() {
        let found =
            |label: &str| request_der(format!("-----BEGIN {label}-----\naGkh\n").as_bytes());
        let wrong = |label: &str| {
            Err(ParseError::WrongPemLabel {
                label: label.to_owned(),
            })
        };
        assert_eq!(found("CERTIFICATE"), wrong("CERTIFICATE"));
        assert_eq!(
            found("NEW CERTIFICATE REQUEST"),
            wrong("NEW CERTIFICATE REQUEST")
        );
        assert_eq!(found("\u{1b}[2J"), wrong("\\x1b[2J"));
        assert_eq!(found(&"x".repeat(100)), wrong(&"x".repeat(64)));
    }

    #[test]
    fn refuses_more_than_the_limit_before_reading() {
        assert_eq!(
            request_der(&vec![b'\n'; MAX_REQUEST_SIZE]),
            Err(ParseError::NotPem)
        );
        let size = MAX_REQUEST_SIZE + 1;
        assert_eq!(
            request_der(&vec![b'\n'; size]),
            Err(ParseError::TooLarge { size })
        );
    }
}
