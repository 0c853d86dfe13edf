//! Texts to objects: YAML or JSON, any number of documents, Lists in Lists. What a document means is not known here.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::input::Text;
use super::parallel;

/// Where an object stands.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    file: Arc<str>,
    /// The number of the document, from 1.
    document: usize,
    /// The line on which the document begins, from 1.
    line: usize,
    /// The place in each List around it, from 1.
    items: Vec<usize>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            document,
            line,
            items,
        } = self;
        write!(f, "{file}: document {document} (from line {line})")?;
        items.iter().try_for_each(|item| write!(f, ", item {item}"))
    }
}

/// An object of whatever kind.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) origin: Origin,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) value: Value,
}

/// Everything that was found in the texts.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    /// What could not be read, each a sentence with its place.
    pub(super) broken: Vec<String>,
    /// The documents that are no objects.
    pub(super) strangers: usize,
    /// The files that were named and hold nothing of use.
    pub(super) useless: Vec<Arc<str>>,
}

/// Reads all documents of all texts.
pub(super) fn parse(texts: Vec<Text>) -> Found {
    let mut found = Found::default();
    for text in texts {
        let objects_before = found.objects.len();
        let mut lists = 0;
        for (origin, parsed) in parse_text(&text) {
            match parsed {
                Ok(value) => collect(origin, value, None, &mut found, &mut lists),
                Err(message) => found.broken.push(format!("{origin}: {message}")),
            }
        }
        if text.named && lists == 0 && found.objects.len() == objects_before {
            found.useless.push(text.name);
        }
    }
    found
}

type Parsed = (Origin, Result<Value, String>);

/// JSON when it looks like JSON and is, else YAML.
fn parse_text(text: &Text) -> Vec<Parsed> {
    let json = text.content.trim_start().starts_with(['{', '[']);
    if !json {
        return parse_yaml(text);
    }
    let documents = parse_json(text);
    let broken = documents.iter().any(|(_, parsed)| parsed.is_err());
    // YAML can begin with a brace too.
    if broken && !text.name.ends_with(".json") {
        let yaml = parse_yaml(text);
        if yaml.iter().all(|(_, parsed)| parsed.is_ok()) {
            return yaml;
        }
    }
    documents
}

fn parse_json(text: &Text) -> Vec<Parsed> {
    let content = text.content.as_str();
    let mut stream = serde_json::Deserializer::from_str(content).into_iter::<Value>();
    let mut documents = Vec::new();
    let (mut line, mut counted) = (1_usize, 0);
    loop {
        let rest = content.get(stream.byte_offset()..).unwrap_or_default();
        let start = content.len().saturating_sub(rest.trim_start().len());
        line = line.saturating_add(lines(content.get(counted..start).unwrap_or_default()));
        counted = start;
        let Some(parsed) = stream.next() else {
            return documents;
        };
        let origin = Origin {
            file: Arc::clone(&text.name),
            document: documents.len().saturating_add(1),
            line,
            items: Vec::new(),
        };
        let failed = parsed.is_err();
        let parsed = parsed.map_err(|error| format!("this is not JSON: {error}"));
        documents.push((origin, parsed));
        // After a syntax error nobody knows where the next document begins.
        if failed {
            return documents;
        }
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn parse_yaml(text: &Text) -> Vec<Parsed> {
    let documents = split_yaml(text);
    parallel::map(documents, |(origin, document)| {
        let parsed = from_yaml(document, origin.line);
        (origin, parsed)
    })
}

/// Cuts a text where a document begins or ends. A line that begins with `---` or `...` and a blank can stand nowhere
/// else (YAML 1.2.2, section 9.1.2), so one broken document leaves the others whole.
fn split_yaml(text: &Text) -> Vec<(Origin, &str)> {
    let mut cuts = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1_usize, 0_usize);
    for (number, line) in text.content.split_inclusive('\n').enumerate() {
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
        .filter_map(|(line, range)| Some((line, text.content.get(range)?)))
        .filter(|(_, document)| document.lines().any(has_content))
        .enumerate()
        .map(|(index, (line, document))| {
            let origin = Origin {
                file: Arc::clone(&text.name),
                document: index.saturating_add(1),
                line,
                items: Vec::new(),
            };
            (origin, document)
        })
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
fn from_yaml(document: &str, first_line: usize) -> Result<Value, String> {
    // How large a dump may be is for its owner to say; what one alias may blow up to stays limited.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
        },
        leading_zero_numbers_as_strings: true,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(document, options).map_err(|error| {
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

/// Takes a document apart into objects. A List stands for its items, which may leave out what they are.
fn collect(
    origin: Origin,
    value: Value,
    list: Option<(&str, &str)>,
    found: &mut Found,
    lists: &mut usize,
) {
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::Array(items) => {
            return collect_items(&origin, items, list, found, lists);
        }
        Value::Null => return,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.strangers = found.strangers.saturating_add(1);
            return;
        }
    };
    let word = |field: &str, inherited: Option<&str>| {
        let own = fields.get(field).and_then(Value::as_str);
        own.or(inherited).unwrap_or_default().to_owned()
    };
    let api_version = word("apiVersion", list.map(|(version, _)| version));
    let kind = word("kind", list.map(|(_, kind)| kind));
    if kind.is_empty() || api_version.is_empty() {
        found.strangers = found.strangers.saturating_add(1);
        return;
    }
    if let Some(item_kind) = kind.strip_suffix("List")
        && let Some(items) = fields.get_mut("items").and_then(items_of)
    {
        *lists = lists.saturating_add(1);
        // The items of a plain List say themselves what they are.
        let inherited = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
        return collect_items(&origin, items, inherited, found, lists);
    }
    found.objects.push(Object {
        origin,
        api_version,
        kind,
        value: Value::Object(fields),
    });
}

/// The items of a List; a List without any may say `null`.
fn items_of(items: &mut Value) -> Option<Vec<Value>> {
    match items {
        Value::Array(items) => Some(std::mem::take(items)),
        Value::Null => Some(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::String(_) => None,
    }
}

fn collect_items(
    origin: &Origin,
    items: Vec<Value>,
    list: Option<(&str, &str)>,
    found: &mut Found,
    lists: &mut usize,
) {
    for (index, item) in items.into_iter().enumerate() {
        let mut origin = origin.clone();
        origin.items.push(index.saturating_add(1));
        collect(origin, item, list, found, lists);
    }
}
