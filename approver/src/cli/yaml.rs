//! YAML to values: where documents begin, and how a large List is read on every processor.

mod general;
mod plain;

use serde_json::{Map, Value};

use super::parallel;

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

/// Reads one document that begins on this line of its file.
pub(super) fn parse(document: &str, first_line: usize) -> Result<Value, String> {
    if let Some(list) = parse_list(document) {
        return Ok(list);
    }
    parse_part(document).map_err(|error| {
        let message = format!("this is not YAML: {error}");
        let Some(location) = error.location() else {
            return message;
        };
        // The parser counts from the begin of the document, a person from that of the file.
        let before = u64::try_from(first_line.saturating_sub(1)).unwrap_or(0);
        let line = location.line().saturating_add(before);
        let told = format!("line {},", location.line());
        message.replacen(&told, &format!("line {line},"), 1)
    })
}

/// Reads a text in the quick way, where that is possible.
fn parse_part(text: &str) -> Result<Value, serde_saphyr::Error> {
    let block = text.strip_prefix("---\n").unwrap_or(text);
    plain::read(block).map_or_else(|| general::read(text), Ok)
}

/// Reads a List as kubectl writes it, its items side by side: they are most of a dump, and reading YAML is slow. Nothing
/// when the document is another, or when any part does not stand for itself: then it has to be read as a whole.
fn parse_list(document: &str) -> Option<Value> {
    let (before, after, items) = cut_list(document)?;
    // Were the items text inside something that begins before them, this would break off.
    general::read(before).ok()?;
    let around = [before, after].concat();
    let mut list: Map<String, Value> = match general::read(&around) {
        Ok(Value::Object(fields)) if !fields.contains_key("items") => fields,
        _ => return None,
    };
    let mut all = Vec::new();
    for part in parallel::map(items, parse_part) {
        match part {
            Ok(Value::Array(items)) => all.extend(items),
            _ => return None,
        }
    }
    list.insert("items".to_owned(), Value::Array(all));
    Some(Value::Object(list))
}

/// What stands before and after the items of a List, and the items. Items begin with a dash in the first column.
fn cut_list(document: &str) -> Option<(&str, &str, Vec<&str>)> {
    let mut lines = document.split_inclusive('\n');
    let (mut before, mut offset) = (0_usize, 0_usize);
    for line in lines.by_ref() {
        offset = offset.saturating_add(line.len());
        if line.trim_end() == "items:" {
            break;
        }
        before = offset;
    }
    let (mut items, mut start) = (Vec::new(), offset);
    for line in lines {
        let is_item = line.starts_with("- ");
        if !is_item && !line.starts_with([' ', '\n']) {
            break;
        }
        if is_item && start < offset {
            items.push(document.get(start..offset)?);
            start = offset;
        }
        offset = offset.saturating_add(line.len());
    }
    items.push(document.get(start..offset)?);
    if items.len() < 2 {
        return None;
    }
    Some((document.get(..before)?, document.get(offset..)?, items))
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
                assert_eq!(parse(&text, 1), Ok(whole), "{text}");
            }
        }
        let plain = list(|number| format!("kind: {number}"), 1000);
        assert!(parse_list(&plain).is_some());
    }

    #[test]
    fn what_does_not_stand_for_itself_is_read_as_a_whole() {
        let alias = |number| match number {
            0 => "a: &a 1".to_owned(),
            _ => "a: *a".to_owned(),
        };
        let text = list(alias, 200);
        assert!(parse_list(&text).is_none());
        let value = parse(&text, 1).unwrap();
        assert_eq!(value.pointer("/items/199/a"), Some(&Value::from(1)));
        let broken = list(|number| format!("a: [{number}"), 200);
        let error = parse(&broken, 11).unwrap_err();
        assert!(error.contains("at line 1"), "{error}");
    }

    #[test]
    fn documents_end_at_markers_only() {
        let text = "# c\na: 1\n--- \nb: |\n  ---\n...\n\n---\n---\nc: 3 --- 4\n";
        let lines: Vec<(usize, Value)> = split(text)
            .into_iter()
            .map(|(line, document)| (line, parse(document, line).unwrap()))
            .collect();
        let expected = [
            (1, serde_json::json!({"a": 1})),
            (3, serde_json::json!({"b": "---\n"})),
            (9, serde_json::json!({"c": "3 --- 4"})),
        ];
        assert_eq!(lines, expected);
    }
}
