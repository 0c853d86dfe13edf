//! An index of the first labels of all names in the records of Machines, so that similar names are found without
//! scanning every Machine.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_csr::NodeName;

use crate::near_miss::first_word;
use crate::{Address, Machine, MachineUid, Source};

/// The maximum number of Machines that one search returns: a message lists no more.
const MOST: usize = 8;

type Index = BTreeSet<(String, MachineUid)>;

/// The index of first labels.
#[derive(Debug, Default)]
pub(super) struct Labels {
    forward: Index,
    /// The same labels, reversed.
    backward: Index,
    /// Machines that own no name, though they could.
    nameless: BTreeSet<MachineUid>,
    /// The number of Machines of each source.
    sources: BTreeMap<Source, usize>,
}

impl Labels {
    /// Adds a Machine that owns these names.
    pub(super) fn put(&mut self, machine: &Machine, names: &BTreeSet<NodeName>) {
        for label in labels(machine, names) {
            let reversed: String = label.chars().rev().collect();
            self.backward.insert((reversed, machine.uid.clone()));
            self.forward.insert((label, machine.uid.clone()));
        }
        let count = self.sources.entry(machine.source).or_default();
        *count = count.saturating_add(1);
        if names.is_empty() && !machine.failed && !machine.deleting {
            self.nameless.insert(machine.uid.clone());
        }
    }

    /// Removes a Machine that owned these names.
    pub(super) fn remove(&mut self, machine: &Machine, names: &BTreeSet<NodeName>) {
        for label in labels(machine, names) {
            let reversed: String = label.chars().rev().collect();
            self.backward.remove(&(reversed, machine.uid.clone()));
            self.forward.remove(&(label, machine.uid.clone()));
        }
        self.nameless.remove(&machine.uid);
        if let Some(count) = self.sources.get_mut(&machine.source) {
            *count = count.saturating_sub(1);
        }
    }

    /// Returns true if there is any Machine of a source.
    pub(super) fn has(&self, source: Source) -> bool {
        self.sources.get(&source).is_some_and(|count| *count > 0)
    }

    /// Returns true if there is a Machine of another source.
    pub(super) fn has_another_than(&self, source: Source) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|(other, count)| *other != source && *count > 0)
    }

    /// The Machines with this label.
    pub(super) fn called(&self, label: &str) -> impl Iterator<Item = &MachineUid> + use<'_> {
        let label = label.to_owned();
        from(&self.forward, label.clone())
            .take_while(move |(known, _)| *known == label)
            .map(|(_, uid)| uid)
    }

    /// The Machines with a label that begins with this text.
    pub(super) fn beginning_with(
        &self,
        start: &str,
    ) -> impl Iterator<Item = &MachineUid> + use<'_> {
        from(&self.forward, start.to_owned()).map(|(_, uid)| uid)
    }

    /// The Machines with a label that ends with this text.
    pub(super) fn ending_in(&self, end: &str) -> impl Iterator<Item = &MachineUid> + use<'_> {
        from(&self.backward, end.chars().rev().collect()).map(|(_, uid)| uid)
    }

    /// The Machines without a name.
    pub(super) fn nameless(&self) -> impl Iterator<Item = &MachineUid> + use<'_> {
        self.nameless.iter().take(MOST)
    }
}

/// Some of the entries that begin with a text.
fn from(index: &Index, start: String) -> impl Iterator<Item = &(String, MachineUid)> + use<'_> {
    let first = (start, MachineUid(String::new()));
    let start = first.0.clone();
    index
        .range(first..)
        .take_while(move |(label, _)| label.starts_with(&start))
        .take(MOST)
}

fn labels(machine: &Machine, names: &BTreeSet<NodeName>) -> BTreeSet<String> {
    let dns = machine
        .addresses
        .iter()
        .filter_map(|address| match address {
            Address::ExternalDns(name) | Address::Hostname(name) | Address::InternalDns(name) => {
                Some(name)
            }
            Address::ExternalIp(_) | Address::InternalIp(_) => None,
        });
    let own = [machine.reference.name.as_str()].into_iter();
    let texts = names.iter().chain(dns).map(NodeName::as_str).chain(own);
    let unread = machine.unread_addresses.iter().map(String::as_str);
    let texts = texts.chain(machine.instance()).chain(unread);
    texts
        .map(first_word)
        .filter(|label| label.len() <= 63 && label.contains(|c: char| c.is_ascii_alphabetic()))
        .map(str::to_ascii_lowercase)
        .collect()
}
