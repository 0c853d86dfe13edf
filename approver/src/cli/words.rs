//! Times in words.

use jiff::fmt::friendly::SpanPrinter;
use jiff::{SignedDuration, Unit};

/// A duration as people write it, such as 2h 30m; whole seconds.
pub(super) fn duration(duration: SignedDuration) -> String {
    let seconds = duration.round(Unit::Second).unwrap_or(duration);
    SpanPrinter::new().duration_to_string(&seconds)
}
