//! The roll: all Machine records, and the index of the node names that they own.

mod labels;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use rollcall_csr::NodeName;

use self::labels::Labels;
use crate::{
    Machine, MachineReference, MachineUid, Naming, Node, Scope, ServerName, Source, Vouching,
    instance,
};

/// Every known Machine, indexed by the node names it owns.
#[derive(Debug)]
pub struct Roll {
    naming: BTreeMap<Scope, Naming>,
    machines: HashMap<MachineUid, Machine>,
    owners: HashMap<NodeName, BTreeSet<MachineUid>>,
    bound: HashMap<NodeName, BTreeSet<MachineUid>>,
    reached_by: HashMap<ServerName, BTreeSet<MachineUid>>,
    instances: HashMap<String, BTreeSet<MachineUid>>,
    mirrored: HashMap<String, BTreeSet<MachineUid>>,
    tokens: HashMap<String, BTreeSet<MachineUid>>,
    labels: Labels,
}

impl Roll {
    /// Creates an empty roll. Machines own names by [`Naming::of`] their source, unless `naming` has other rules for
    /// their scope.
    pub fn new(naming: BTreeMap<Scope, Naming>) -> Self {
        Self {
            naming,
            machines: HashMap::new(),
            owners: HashMap::new(),
            bound: HashMap::new(),
            reached_by: HashMap::new(),
            instances: HashMap::new(),
            mirrored: HashMap::new(),
            tokens: HashMap::new(),
            labels: Labels::default(),
        }
    }

    /// Adds or updates a Machine. Returns the names with a changed owner, or changed facts of the owner; empty if
    /// nothing changed. Data from one source affects the names that other sources give the same machine.
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
        for key in instance_keys(&machine) {
            remember(&mut self.instances, key, uid);
        }
        if let Some(name) = machine.mirror_name() {
            remember(&mut self.mirrored, name.to_owned(), uid);
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

    /// Removes a Machine. Returns the names with a changed owner, or changed facts of the owner.
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
        for key in instance_keys(&machine) {
            forget(&mut self.instances, &key, uid);
        }
        if let Some(name) = machine.mirror_name() {
            forget(&mut self.mirrored, &name.to_owned(), uid);
        }
        for token in &machine.bootstrap_tokens {
            forget(&mut self.tokens, token, uid);
        }
        if let Some(name) = &machine.node_reference {
            forget(&mut self.bound, name, uid);
        }
        self.names_around(&machine)
    }

    /// The names that a Machine owns or is bound to, by any of its records.
    pub(crate) fn names_around(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let records = self.mirrors(machine).into_iter().chain([machine]);
        records
            .flat_map(|record| {
                let bound = record.node_reference.clone();
                self.names_of(record).into_iter().chain(bound)
            })
            .collect()
    }

    /// The Machines that own a name, each by one of its records; normally one.
    pub fn owners(&self, name: &NodeName) -> Vec<&Machine> {
        distinct(self.known(self.owners.get(name)))
    }

    /// The Machines that own a name and could get a certificate for it, if any could; otherwise all that own it. A
    /// record that has failed or is being deleted does not compete, and neither does one that is bound to another,
    /// existing Node.
    ///
    /// A record that may not vouch ([`Roll::outranked`]) does not make its machine an owner.
    pub(crate) fn contenders(
        &self,
        name: &NodeName,
        vouching: &Vouching,
        lives: impl Fn(&NodeName) -> bool,
    ) -> Vec<&Machine> {
        let is_another = |node: &NodeName| node != name && lives(node);
        let out = |machine: &Machine| {
            machine.gets_nothing() || machine.node_reference.as_ref().is_some_and(is_another)
        };
        let mut owners = self.known(self.owners.get(name));
        owners.retain(|record| self.outranked(record, vouching).is_none());
        distinct(without(owners, out))
    }

