//! Bytes that were handed in to texts: plain, compressed, in an archive, or in an encoding of Windows. What can be no
//! dump is named, with how to make one.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::tar;

/// The most bytes that are unpacked of one file: more than any dump has, and less than fills a memory.
const MOST_UNPACKED: u64 = 1 << 30;

/// Archives and compressions that are told by their first bytes, and that nothing here unpacks.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x7fELF", "a program"),
];

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A text.
    Text(String),
    /// An archive: the names of its files, and what is in each.
    Members(Vec<(String, Vec<u8>)>),
}

/// Understands the bytes of a file, or says what they are instead.
pub(super) fn read(bytes: Vec<u8>) -> Result<Content, String> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return read_unpacked(unpack(&bytes)?);
    }
    read_unpacked(bytes)
}

fn read_unpacked(bytes: Vec<u8>) -> Result<Content, String> {
    if tar::is(&bytes) {
        return tar::read(&bytes).map(Content::Members);
    }
    let foreign = FOREIGN.iter().find(|(magic, _)| bytes.starts_with(magic));
    if let Some((_, what)) = foreign {
        return Err(format!(
            "this is {what}; unpack it, and hand in the files or their folder"
        ));
    }
    text(bytes).map(Content::Text)
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut limited = MultiGzDecoder::new(bytes).take(MOST_UNPACKED.saturating_add(1));
    limited
        .read_to_end(&mut unpacked)
        .map_err(|error| format!("this is compressed with gzip, but broken: {error}"))?;
    if u64::try_from(unpacked.len()).is_ok_and(|length| length <= MOST_UNPACKED) {
        return Ok(unpacked);
    }
    Err(format!(
        "this is compressed with gzip and has more than {MOST_UNPACKED} bytes; hand in a part of it"
    ))
}

/// The text of a file. A byte that is not UTF-8 must not hide the other documents of its file: it becomes a replacement
/// character.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, String> {
    let text = match utf16(&bytes) {
        Some(text) => text?,
        None => String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    };
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    if is_table(&text) {
        return Err(
            "this is a table as kubectl get prints it for people, which lacks what a decision needs; hand in what \
             kubectl get csr,nodes,machines -A -o yaml prints"
                .to_owned(),
        );
    }
    Ok(text)
}

/// UTF-16, as PowerShell writes it: with a byte order mark, or without one where every other byte is zero.
fn utf16(bytes: &[u8]) -> Option<Result<String, String>> {
    type Unit = fn([u8; 2]) -> u16;
    let (little, big): (Unit, Unit) = (u16::from_le_bytes, u16::from_be_bytes);
    let (rest, unit) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, little),
        [0xfe, 0xff, rest @ ..] => (rest, big),
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => (bytes, little),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => (bytes, big),
        _ => return None,
    };
    let (units, odd) = rest.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
    let text = String::from_utf16(&units).ok().filter(|_| odd.is_empty());
    Some(text.ok_or_else(|| {
        "this is text in UTF-16, but broken; write it anew in UTF-8, in PowerShell with Out-File -Encoding utf8".to_owned()
    }))
}

/// Whether a text begins with the header of a table of `kubectl get`, with the namespace before it or not.
fn is_table(text: &str) -> bool {
    let header = text.lines().next().unwrap_or_default();
    let is_heading = |word: &str| {
        let mut bytes = word.bytes();
        bytes.all(|byte| byte.is_ascii_uppercase() || b"-()".contains(&byte))
    };
    let words: Vec<&str> = header.split_whitespace().collect();
    let named = matches!(
        words.as_slice(),
        ["NAME", _, ..] | ["NAMESPACE", "NAME", ..]
    );
    named && words.iter().all(|word| is_heading(word))
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
