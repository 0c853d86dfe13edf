//! The files of a tar archive (POSIX.1-2024 `pax`, "ustar Interchange Format"), as must-gather and `tar czf` make it.

/// The size of a header, and what every file is filled up to.
const BLOCK: usize = 512;

/// Where the magic of a header is.
const MAGIC: std::ops::Range<usize> = 257..262;

/// Whether bytes are an archive: the first header says so.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(MAGIC) == Some(b"ustar".as_slice())
}

/// Every regular file: its name and what is in it.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let broken = || "this is a tar archive, but cut off or broken; make it anew".to_owned();
    let (mut found, mut rest) = (Vec::new(), bytes);
    let mut long_name = None;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        // Two empty blocks are the end.
        if header.iter().all(|byte| *byte == 0) {
            return Ok(found);
        }
        if !is(header) {
            return Err(broken());
        }
        let size = size(header).ok_or_else(broken)?;
        let content = after.get(..size).ok_or_else(broken)?;
        let padded = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        rest = after.get(padded..).ok_or_else(broken)?;
        match header.get(156) {
            Some(b'0' | 0) => {
                let name = long_name.take().unwrap_or_else(|| name(header));
                found.push((name, content.to_vec()));
            }
            // The next file's name, where a header has no room for it: of GNU, and of pax.
            Some(b'L') => long_name = Some(text(content)),
            Some(b'x') => long_name = path(content),
            _ => long_name = None,
        }
    }
    // Some writers leave the end out, but none stops within a header.
    if rest.is_empty() {
        Ok(found)
    } else {
        Err(broken())
    }
}

/// A size in octal digits.
fn size(header: &[u8]) -> Option<usize> {
    let digits = text(header.get(124..136)?);
    usize::from_str_radix(digits.trim(), 8).ok()
}

fn name(header: &[u8]) -> String {
    let name = text(header.get(..100).unwrap_or_default());
    let prefix = text(header.get(345..500).unwrap_or_default());
    if prefix.is_empty() || header.get(262) == Some(&b' ') {
        name
    } else {
        format!("{prefix}/{name}")
    }
}

/// The record `path` of an extended header: `LENGTH path=NAME`.
fn path(records: &[u8]) -> Option<String> {
    let records = String::from_utf8_lossy(records);
    let mut records = records.lines();
    records.find_map(|record| Some(record.split_once(" path=")?.1.to_owned()))
}

/// Bytes up to the first zero.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
