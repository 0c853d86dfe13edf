//! Files of machines: CSV with a header, or a YAML list.

use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::draft::{Draft, Given};
use crate::ExpectArgs;
use crate::cli::input::{self, InputError, Text};
use crate::cli::yaml::typed;

/// The columns of a CSV file, in the order in which they are told.
const COLUMNS: [&str; 7] = [
    "name",
    "nodeName",
    "addresses",
    "providerID",
    "joinBy",
    "joinKey",
    "pool",
];

/// Reads the machines of every file.
///
/// # Errors
/// If a file cannot be read or is not what it should be.
pub(super) fn read(paths: &[PathBuf], args: &ExpectArgs) -> Result<Vec<Draft>, InputError> {
    let mut drafts = Vec::new();
    for text in input::read(paths)? {
        let read = if text.name.ends_with(".csv") || looks_like_csv(&text.content) {
            csv(&text)
        } else {
            yaml(&text)
        };
        let read = read.map_err(|message| InputError::Malformed {
            name: text.name.clone(),
            message,
        })?;
        if read.is_empty() {
            return Err(InputError::NoMachines(text.name));
        }
        drafts.extend(read.into_iter().map(|draft| draft.with_defaults(args)));
    }
    Ok(drafts)
}

/// Standard input has no name to tell by: a header of columns we know is one of CSV.
fn looks_like_csv(content: &str) -> bool {
    let header = content.lines().next().unwrap_or_default();
    let mut columns = header.split(',').map(str::trim);
    columns.all(|column| COLUMNS.contains(&column))
}

/// Reads CSV. Several addresses stand in one field, apart by blanks.
pub(super) fn csv(text: &Text) -> Result<Vec<Draft>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.content.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    for (index, column) in header.iter().enumerate() {
        if !COLUMNS.contains(&column) {
            return Err(format!(
                "the header has a column {column:?}; there are {}",
                COLUMNS.join(", ")
            ));
        }
        if header.iter().take(index).any(|before| before == column) {
            return Err(format!("the header has the column {column} twice"));
        }
    }
    if header.iter().all(|column| column != "name") {
        return Err("the header has no column name".to_owned());
    }
    let mut drafts = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| csv_error(&error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("{}:{line}", text.name);
        let field = |column: &str| {
            let index = header.iter().position(|known| known == column)?;
            Some(Given::at(&place, record.get(index)?))
        };
        let addresses = header
            .iter()
            .position(|known| known == "addresses")
            .and_then(|index| record.get(index))
            .unwrap_or_default();
        drafts.push(Draft {
            node_name: field("nodeName"),
            addresses: addresses
                .split_whitespace()
                .map(|address| Given::at(&place, address))
                .collect(),
            provider_id: field("providerID"),
            join_by: field("joinBy"),
            join_key: field("joinKey"),
            pool: field("pool"),
            ..Draft::named(field("name").unwrap_or_else(|| Given::at(&place, "")))
        });
    }
    Ok(drafts)
}

fn csv_error(error: &csv::Error) -> String {
    if let csv::ErrorKind::UnequalLengths {
        pos: Some(position),
        expected_len,
        len,
    } = error.kind()
    {
        let line = position.line();
        return format!("line {line} has {len} fields, but the header has {expected_len}");
    }
    error.to_string()
}

/// One entry of a YAML list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    node_name: Option<Spanned<String>>,
    #[serde(default)]
    addresses: Vec<Spanned<String>>,
    #[serde(rename = "providerID")]
    provider_id: Option<Spanned<String>>,
    join_by: Option<Spanned<String>>,
    join_key: Option<Spanned<String>>,
    pool: Option<Spanned<String>>,
}

/// Reads a YAML list.
pub(super) fn yaml(text: &Text) -> Result<Vec<Draft>, String> {
    let entries: Option<Vec<Entry>> = typed(&text.content).map_err(|error| error.to_string())?;
    let given = |spanned: Spanned<String>| {
        let place = format!("{}:{}", text.name, spanned.referenced.line());
        Given::at(&place, &spanned.value)
    };
    let draft = |entry: Entry| Draft {
        node_name: entry.node_name.map(given),
        addresses: entry.addresses.into_iter().map(given).collect(),
        provider_id: entry.provider_id.map(given),
        join_by: entry.join_by.map(given),
        join_key: entry.join_key.map(given),
        pool: entry.pool.map(given),
        ..Draft::named(given(entry.name))
    };
    Ok(entries.unwrap_or_default().into_iter().map(draft).collect())
}

/// A text as if it had been read from a file of this name.
#[cfg(test)]
pub(super) fn text(name: &str, content: &str) -> Text {
    Text {
        name: name.into(),
        content: content.to_owned(),
        named: true,
    }
}
