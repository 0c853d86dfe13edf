//! A host of an inventory, and the machine that it is.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{ADDRESSES, ALL, NODE_ADDRESSES, UNGROUPED, VAULT_HEADER, Variables};
use crate::cli::expect::draft::{Draft, Given, Wrong};

/// A host, as all places together describe it.
#[derive(Debug)]
pub(super) struct Host {
    name: Given,
    number: usize,
    groups: BTreeSet<String>,
    variables: BTreeMap<&'static str, Vec<Given>>,
    contradictions: Vec<Wrong>,
}

impl Host {
    /// A host of which only the name is known, and how many there were before.
    pub(super) fn new(name: Given, number: usize) -> Self {
        Self {
            name,
            number,
            groups: BTreeSet::new(),
            variables: BTreeMap::new(),
            contradictions: Vec::new(),
        }
    }

    /// Takes in that it stands in a group, and what is said of it there. Of places that say the same, the first counts.
    pub(super) fn add(&mut self, group: &str, variables: &Variables) {
        self.groups.insert(group.to_owned());
        for (variable, values) in variables {
            let Some(value) = values.iter().find(|value| !value.is_empty()) else {
                continue;
            };
            let entry = match self.variables.entry(variable) {
                Entry::Vacant(entry) => {
                    entry.insert(values.clone());
                    continue;
                }
                Entry::Occupied(entry) => entry,
            };
            let (now, before) = (joined(values), joined(entry.get()));
            if now != before {
                let first = entry.get().first().map_or("", Given::place);
                let message = format!("{now:?} of {}, but {before:?} in {first}", self.name.text());
                self.contradictions.push(value.wrong(variable, message));
            }
        }
    }

    /// How many hosts there were before.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The groups in which it stands itself, but for the two that say nothing about it.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().map(String::as_str);
        groups.filter(|group| ![ALL, UNGROUPED].contains(group))
    }

    /// The machine that it is.
    pub(super) fn machine(&self) -> Draft {
        let mut wrong = self.contradictions.clone();
        let mut values = |variable: &'static str| -> Vec<Given> {
            let values = self.variables.get(variable).into_iter().flatten();
            let values = values.map(|value| value.clone().called(variable));
            values.filter(|value| is_plain(value, &mut wrong)).collect()
        };
        let others = values(ADDRESSES);
        let mut value = |variable| values(variable).into_iter().next();
        let draft = Draft {
            node_name: value("rollcall_node_name"),
            provider_id: value("rollcall_provider_id"),
            join_by: value("rollcall_join_by"),
            join_key: value("rollcall_join_key"),
            pool: value("rollcall_pool").or_else(|| self.only_group()),
            ..Draft::named(value("rollcall_name").unwrap_or_else(|| self.name.clone()))
        };
        let reached_by = value("ansible_host");
        let node_name = draft.node_name.as_ref().unwrap_or(&draft.name).text();
        if node_name == "localhost" {
            let message =
                "this is the machine that Ansible runs on; choose groups without it (--group)";
            wrong.push(self.name.wrong("name", message.to_owned()));
        }
        let name_as_address = self.name.text().parse::<IpAddr>().is_ok();
        let name_as_address = name_as_address.then(|| self.name.clone());
        let reached_by = reached_by.filter(|address| address.text() != node_name);
        let addresses = name_as_address.into_iter().chain(reached_by);
        let addresses = addresses.chain(self.node_addresses());
        let mut addresses: Vec<Given> = addresses.chain(others.iter().flat_map(words)).collect();
        // Several variables say the same address where a machine has one.
        let mut seen = BTreeSet::new();
        addresses.retain(|address| seen.insert(address.text().to_owned()));
        Draft {
            addresses,
            wrong,
            ..draft
        }
    }

    /// The addresses that the variables of others say.
    fn node_addresses(&self) -> impl Iterator<Item = Given> {
        let values = NODE_ADDRESSES.into_iter().filter_map(|variable| {
            let value = self.variables.get(variable)?.first()?;
            value.text().parse::<IpAddr>().ok()?;
            Some(value.clone().called(variable))
        });
        values.collect::<Vec<_>>().into_iter()
    }

    /// The group that says what machines it is like, if there is one.
    fn only_group(&self) -> Option<Given> {
        let mut groups = self.groups();
        let group = groups.next().filter(|_| groups.next().is_none())?;
        Some(Given::at(self.name.place(), group))
    }
}

/// Whether a value says what it means, and not how Ansible would work that out.
fn is_plain(value: &Given, wrong: &mut Vec<Wrong>) -> bool {
    let text = value.text();
    let message = if text.starts_with(VAULT_HEADER) {
        "this value is encrypted with Ansible Vault; write it as it is"
    } else if ["{{", "{%"].iter().any(|mark| text.contains(mark)) {
        "this value is a template, which is for Ansible to fill in; write what becomes of it"
    } else {
        return true;
    };
    wrong.push(value.wrong("value", message.to_owned()));
    false
}

/// The texts of a value: several stand apart by blanks, or as a list in brackets.
fn words(value: &Given) -> Vec<Given> {
    let text = value.text();
    let list = text.starts_with('[').then(|| serde_saphyr::from_str(text));
    let texts: Vec<String> = match list {
        Some(Ok(list)) => list,
        _ => text.split_whitespace().map(str::to_owned).collect(),
    };
    texts.iter().map(|text| value.saying(text)).collect()
}

fn joined(values: &[Given]) -> String {
    let words = values.iter().flat_map(words);
    let words: Vec<String> = words.map(|word| word.text().to_owned()).collect();
    words.join(" ")
}
