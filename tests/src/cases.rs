//! The cases of `tests/cases/explain`: objects, and the decisions for the requests among them.
//! `approver/tests/cli_explain.rs` runs `explain` on all of them; this module reads what other readers of a dump need.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// True if a running approver decides the same; then the default configuration applies, and no other live case
    /// shares an object, a node name or an address with this one.
    pub live: bool,
    /// The decisions, in the order of the requests in the dump.
    pub answers: Vec<Answer>,
    /// All objects of the dump.
    pub objects: Vec<Value>,
}

/// The decision for one request.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// The request's name.
    pub csr: String,
    /// `approve`, `hold`, `deny` or `ignore`.
    pub verdict: String,
    /// The main reason.
    pub reason: String,
}

/// The fields of `case.json` that are read here.
#[derive(Deserialize)]
struct File {
    from: Vec<PathBuf>,
    #[serde(default)]
    live: bool,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    output: Vec<Answer>,
}

impl Case {
    /// The objects of a kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(move |object| object.get("kind").and_then(Value::as_str) == Some(kind))
    }

    /// The request of an answer; of several, the one that counts.
    pub fn request(&self, answer: &Answer) -> Option<&Value> {
        self.of_kind("CertificateSigningRequest")
            .filter(|request| text(request, "/metadata/name") == answer.csr)
            .last()
    }
}

/// The text at a JSON pointer, or the empty string.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field of an object's spec, null if missing.
pub fn spec(object: &Value, field: &str) -> Value {
    let field = object.get("spec").and_then(|spec| spec.get(field));
    field.cloned().unwrap_or_default()
}

/// The folder of the cases.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/explain")
}

/// Loads all cases with a completely readable dump: the others test the reading.
///
/// # Errors
/// If a case itself cannot be read, or a live one violates [`Case::live`].
pub fn load() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder()).context("cannot list the cases")? {
        let path = entry?.path();
        let case = read(&path).with_context(|| format!("the case {}", path.display()))?;
        cases.extend(case);
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}

fn read(path: &Path) -> Result<Option<Case>> {
    let file: File = serde_json::from_slice(&std::fs::read(path.join("case.json"))?)?;
    ensure!(
        !file.live || file.args.is_empty(),
        "a live case has the default configuration"
    );
    let mut objects = Vec::new();
    for from in &file.from {
        // The case is about a dump that is a folder, is missing or is not YAML.
        let Ok(text) = std::fs::read_to_string(path.join(from)) else {
            return Ok(None);
        };
        let Ok(documents) = serde_saphyr::from_multiple::<Value>(&text) else {
            return Ok(None);
        };
        documents
            .into_iter()
            .for_each(|document| flatten(document, &mut objects));
    }
    let name = path.file_name().unwrap_or_default();
    Ok(Some(Case {
        name: name.to_string_lossy().into_owned(),
        live: file.live,
        answers: file.output,
        objects,
    }))
}

/// Flattens Lists.
fn flatten(document: Value, objects: &mut Vec<Value>) {
    let items = document.get("items").and_then(Value::as_array);
    match items.cloned() {
        Some(items) => items.into_iter().for_each(|item| flatten(item, objects)),
        None => objects.push(document),
    }
}
