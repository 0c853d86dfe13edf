//! The PEM blocks of evidence after the request's (RFC 7468).
//!
//! Go, and so the API server and the signer, ignores everything after the first block. Here only blocks of evidence may
//! follow, so that nothing can be hidden there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ParseError;
use crate::pem::{EvidenceBlocks, check_base64_line, decode, next_line};

const BEGIN_LINE: &[u8] = b"-----BEGIN ROLLCALL EVIDENCE-----";
const END_LINE: &[u8] = b"-----END ROLLCALL EVIDENCE-----";

/// The start of every line that begins or ends a block.
const DASHES: &[u8] = b"-----";

/// Length of a line of base64 (RFC 7468 section 2).
const LINE: usize = 64;

/// Returns the contents of the blocks in `text`, each with its own error if it is not base64.
///
/// # Errors
/// [`ParseError::TrailingData`] if there is anything other than blocks and white space.
pub(crate) fn contents(text: &[u8]) -> Result<EvidenceBlocks, ParseError> {
    let mut rest = text;
    let mut blocks = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        if line == BEGIN_LINE {
            blocks.push(content(&lines_to_end(&mut rest)?));
        } else if !line.iter().all(u8::is_ascii_whitespace) {
            return Err(ParseError::TrailingData);
        }
    }
    Ok(blocks)
}

/// Reads the lines of a block from `rest`, up to and including its END.
fn lines_to_end<'a>(rest: &mut &'a [u8]) -> Result<Vec<&'a [u8]>, ParseError> {
    let mut lines = Vec::new();
    loop {
        match next_line(rest) {
            Some(line) if line == END_LINE => return Ok(lines),
            Some(line) if !line.starts_with(DASHES) => lines.push(line),
            // The text ends, or another block begins, before this one ends.
            Some(_) | None => return Err(ParseError::TrailingData),
        }
    }
}

fn content(lines: &[&[u8]]) -> Result<Vec<u8>, ParseError> {
    lines.iter().try_for_each(|line| check_base64_line(line))?;
    decode(&lines.concat())
}

/// Encodes the block with this content.
pub(super) fn block(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN ROLLCALL EVIDENCE-----\n");
    let encoded: Vec<char> = STANDARD.encode(der).chars().collect();
    for line in encoded.chunks(LINE) {
        text.extend(line);
        text.push('\n');
    }
    text.push_str("-----END ROLLCALL EVIDENCE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN ROLLCALL EVIDENCE-----\naGkh\n-----END ROLLCALL EVIDENCE-----\n";

    #[test]
    fn blocks_are_read_as_they_are_written() {
        for length in [0, 1, 47, 48, 49, 1000] {
            let der = vec![0x5a; length];
            assert_eq!(contents(block(&der).as_bytes()), Ok(vec![Ok(der)]));
        }
        assert_eq!(block(b"hi!"), GOOD);
    }

    #[test]
    fn blocks_stand_between_white_space() {
        let good = Ok(b"hi!".to_vec());
        for (text, blocks) in [
            ("", vec![]),
            (" \r\n\t\n", vec![]),
            (GOOD.trim_end(), vec![good.clone()]),
            (&GOOD.replace('\n', "\r\n"), vec![good.clone()]),
            (
                &format!("\n{GOOD}\n \n{GOOD}\x0c"),
                vec![good.clone(), good],
            ),
        ] {
            assert_eq!(contents(text.as_bytes()), Ok(blocks), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_block_of_evidence_is_refused_with_the_request() {
        let begin = "-----BEGIN ROLLCALL EVIDENCE-----";
        let end = "-----END ROLLCALL EVIDENCE-----";
        for text in [
            "x".to_owned(),
            "\0".to_owned(),
            format!("{GOOD}x\n"),
            format!("x\n{GOOD}"),
            format!("{GOOD}x\n{GOOD}"),
            format!(" {GOOD}"),
            GOOD.replace("ROLLCALL EVIDENCE", "CERTIFICATE REQUEST"),
            GOOD.replace("ROLLCALL EVIDENCE", "rollcall evidence"),
            format!("{begin}\naGkh\n"),
            format!("{begin}\naGkh\n{begin}\naGkh\n{end}\n"),
            format!("{begin}\naGkh\n-----END X-----\n{end}\n"),
            format!("{begin}\naGkh\n {end}\n"),
            format!("{begin}\naGkh\n{end} \n"),
            format!("{begin}\naGkh\n{end}\r"),
            format!("{begin} \naGkh\n{end}\n"),
            format!("{end}\n"),
        ] {
            assert_eq!(
                contents(text.as_bytes()),
                Err(ParseError::TrailingData),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_block_that_is_not_base64_spoils_itself_only() {
        for (content, word) in [
            ("!", "MalformedPem"),
            ("aGk", "MalformedPem"),
            ("aG kh", "MalformedPem"),
            ("\naGkh", "MalformedPem"),
            ("Kind: join-key\n\naGkh", "PemHeaders"),
        ] {
            let bad = GOOD.replace("aGkh", content);
            let blocks = contents(format!("{bad}{GOOD}").as_bytes()).unwrap();
            let words: Vec<_> = blocks
                .iter()
                .map(|block| block.as_ref().map_err(ParseError::as_str))
                .collect();
            assert_eq!(words, [Err(word), Ok(&b"hi!".to_vec())], "{content:?}");
        }
    }
}
