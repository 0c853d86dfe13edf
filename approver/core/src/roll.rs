//! The roll: all Machine records, and which of them owns a node name.

mod labels;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use rollcall_csr::NodeName;

use self::labels::Labels;
use crate::{Machine, MachineReference, MachineUid, Naming, Scope, ServerName, Source};

/// Every known Machine, indexed by the node names it owns.
#[derive(Debug)]
pub struct Roll {
    naming: BTreeMap<Scope, Naming>,
    machines: HashMap<MachineUid, Machine>,
    owners: HashMap<NodeName, BTreeSet<MachineUid>>,
    bound: HashMap<NodeName, BTreeSet<MachineUid>>,
    reached_by: HashMap<ServerName, BTreeSet<MachineUid>>,
    instances: HashMap<String, BTreeSet<MachineUid>>,
    tokens: HashMap<String, BTreeSet<MachineUid>>,
    labels: Labels,
}

impl Roll {
    /// An empty roll. Machines own names as [`Naming::of`] their source says, unless something else is named for where
    /// they come from.
    pub fn new(naming: BTreeMap<Scope, Naming>) -> Self {
        Self {
            naming,
            machines: HashMap::new(),
            owners: HashMap::new(),
            bound: HashMap::new(),
            reached_by: HashMap::new(),
            instances: HashMap::new(),
            tokens: HashMap::new(),
            labels: Labels::default(),
        }
    }

    /// Puts a Machine on the roll or replaces what was known of it. Returns the names whose owner, or whose owner's
    /// facts, changed: none if nothing did. What one source says of a machine matters to the names that others give it.
    pub fn insert(&mut self, machine: Machine) -> BTreeSet<NodeName> {
        if self.machines.get(&machine.uid) == Some(&machine) {
            return BTreeSet::new();
        }
        let mut touched = self.remove(&machine.uid);
        touched.extend(self.names_around(&machine));
        let uid = &machine.uid;
        let names = self.names_of(&machine);
        self.labels.put(&machine, &names);
        for name in names {
            remember(&mut self.owners, name, uid);
        }
        for name in ServerName::of_machine(&machine) {
            remember(&mut self.reached_by, name, uid);
        }
        if let Some(id) = &machine.provider_id {
            remember(&mut self.instances, id.clone(), uid);
        }
        for token in &machine.bootstrap_tokens {
            remember(&mut self.tokens, token.clone(), uid);
        }
        if let Some(name) = &machine.node_reference {
            remember(&mut self.bound, name.clone(), uid);
        }
        self.machines.insert(uid.clone(), machine);
        touched
    }

    /// Takes a Machine off the roll. Returns the names whose owner, or whose owner's facts, changed.
    pub fn remove(&mut self, uid: &MachineUid) -> BTreeSet<NodeName> {
        let Some(machine) = self.machines.remove(uid) else {
            return BTreeSet::new();
        };
        let names = self.names_of(&machine);
        self.labels.remove(&machine, &names);
        for name in &names {
            forget(&mut self.owners, name, uid);
        }
        for name in ServerName::of_machine(&machine) {
            forget(&mut self.reached_by, &name, uid);
        }
        if let Some(id) = &machine.provider_id {
            forget(&mut self.instances, id, uid);
        }
        for token in &machine.bootstrap_tokens {
            forget(&mut self.tokens, token, uid);
        }
        if let Some(name) = &machine.node_reference {
            forget(&mut self.bound, name, uid);
        }
        self.names_around(&machine)
    }

    /// The names that a Machine owns or is bound to, by any record of it.
    pub(crate) fn names_around(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let records = self.mirrors(machine).into_iter().chain([machine]);
        records
            .flat_map(|record| {
                let bound = record.node_reference.clone();
                self.names_of(record).into_iter().chain(bound)
            })
            .collect()
    }

    /// The Machines that own a name, each by one of its records: one, when all is well.
    pub fn owners(&self, name: &NodeName) -> Vec<&Machine> {
        distinct(self.known(self.owners.get(name)))
    }

    /// The Machines that have become this Node, each by one of its records: one, when all is well.
    pub fn bound(&self, name: &NodeName) -> Vec<&Machine> {
        distinct(self.known(self.bound.get(name)))
    }

    /// The records of the instance that a cloud calls this.
    pub fn of_instance(&self, provider_id: &str) -> Vec<&Machine> {
        self.known(self.instances.get(provider_id))
    }

    /// The Machines that a bootstrap token was made for.
    pub fn of_token(&self, id: &str) -> Vec<&Machine> {
        self.known(self.tokens.get(id))
    }

    /// What other sources know of the machine that a record is of.
    pub fn mirrors(&self, machine: &Machine) -> Vec<&Machine> {
        let by_instance = machine.provider_id.as_ref();
        let by_instance = by_instance.and_then(|id| self.instances.get(id));
        let by_node = machine.node_reference.as_ref();
        let by_node = by_node.and_then(|name| self.bound.get(name));
        let uids: BTreeSet<&MachineUid> =
            by_instance.into_iter().chain(by_node).flatten().collect();
        uids.into_iter()
            .filter_map(|uid| self.machines.get(uid))
            .filter(|other| other.is_same_as(machine))
            .collect()
    }