    /// The record that prevents another one of its machine from vouching for names: its source has precedence, and it owns names.
    pub(crate) fn outranked(&self, record: &Machine, vouching: &Vouching) -> Option<&Machine> {
        let mut others = self.mirrors(record).into_iter();
        others.find(|other| vouching.outranks(other, record) && !self.names_of(other).is_empty())
    }

    /// The records that own a name and may not vouch, each with the one that outranks it.
    pub(crate) fn unheard(
        &self,
        name: &NodeName,
        vouching: &Vouching,
    ) -> Vec<(&Machine, &Machine)> {
        let owners = self.known(self.owners.get(name)).into_iter();
        owners
            .filter_map(|record| Some((record, self.outranked(record, vouching)?)))
            .collect()
    }

    /// The Machines that are bound to this Node, each by one of its records; normally one. By their node reference; if none
    /// has that, those that own the name and share an instance with the Node (`Machine::is_of_node`), because a recreated
    /// record has no reference yet. If several are bound, one that gets no certificate counts only if the Node is its own.
    pub fn bound(&self, name: &NodeName, node: Option<&Node>) -> Vec<&Machine> {
        let is_own =
            |machine: &Machine| node.and_then(|node| machine.is_of_node(node)) == Some(true);
        let mut records = self.known(self.bound.get(name));
        if records.is_empty() {
            records = self.known(self.owners.get(name));
            records.retain(|record| record.node_reference.is_none() && is_own(record));
        }
        distinct(without(records, |record| {
            record.gets_nothing() && !is_own(record)
        }))
    }

    /// The names owned by the Machines that are bound to a Node: their availability depends on the existence of the
    /// Node.
    pub(crate) fn names_beside(&self, node: &NodeName) -> BTreeSet<NodeName> {
        let bound = self.known(self.bound.get(node)).into_iter();
        bound.flat_map(|machine| self.names_of(machine)).collect()
    }

    /// The records of the instance with this provider id, in any form.
    pub fn of_instance(&self, provider_id: &str) -> Vec<&Machine> {
        let is_same = |machine: &&Machine| {
            let own = machine.provider_id.as_deref();
            own.and_then(|own| instance::compare(own, provider_id)) == Some(true)
        };
        let mut found = self.at(&self.instances, &instance::keys(provider_id));
        found.retain(is_same);
        found
    }

    /// The Machines of a bootstrap token.
    pub fn of_token(&self, id: &str) -> Vec<&Machine> {
        self.known(self.tokens.get(id))
    }

    /// The records of the same machine in other sources.
    pub fn mirrors(&self, machine: &Machine) -> Vec<&Machine> {
        // Records of one source describe different machines.
        if !self.labels.has_another_than(machine.source) {
            return Vec::new();
        }
        let mirrored = machine.mirror_name().map(str::to_owned);
        let mut names = self.names_of(machine);
        names.extend(machine.node_reference.clone());
        let mut found = self.at(&self.instances, &instance_keys(machine));
        found.extend(self.at(&self.mirrored, &mirrored));
        found.extend(self.at(&self.bound, &names));
        found.extend(self.at(&self.owners, &names));
        found.sort_by_key(|other| &other.uid);
        found.dedup_by_key(|other| &other.uid);
        found.retain(|other| other.is_same_as(machine));
        found
    }

    /// The names and addresses, of these, that belong to Machines not bound to this Node, each Machine by one of its
    /// records. A Machine that gets no certificate keeps them from no other, unless its own Node still exists and may still
    /// be reachable there.
    pub(crate) fn elsewhere(
        &self,
        asked: Vec<ServerName>,
        node: &NodeName,
        bound: &[&Machine],
        lives: impl Fn(&NodeName) -> bool,
    ) -> Vec<(ServerName, &MachineReference)> {
        let is_bound = |machine: &Machine| {
            let mut bound = bound.iter();
            machine.node_reference.as_ref() == Some(node)
                || bound.any(|bound| bound.uid == machine.uid || bound.is_same_as(machine))
        };
        let is_gone = |machine: &Machine| {
            machine.gets_nothing() && !machine.node_reference.as_ref().is_some_and(&lives)
        };
        let others = |name: ServerName| {
            let mut machines = self.known(self.reached_by.get(&name));
            machines.retain(|machine| !is_bound(machine) && !is_gone(machine));
            distinct(machines)
                .into_iter()
                .map(|machine| (name.clone(), &machine.reference))
                .collect::<Vec<_>>()
        };
        asked.into_iter().flat_map(others).collect()
    }

