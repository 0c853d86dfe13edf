//! Texts to objects: YAML or JSON, any number of documents, Lists in Lists. What a document means is not known here.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::input::Text;
use super::yaml::Read;
use super::{parallel, yaml};

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
        for (origin, Read { value, broken }) in parse_text(&text) {
            for (item, message) in broken {
                let mut origin = origin.clone();
                origin.items.extend(item);
                found.broken.push(format!("{origin}: {message}"));
            }
            collect(origin, value, None, &mut found, &mut lists);
        }
        if text.named && lists == 0 && found.objects.len() == objects_before {
            found.useless.push(text.name);
        }
    }
    found
}

type Parsed = (Origin, Read);

/// JSON when it looks like JSON and is, else YAML.
fn parse_text(text: &Text) -> Vec<Parsed> {
    let json = text.content.trim_start().starts_with(['{', '[']);
    if !json {
        return parse_yaml(text);
    }
    let documents = parse_json(text);
    let broken = documents.iter().any(|(_, read)| !read.broken.is_empty());
    // YAML can begin with a brace too.
    if broken && !text.name.ends_with(".json") {
        let yaml = parse_yaml(text);
        if yaml.iter().all(|(_, read)| read.broken.is_empty()) {
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
        match parsed {
            Ok(value) => documents.push((origin, Read::good(value))),
            // After a syntax error nobody knows where the next document begins.
            Err(error) => {
                let message = format!("this is not JSON: {error}");
                documents.push((origin, Read::bad(message)));
                return documents;
            }
        }
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn parse_yaml(text: &Text) -> Vec<Parsed> {
    let documents = yaml::split(&text.content).into_iter().enumerate();
    let documents = documents.map(|(index, (line, document))| {
        let origin = Origin {
            file: Arc::clone(&text.name),
            document: index.saturating_add(1),
            line,
            items: Vec::new(),
        };
        (origin, document)
    });
    parallel::map(documents.collect(), |(origin, document)| {
        let read = yaml::read(document, origin.line);
        (origin, read)
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
