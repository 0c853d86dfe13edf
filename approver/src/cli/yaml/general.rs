//! YAML read by a general parser, with what a dump needs: nothing guessed, and no limit to its size.

use serde_json::Value;

/// Reads one document.
///
/// # Errors
/// If it is no YAML, with the line counted from its begin.
pub(super) fn read(document: &str) -> Result<Value, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(document, options())
}

/// How it is read.
pub(super) fn options() -> serde_saphyr::Options {
    // How large a dump may be is for its owner to say; what one alias may blow up to stays limited.
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        leading_zero_numbers_as_strings: true,
        strict_booleans: true,
        with_snippet: false,
    }
}
