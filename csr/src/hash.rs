//! SHA-256 (FIPS 180-4), and the text form of hashes.

use std::fmt;

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Writes `sha256:` and 64 hexadecimal digits.
pub(crate) fn write(hash: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("sha256:")?;
    hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
