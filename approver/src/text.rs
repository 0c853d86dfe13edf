//! Sanitization of text from other sources: it cannot control a terminal or forge a line, and it shows all its characters.

use std::borrow::Cow;
use std::io;

/// The character that begins an escape sequence of a terminal (ECMA-48, section 5.3).
const ESC: char = '\u{1b}';

/// Returns true if a character changes how text around it is shown: control characters, line and paragraph separators
/// (Unicode general categories Cc, Zl, Zp), and those that set the direction of text (Unicode Standard Annex #9, section 2).
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Removes all characters that could control a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if steers(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Replaces characters that could control a terminal by their Rust escapes.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, steers)
}

fn escape(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Replaces control characters within JSON by JSON's own escapes (RFC 8259, section 7). Outside of strings JSON holds no
/// such characters except line ends and tabs, which stay.
pub(crate) fn escaped_json(json: &str) -> Cow<'_, str> {
    let hidden = |c: char| steers(c) && !c.is_ascii_control();
    if !json.contains(hidden) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c) {
            // All of them are in the basic plane: one unit of UTF-16 each.
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// A writer of log lines: each write is one line, and stays one.
pub(crate) struct LogLines<W> {
    inner: W,
    form: Form,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    /// Text, with or without colours. The values in it are escaped by `tracing-subscriber`, its messages are not.
    Text {
        coloured: bool,
    },
}

impl<W> LogLines<W> {
    pub(crate) fn new(inner: W, form: Form) -> Self {
        Self { inner, form }
    }
}

impl<W: io::Write> io::Write for LogLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.form {
            Form::Json => escaped_json(line),
            // Colours are our own escape sequences; `tracing-subscriber` escapes those in values and messages.
            Form::Text { coloured } => escape(line, |c| steers(c) && !(coloured && c == ESC)),
        };
        self.inner.write_all(line.as_bytes())?;
        self.inner.write_all(b"\n")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use io::Write as _;

    use super::*;

    const HOSTILE: &str =
        "a\nINFO approved\u{1b}[2J\r\u{202e}b\u{85}c\u{2028}d\u{61c}e\t\u{2066}\0";

    #[test]
    fn nothing_that_steers_is_left() {
        for text in [plain(HOSTILE), escaped(HOSTILE).into_owned()] {
            assert!(!text.contains(steers), "{text:?}");
        }
        assert_eq!(escaped("a\nb\u{202e}"), "a\\nb\\u{202e}");
        assert_eq!(escaped("plain \u{e4} \u{1f600}"), "plain \u{e4} \u{1f600}");
    }

    #[test]
    fn json_stays_what_it_is() {
        let json = serde_json::to_string_pretty(&[HOSTILE]).unwrap();
        let escaped = escaped_json(&json);
        assert!(
            !escaped.contains(|c: char| steers(c) && c != '\n'),
            "{escaped:?}"
        );
        let read: Vec<String> = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, [HOSTILE]);
    }

    #[test]
    fn a_log_line_is_one_line() {
        let written = |form, line: &str| {
            let mut bytes = Vec::new();
            LogLines::new(&mut bytes, form)
                .write_all(line.as_bytes())
                .unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let line = format!("INFO {HOSTILE}\n");
        for coloured in [false, true] {
            let text = written(Form::Text { coloured }, &line);
            assert_eq!(text.lines().count(), 1, "{text:?}");
        }
        let text = written(Form::Text { coloured: false }, &line);
        assert!(!text.trim_end_matches('\n').contains(steers), "{text:?}");
        let json = written(Form::Json, "{\"a\":\"\u{202e}\"}\n");
        assert_eq!(json, "{\"a\":\"\\u202e\"}\n");
    }
}
