//! The plain block style in which kubectl writes YAML, read line by line: a general parser takes far longer. Whatever is
//! not plain is left to the general parser, so that this reader may know little, but must never see anything else.

use serde_json::{Map, Value};

/// How deep blocks may stand in each other; objects of Kubernetes stay far below.
const MAX_DEPTH: usize = 32;
/// The longest key that is taken here (YAML 1.2.2, section 7.4.2: at most 1024 characters).
const MAX_KEY: usize = 256;
/// The most digits of a number that is taken here; each such number fits into 64 bits.
const MAX_DIGITS: usize = 18;

/// Reads a text of one block. Nothing when any part of it is more than plain.
pub(super) fn read(text: &str) -> Option<Value> {
    // The last line of a literal block needs its end.
    let text = text.strip_suffix('\n')?;
    let mut reader = Reader {
        rest: Some(text),
        line: None,
    };
    reader.advance();
    let first = reader.line?;
    let value = reader.block(first, 0)?;
    reader.line.is_none().then_some(value)
}

#[derive(Clone, Copy)]
struct Line<'t> {
    indent: usize,
    /// What follows the indentation.
    content: &'t str,
    /// All of it.
    raw: &'t str,
}

struct Reader<'t> {
    /// What follows the line.
    rest: Option<&'t str>,
    /// The next line to read. Each function that finds nothing of its own in it leaves it to its caller, and what is
    /// left at the end makes the text none of plain style.
    line: Option<Line<'t>>,
}

impl<'t> Reader<'t> {
    fn advance(&mut self) {
        let Some(text) = self.rest else {
            self.line = None;
            return;
        };
        let (raw, rest) = match text.split_once('\n') {
            Some((raw, rest)) => (raw, Some(rest)),
            None => (text, None),
        };
        let content = raw.trim_start_matches(' ');
        self.rest = rest;
        self.line = Some(Line {
            indent: raw.len().saturating_sub(content.len()),
            content,
            raw,
        });
    }

