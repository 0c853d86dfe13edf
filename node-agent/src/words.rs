//! Readable times and durations, and sanitized foreign text.

use std::time::Duration;

use jiff::Timestamp;

/// Formats a time as RFC 3339 in UTC, to the second.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a duration in its two largest units: `3d 4h`, `2m 5s`, `40s`, `0.5s` below two seconds.
pub fn span(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    if duration < Duration::from_secs(2) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let count = rest.checked_div(size).unwrap_or_default();
        rest = rest.checked_rem(size).unwrap_or_default();
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// Returns the time between two moments, in either order.
pub fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.duration_since(other).unsigned_abs()
}

/// Replaces control characters in a text from a server or a file by spaces, so that it cannot forge a line, move the
/// cursor of a terminal, or change the direction of the text after it.
pub fn printable(text: &str) -> String {
    // Zero-width and directional characters, line and paragraph separators (Unicode: General Punctuation, and U+FEFF).
    let is_invisible = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars()
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// Returns at most the first `limit` characters of a text, with an ellipsis if it was cut.
pub fn shortened(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let cases = [
            (0, "0.0s"),
            (1_500, "1.5s"),
            (40_000, "40s"),
            (125_000, "2m 5s"),
            (3_600_000, "1h"),
        ];
        for (millis, words) in cases {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
        assert_eq!(
            span(Duration::from_secs(86_400 * 3 + 3_600 * 4 + 59)),
            "3d 4h"
        );
    }

    #[test]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(printable("a\nb\x1b[31m"), "a b [31m");
        assert_eq!(printable("a\u{2028}b\u{202e}c\u{9b}d – é"), "a b c d – é");
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
