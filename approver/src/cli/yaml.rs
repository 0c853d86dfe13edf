//! YAML to values and back: where documents begin, and how a large List is read on every processor.

mod general;
mod plain;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::parallel;

/// What aliases may stand for in a text that is read as a type of ours, in events of the parser. ansible-inventory writes an
/// alias for every variable that hosts share: 60 lists of ten values at 10,000 hosts are 13 million.
const MAX_TYPED_ALIASED: usize = 20_000_000;
/// How deep such a text may be. Types take more of the stack than values do: in a debug build, 58 levels fill 2 MiB, which
/// is what Rust gives a thread.
const MAX_TYPED_DEPTH: usize = 48;

/// Writes a value in block style, each text on one line: what is base64 must not be folded.
pub(super) fn write<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(value, options)?;
    Ok(format!("{}\n", text.trim_end()))
}

/// Cuts a text where a document begins or ends, each with its first line. A line that begins with `---` or `...` and a
/// blank can stand nowhere else (YAML 1.2.2, section 9.1.2), so one broken document leaves the others whole.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut cuts = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1_usize, 0_usize);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let after = offset.saturating_add(line.len());
        if is_marker(line, "---") {
            cuts.push((first_line, start..offset));
            (start, first_line) = (offset, number.saturating_add(1));
        } else if is_marker(line, "...") {
            cuts.push((first_line, start..offset));
            (start, first_line) = (after, number.saturating_add(2));
        }
        offset = after;
    }
    cuts.push((first_line, start..offset));
    cuts.into_iter()
        .filter_map(|(line, range)| Some((line, text.get(range)?)))
        .filter(|(_, document)| document.lines().any(has_content))
        .collect()
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line is more than a comment, a directive or the begin of a document.
fn has_content(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with('%')
}

/// A document, as far as it could be read.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    /// What is in it. Items of a List that could not be read are null.
    pub(super) value: Value,
    /// What is wrong with it: with an item of its List, by its place from 1, or with all of it.
    pub(super) broken: Vec<(Option<usize>, String)>,
}

impl Read {
    /// All of a document.
    pub(super) fn good(value: Value) -> Self {
        Self {
            value,
            broken: Vec::new(),
        }
    }

    /// None of a document, and why.
    pub(super) fn bad(message: String) -> Self {
        Self {
            value: Value::Null,
            broken: vec![(None, message)],
        }
    }
}

/// Reads one document that begins on this line of its file. The items of a List are read side by side: they are most of a
/// dump. Where one of them is broken, the others count all the same.
pub(super) fn read(document: &str, first_line: usize) -> Read {
    let Some(list) = List::cut(document) else {
        return whole(document, first_line);
    };
    let items = parallel::map(list.items.clone(), |item| parse(item.text));
    // What does not stand for itself, such as an alias of what an earlier item names, may be well as a whole.
    if items.iter().any(Result::is_err)
        && let Ok(value) = parse(document)
    {
        return Read::good(value);
    }
    list.join(items, first_line)
        .unwrap_or_else(|| whole(document, first_line))
}

/// Reads all of a text as what it should be.
///
/// # Errors
/// If it is no YAML, or something else.
pub(super) fn typed<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let mut options = general::options();
    options.alias_limits.max_total_replayed_events = MAX_TYPED_ALIASED;
    if let Some(budget) = &mut options.budget {
        budget.max_aliases = usize::MAX;
        budget.max_depth = MAX_TYPED_DEPTH;
    }
    serde_saphyr::from_str_with_options(text, options)
}

fn whole(document: &str, first_line: usize) -> Read {
    match parse(document) {
        Ok(value) => Read::good(value),
        Err(error) => Read::bad(describe(&error, first_line)),
    }
}

/// Reads a text in the quick way, where that is possible.
fn parse(text: &str) -> Result<Value, serde_saphyr::Error> {
    let block = text.strip_prefix("---\n").unwrap_or(text);
    plain::read(block).map_or_else(|| general::read(text), Ok)
}

/// What is wrong with a text that begins on this line of its file.
fn describe(error: &serde_saphyr::Error, first_line: usize) -> String {
    let message = format!("this is not YAML: {error}");
    let Some(location) = error.location() else {
        return message;
    };
    // The parser counts from the begin of the text, a person from that of the file.
    let before = u64::try_from(first_line.saturating_sub(1)).unwrap_or(0);
    let line = location.line().saturating_add(before);
    let told = format!("line {},", location.line());
    message.replacen(&told, &format!("line {line},"), 1)
}

/// A List in the block style of kubectl, cut into its items. They begin with a dash in the first column, where nothing
/// inside of an item can stand (YAML 1.2.2, section 6.1).
struct List<'t> {
    before: &'t str,
    items: Vec<Item<'t>>,
    after: &'t str,
}

#[derive(Clone, Copy)]
struct Item<'t> {
    text: &'t str,
    /// The line of the document on which it begins, from 0.
    line: usize,
}