    /// The Machines with this label as the first label of any name in their records.
    pub(crate) fn called<'a>(&'a self, label: &str) -> Vec<&'a Machine> {
        self.all(self.labels.called(label))
    }

    /// The Machines with a label that begins with this text.
    pub(crate) fn beginning_with<'a>(&'a self, start: &str) -> Vec<&'a Machine> {
        self.all(self.labels.beginning_with(start))
    }

    /// The Machines with a label that ends with this text.
    pub(crate) fn ending_in<'a>(&'a self, end: &str) -> Vec<&'a Machine> {
        self.all(self.labels.ending_in(end))
    }

    /// Some of the Machines without a known name.
    pub(crate) fn nameless(&self) -> Vec<&Machine> {
        self.all(self.labels.nameless())
    }

    /// The Machines with this address.
    pub(crate) fn reached(&self, ip: IpAddr) -> Vec<&Machine> {
        self.known(self.reached_by.get(&ServerName::of_ip(ip)))
    }

    /// Returns true if there is any Machine of a source.
    pub(crate) fn has(&self, source: Source) -> bool {
        self.labels.has(source)
    }

    fn all<'a>(&'a self, uids: impl Iterator<Item = &'a MachineUid>) -> Vec<&'a Machine> {
        uids.filter_map(|uid| self.machines.get(uid)).collect()
    }

    /// The Machines under these keys of an index.
    fn at<'a, K: Eq + Hash + 'a>(
        &self,
        index: &HashMap<K, BTreeSet<MachineUid>>,
        keys: impl IntoIterator<Item = &'a K>,
    ) -> Vec<&Machine> {
        let uids = keys
            .into_iter()
            .flat_map(|key| index.get(key).into_iter().flatten());
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

    /// The number of Machines on the roll.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Returns true if the roll is empty.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Every Machine.
    pub fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// Applies other naming rules to all Machines.
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

/// Selects one record per machine: one that requires a proof before one that does not, and one with a provider id, which
/// distinguishes it from others, before one without.
fn distinct(mut records: Vec<&Machine>) -> Vec<&Machine> {
    records.sort_by_key(|record| (record.join_key.is_none(), record.provider_id.is_none()));
    let mut machines: Vec<Vec<&Machine>> = Vec::new();
    for record in records {
        // A record that matches two records does not make those one machine.
        let same = |known: &&mut Vec<&Machine>| known.iter().all(|known| known.is_same_as(record));
        match machines.iter_mut().find(same) {
            Some(machine) => machine.push(record),
            None => machines.push(vec![record]),
        }
    }
    let first = machines.iter().filter_map(|records| records.first());
    first.copied().collect()
}

/// Removes some of these records, unless none would be left.
fn without(records: Vec<&Machine>, out: impl Fn(&Machine) -> bool) -> Vec<&Machine> {
    let rest: Vec<&Machine> = records
        .iter()
        .copied()
        .filter(|record| !out(record))
        .collect();
    if rest.is_empty() { records } else { rest }
}

fn instance_keys(machine: &Machine) -> BTreeSet<String> {
    let id = machine.provider_id.as_deref();
    id.map(instance::keys).unwrap_or_default()
}

/// Adds a Machine to an index.
fn remember<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<MachineUid>>, key: K, uid: &MachineUid) {
    index.entry(key).or_default().insert(uid.clone());
}

/// Removes a Machine from an index.
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
