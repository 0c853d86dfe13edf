//! Files of machines: CSV with a header, a YAML list, or Ansible inventories.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::draft::{Draft, Given, Wrong};
use super::inventory::{self, Inventory};
use crate::ExpectArgs;
use crate::cli::input::{self, InputError, Text};
use crate::cli::print::complain;
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
    drafts(input::read(paths)?, args)
}

/// Reads the machines of texts. What several inventories say belongs together, as it does for Ansible.
pub(super) fn drafts(texts: Vec<Text>, args: &ExpectArgs) -> Result<Vec<Draft>, InputError> {
    let mut drafts = Vec::new();
    let mut inventory = Inventory::default();
    let mut last_inventory = None;
    for text in texts {
        let Some(list) = list(&text, &mut inventory)? else {
            last_inventory = Some(text.name);
            continue;
        };
        if list.is_empty() {
            return Err(InputError::NoMachines(text.name));
        }
        if !args.groups.is_empty() {
            let message = "this is no Ansible inventory, and so --group chooses nothing in it";
            return Err(malformed(&text, message.to_owned()));
        }
        drafts.extend(list);
    }
    if let Some(name) = last_inventory {
        for warning in inventory.warnings() {
            complain("warning", &warning);
        }
        let hosts = inventory.machines(&args.groups)?;
        if hosts.is_empty() {
            let groups = args.groups.join(", ");
            let chosen = (!groups.is_empty()).then(|| format!("--group {groups}").into());
            return Err(InputError::NoMachines(chosen.unwrap_or(name)));
        }
        drafts.extend(hosts);
    }
    let with_defaults = |draft: Draft| draft.with_defaults(args);
    Ok(drafts.into_iter().map(with_defaults).collect())
}

fn malformed(text: &Text, message: String) -> InputError {
    let name = text.name.clone();
    InputError::Malformed { name, message }
}

/// Reads a list of machines; or an inventory, which is more than that.
fn list(text: &Text, inventory: &mut Inventory) -> Result<Option<Vec<Draft>>, InputError> {
    let malformed = |message| malformed(text, message);
    if text.content.starts_with(inventory::VAULT_HEADER) {
        let message = "this file is encrypted; hand in what ansible-vault view FILE writes";
        return Err(malformed(message.to_owned()));
    }
    if text.name.ends_with(".csv") || looks_like_csv(&text.content) {
        return csv(text).map(Some).map_err(malformed);
    }
    if inventory::ini::is(text) {
        inventory::ini::read(text, inventory).map_err(Wrong::fatal)?;
        return Ok(None);
    }
    match typed(&text.content).map_err(|error| malformed(error.to_string()))? {
        Document::Inventory(root) => {
            root.add(&text.name, inventory).map_err(Wrong::fatal)?;
            Ok(None)
        }
        Document::List(entries) => {
            let entries = entries.into_iter();
            Ok(Some(entries.map(|entry| entry.draft(text)).collect()))
        }
    }
}

/// Standard input has no name to tell by: a header of columns we know is one of CSV.
fn looks_like_csv(content: &str) -> bool {
    let header = content.lines().next().unwrap_or_default();
    let mut columns = header.split(',').map(str::trim);
    columns.all(|column| COLUMNS.contains(&column))
}

/// Reads CSV. Several addresses stand in one field, apart by blanks.
fn csv(text: &Text) -> Result<Vec<Draft>, String> {
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

/// A file in YAML.
enum Document {
    Inventory(inventory::yaml::Root),
    List(Vec<Entry>),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of machines, or an Ansible inventory (in INI, with a name in .ini)",
                )
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Document::List(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Document::List(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                inventory::yaml::Root::read(map).map(Document::Inventory)
            }
        }

        deserializer.deserialize_any(Visit)
    }
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

impl Entry {
    fn draft(self, text: &Text) -> Draft {
        let given = |spanned: Spanned<String>| {
            let place = format!("{}:{}", text.name, spanned.referenced.line());
            Given::at(&place, &spanned.value)
        };
        Draft {
            node_name: self.node_name.map(given),
            addresses: self.addresses.into_iter().map(given).collect(),
            provider_id: self.provider_id.map(given),
            join_by: self.join_by.map(given),
            join_key: self.join_key.map(given),
            pool: self.pool.map(given),
            ..Draft::named(given(self.name))
        }
    }
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