    /// The mapping or sequence that begins on this line.
    fn block(&mut self, line: Line<'t>, depth: usize) -> Option<Value> {
        let depth = depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
        if is_item(line.content) {
            self.sequence(line.indent, depth)
        } else {
            self.mapping(line.indent, depth)
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut fields = Map::new();
        while let Some(line) = self.line
            && line.indent == indent
            && !is_item(line.content)
        {
            let (key, text) = split_key(line.content)?;
            self.advance();
            let value = match text {
                "" => self.below(indent, depth)?,
                "|" => self.literal(indent, "\n")?,
                "|-" => self.literal(indent, "")?,
                text => self.scalar(text, indent)?,
            };
            if fields.insert(key.to_owned(), value).is_some() {
                return None;
            }
        }
        Some(Value::Object(fields))
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some(line) = self.line
            && line.indent == indent
            && let Some(content) = line.content.strip_prefix("- ")
        {
            if split_key(content).is_some() {
                let inner = Line {
                    indent: indent.saturating_add(2),
                    content,
                    raw: line.raw,
                };
                self.line = Some(inner);
                items.push(self.block(inner, depth)?);
            } else {
                self.advance();
                items.push(scalar(content)?);
            }
        }
        Some(Value::Array(items))
    }

    /// The value of a key that stands on the lines below it. A sequence may be indented as little as its key.
    fn below(&mut self, indent: usize, depth: usize) -> Option<Value> {
        match self.line {
            Some(line) if line.indent > indent => self.block(line, depth),
            Some(line) if line.indent == indent && is_item(line.content) => self.block(line, depth),
            _ => Some(Value::Null),
        }
    }

    /// A literal block (YAML 1.2.2, section 8.1.2) that ends in this.
    fn literal(&mut self, indent: usize, end: &str) -> Option<Value> {
        let width = self.line?.indent;
        if width <= indent || self.line?.content.is_empty() {
            return None;
        }
        let mut text = String::new();
        while let Some(line) = self.line {
            if line.content.is_empty() && line.indent <= width {
                text.push('\n');
            } else if line.indent >= width && is_printable(line.content) && !line.content.is_empty()
            {
                text.push_str(line.raw.get(width..)?);
                text.push('\n');
            } else if line.indent >= width {
                return None;
            } else {
                break;
            }
            self.advance();
        }
        text.truncate(text.trim_end_matches('\n').len());
        text.push_str(end);
        Some(Value::String(text))
    }

    /// A scalar behind a key; one without quotes may go on on the next lines.
    fn scalar(&mut self, text: &str, indent: usize) -> Option<Value> {
        let goes_on = |line: Option<Line<'t>>| line.filter(|line| line.indent > indent);
        if goes_on(self.line).is_none() {
            return scalar(text);
        }
        let mut folded = Some(text).filter(|text| is_plain(text))?.to_owned();
        while let Some(line) = goes_on(self.line) {
            folded.push(' ');
            folded.push_str(Some(line.content).filter(|text| is_plain(text))?);
            self.advance();
        }
        resolve(&folded)
    }
}

fn is_item(content: &str) -> bool {
    content.starts_with("- ") || content == "-"
}

/// A key and what follows it on its line.
fn split_key(content: &str) -> Option<(&str, &str)> {
    let (key, text) = match content.split_once(": ") {
        Some(parts) => parts,
        None => (content.strip_suffix(':')?, ""),
    };
    let begins = key.starts_with(|first: char| first.is_ascii_alphabetic()) || key == ".";
    let plain = begins
        && key.len() <= MAX_KEY
        && key.bytes().all(|byte| byte.is_ascii_graphic())
        && word(key).is_none();
    // With a blank, a line ends or a value begins in another way than kubectl's.
    let value = !text.starts_with(' ') && (!text.is_empty() || content.ends_with(':'));
    (plain && value).then_some((key, text))
}

fn scalar(text: &str) -> Option<Value> {
    match text {
        "{}" => return Some(Value::Object(Map::new())),
        "[]" => return Some(Value::Array(Vec::new())),
        _ => {}
    }
    if let Some(inner) = between(text, '"') {
        let simple = is_printable(inner) && !inner.contains(['"', '\\']);
        return simple.then(|| Value::String(inner.to_owned()));
    }
    if let Some(inner) = between(text, '\'') {
        let single = inner.replace("''", "");
        let simple = is_printable(inner) && !single.contains('\'');
        return simple.then(|| Value::String(inner.replace("''", "'")));
    }
    Some(text).filter(|text| is_plain(text)).and_then(resolve)
}

fn between(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether this is a scalar without quotes and nothing else (YAML 1.2.2, section 7.3.3).
fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || "/(_".contains(first))
        && is_printable(text)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// What a scalar without quotes means (YAML 1.2.2, section 10.3.2).
fn resolve(text: &str) -> Option<Value> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let simple = text.len() <= MAX_DIGITS && (text == "0" || !text.starts_with('0'));
        return text.parse::<u64>().ok().filter(|_| simple).map(Value::from);
    }
    match word(text) {
        Some(value) => value,
        None => (!could_be_number(text)).then(|| Value::String(text.to_owned())),
    }
}

/// The words that are no text, in any spelling, to any reader of YAML; and their value where all readers agree on it.
fn word(text: &str) -> Option<Option<Value>> {
    match text {
        "false" => return Some(Some(Value::Bool(false))),
        "null" => return Some(Some(Value::Null)),
        "true" => return Some(Some(Value::Bool(true))),
        _ => {}
    }
    let words = [
        "false", "inf", "infinity", "n", "nan", "no", "null", "off", "on", "true", "y", "yes",
    ];
    words
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
        .then_some(None)
}

/// Whether a reader of YAML could take this for a number or a time of day. IP addresses, dates and UUIDs are none.
fn could_be_number(text: &str) -> bool {
    let count = |wanted: u8| text.bytes().filter(|byte| *byte == wanted).count();
    text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || b"xXoO_+-.:".contains(&byte))
        && count(b'.') < 2
        && count(b'-') < 2
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