impl<'t> List<'t> {
    /// Nothing when a document is no such List, or one of a single item.
    fn cut(document: &'t str) -> Option<Self> {
        let mut lines = document.split_inclusive('\n').enumerate();
        let (mut before, mut offset) = (0_usize, 0_usize);
        for (_, line) in lines.by_ref() {
            offset = offset.saturating_add(line.len());
            if line.trim_end() == "items:" {
                break;
            }
            before = offset;
        }
        let (mut items, mut start, mut first) = (Vec::new(), offset, 0);
        for (number, line) in lines {
            let is_item = line.starts_with("- ");
            if !is_item && !line.starts_with([' ', '\n']) {
                break;
            }
            if is_item {
                if start < offset {
                    let text = document.get(start..offset)?;
                    items.push(Item { text, line: first });
                }
                (start, first) = (offset, number);
            }
            offset = offset.saturating_add(line.len());
        }
        let text = document.get(start..offset)?;
        items.push(Item { text, line: first });
        (items.len() > 1).then_some(Self {
            before: document.get(..before)?,
            items,
            after: document.get(offset..)?,
        })
    }

    /// The List of those of its items that could be read. Nothing when what stands around them is not as it should be.
    fn join(
        &self,
        items: Vec<Result<Value, serde_saphyr::Error>>,
        first_line: usize,
    ) -> Option<Read> {
        // Were the items text inside something that begins before them, this would break off.
        general::read(self.before).ok()?;
        let around = [self.before, self.after].concat();
        let mut fields: Map<String, Value> = match general::read(&around) {
            Ok(Value::Object(fields)) if !fields.contains_key("items") => fields,
            _ => return None,
        };
        let (mut all, mut broken) = (Vec::new(), Vec::new());
        for (item, value) in self.items.iter().zip(items) {
            match value {
                Ok(Value::Array(values)) => all.extend(values),
                Ok(_) => return None,
                Err(error) => {
                    all.push(Value::Null);
                    let begins = first_line.saturating_add(item.line);
                    broken.push((Some(all.len()), describe(&error, begins)));
                }
            }
        }
        // What was cut off lacks the end, where kubectl says what it is.
        if !broken.is_empty() && !fields.contains_key("kind") {
            fields.insert("kind".to_owned(), Value::from("List"));
        }
        fields.insert("items".to_owned(), Value::Array(all));
        let value = Value::Object(fields);
        Some(Read { value, broken })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn list(item: impl Fn(usize) -> String, count: usize) -> String {
        let mut text = "apiVersion: v1\nitems:\n".to_owned();
        for number in 0..count {
            writeln!(text, "- {}", item(number)).unwrap();
        }
        text.push_str("kind: List\nmetadata: {resourceVersion: \"\"}\n");
        text
    }

    #[test]
    fn a_large_list_is_the_same_in_parts() {
        for count in [0, 1, 64, 65, 1000] {
            let plain = |number| format!("kind: Node\n  metadata:\n    name: worker-{number}");
            let block = |number| format!("a: |\n    - {number}\n    # no comment\n\n  b: 1");
            let quoted = |number| format!("a: \"{number}\n\n    - b\"");
            for text in [list(plain, count), list(block, count), list(quoted, count)] {
                let whole = general::read(&text).unwrap();
                assert_eq!(read(&text, 1), Read::good(whole), "{text}");
            }
        }
        let plain = list(|number| format!("kind: {number}"), 1000);
        assert_eq!(List::cut(&plain).unwrap().items.len(), 1000);
    }

    #[test]
    fn what_does_not_stand_for_itself_is_read_as_a_whole() {
        let alias = |number| match number {
            0 => "a: &a 1".to_owned(),
            _ => "a: *a".to_owned(),
        };
        let text = list(alias, 200);
        let Read { value, broken } = read(&text, 1);
        assert_eq!(value.pointer("/items/199/a"), Some(&Value::from(1)));
        assert_eq!(broken, []);
    }

    #[test]
    fn a_broken_item_leaves_the_others_whole() {
        let one = |number| match number {
            5 => "a: [5".to_owned(),
            _ => format!("a: {number}"),
        };
        // The items begin on line 13 of the file.
        let Read { value, broken } = read(&list(one, 200), 11);
        assert_eq!(value.pointer("/items/4/a"), Some(&Value::from(4)));
        assert_eq!(value.pointer("/items/5"), Some(&Value::Null));
        assert_eq!(value.pointer("/items/199/a"), Some(&Value::from(199)));
        let [(Some(6), message)] = broken.as_slice() else {
            panic!("{broken:?}");
        };
        assert!(message.contains("at line 18,"), "{message}");
        let cut_off = "apiVersion: v1\nitems:\n- a: 1\n- b: {";
        let Read { value, broken } = read(cut_off, 1);
        assert_eq!(value["kind"], "List");
        assert_eq!(value["items"], serde_json::json!([{"a": 1}, null]));
        assert_eq!(broken.len(), 1);
    }

    #[test]
    fn what_is_wrong_around_the_items_is_wrong_with_all_of_them() {
        for text in [
            "a: [\nitems:\n- a: 1\n- b: {\n",
            "items:\n- a: 1\n- b: {\nc: [\n",
        ] {
            let Read { value, broken } = read(text, 1);
            assert_eq!(value, Value::Null);
            assert!(matches!(broken.as_slice(), [(None, _)]), "{broken:?}");
        }
    }

    #[test]
    fn documents_end_at_markers_only() {
        let text = "# c\na: 1\n--- \nb: |\n  ---\n...\n\n---\n---\nc: 3 --- 4\n";
        let lines: Vec<(usize, Value)> = split(text)
            .into_iter()
            .map(|(line, document)| (line, read(document, line).value))
            .collect();
        let expected = [
            (1, serde_json::json!({"a": 1})),
            (3, serde_json::json!({"b": "---\n"})),
            (9, serde_json::json!({"c": "3 --- 4"})),
        ];
        assert_eq!(lines, expected);
    }
}
