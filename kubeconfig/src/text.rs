//! Decodes the bytes of a file to the YAML document that client-go would read.

use crate::Unusable;

/// Decodes the text of a file, without the byte order mark that Windows editors write. Like Go's YAML library, it
/// accepts UTF-8, and UTF-16 with a byte order mark (YAML 1.2.2 section 5.2).
pub(crate) fn decode(bytes: &[u8]) -> Result<String, Unusable> {
    let text = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        _ => utf8(bytes),
    };
    text.ok_or_else(|| Unusable::NotYaml(": it is not text in UTF-8 or UTF-16".to_owned()))
}

fn utf8(bytes: &[u8]) -> Option<String> {
    str::from_utf8(bytes).ok().map(str::to_owned)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

/// Returns the first YAML document of a text, the only one that Go's `yaml.Unmarshal` reads. A document ends at a
/// marker in the first column (YAML 1.2.2 section 9.1); `---` before its content begins it.
pub(crate) fn first_document(text: &str) -> &str {
    let mut begun = false;
    let mut end = 0_usize;
    for line in text.split_inclusive('\n') {
        let word = line.trim_end();
        let marker = |mark: &str| {
            word.strip_prefix(mark)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        let dashes = marker("---");
        if begun && (dashes || marker("...")) {
            break;
        }
        let content = word.trim_start();
        let prelude = content.is_empty() || content.starts_with('#') || word.starts_with('%');
        begun = begun || dashes || !prelude;
        end = end.saturating_add(line.len());
    }
    text.get(..end).unwrap_or(text)
}