    /// Those of these names and addresses that Machines have which have not become this Node, with the Machines.
    pub(crate) fn elsewhere(
        &self,
        asked: Vec<ServerName>,
        node: &NodeName,
    ) -> Vec<(ServerName, &MachineReference)> {
        let bound = self.known(self.bound.get(node));
        let others = |name: ServerName| {
            self.known(self.reached_by.get(&name))
                .into_iter()
                .filter(|machine| machine.node_reference.as_ref() != Some(node))
                .filter(|machine| !bound.iter().any(|bound| bound.is_same_as(machine)))
                .map(move |machine| (name.clone(), &machine.reference))
        };
        asked.into_iter().flat_map(others).collect()
    }

    /// Machines that are called so, by the first label of anything in their records.
    pub(crate) fn called<'a>(&'a self, label: &str) -> Vec<&'a Machine> {
        self.all(self.labels.called(label))
    }

    /// Machines that are called something which begins so.
    pub(crate) fn beginning_with<'a>(&'a self, start: &str) -> Vec<&'a Machine> {
        self.all(self.labels.beginning_with(start))
    }

    /// Machines that are called something which ends so.
    pub(crate) fn ending_in<'a>(&'a self, end: &str) -> Vec<&'a Machine> {
        self.all(self.labels.ending_in(end))
    }

    /// Some of the Machines that no name is known of.
    pub(crate) fn nameless(&self) -> Vec<&Machine> {
        self.all(self.labels.nameless())
    }

    /// Machines that have this address.
    pub(crate) fn reached(&self, ip: IpAddr) -> Vec<&Machine> {
        self.known(self.reached_by.get(&ServerName::of_ip(ip)))
    }

    /// Whether there is any Machine of a source.
    pub(crate) fn has(&self, source: Source) -> bool {
        self.labels.has(source)
    }

    fn all<'a>(&'a self, uids: impl Iterator<Item = &'a MachineUid>) -> Vec<&'a Machine> {
        uids.filter_map(|uid| self.machines.get(uid)).collect()
    }

    fn known(&self, uids: Option<&BTreeSet<MachineUid>>) -> Vec<&Machine> {
        uids.into_iter()
            .flatten()
            .filter_map(|uid| self.machines.get(uid))
            .collect()
    }

    /// A Machine by its uid.
    pub fn machine(&self, uid: &MachineUid) -> Option<&Machine> {
        self.machines.get(uid)
    }

    /// How many Machines are on the roll.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether the roll is empty.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Every Machine.
    pub fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// Reads the names of every Machine anew, in these ways.
    pub(crate) fn name_by(&mut self, naming: BTreeMap<Scope, Naming>) {
        let machines = std::mem::take(&mut self.machines);
        *self = Self::new(naming);
        for machine in machines.into_values() {
            self.insert(machine);
        }
    }

    /// The node names that a Machine owns.
    pub fn names_of(&self, machine: &Machine) -> BTreeSet<NodeName> {
        self.naming_of(machine).names(machine)
    }

    /// The node names that a Machine owns or may have owned: see [`Naming::every_name`].
    pub(crate) fn every_name_of(&self, machine: &Machine) -> BTreeSet<NodeName> {
        self.naming_of(machine).every_name(machine)
    }

    fn naming_of(&self, machine: &Machine) -> Cow<'_, Naming> {
        let mut known = self.naming.iter();
        match known.find(|(scope, _)| scope.covers(machine)) {
            Some((_, naming)) => Cow::Borrowed(naming),
            None => Cow::Owned(Naming::of(machine.source)),
        }
    }
}

/// Of the records of one machine, one: one that asks for a proof before one that does not, and one that names its instance,
/// since it can be told from others, before one that does not.
fn distinct(mut records: Vec<&Machine>) -> Vec<&Machine> {
    records.sort_by_key(|record| (record.join_key.is_none(), record.provider_id.is_none()));
    let mut distinct: Vec<&Machine> = Vec::new();
    for record in records {
        if !distinct.iter().any(|known| known.is_same_as(record)) {
            distinct.push(record);
        }
    }
    distinct
}

/// Puts a Machine into an index.
fn remember<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<MachineUid>>, key: K, uid: &MachineUid) {
    index.entry(key).or_default().insert(uid.clone());
}

/// Takes a Machine out of an index.
fn forget<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<MachineUid>>, name: &K, uid: &MachineUid) {
    if let Some(uids) = index.get_mut(name) {
        uids.remove(uid);
        if uids.is_empty() {
            index.remove(name);
        }
    }
}

#[cfg(test)]
#[path = "roll_tests.rs"]
mod tests;
