//! Ansible inventories: which hosts there are, in which groups, and which machine a host is. How a file is read stands in
//! [`ini`] and [`yaml`]. Only what an inventory says itself counts: no `host_vars`, no plug-ins, no templates.

mod groups;
mod host;
pub(super) mod ini;
mod pattern;
#[cfg(test)]
mod tests;
pub(super) mod yaml;

use std::collections::{BTreeMap, HashMap};

use self::groups::{Groups, Members};
use self::host::Host;
use self::pattern::MAX_FROM_RANGES;
use super::draft::{Draft, Given, Wrong};
use crate::cli::input::InputError;

/// Where others say the address of a node: kubespray (`docs/ansible/vars.md`) and openshift-ansible 3.11 (`openshift_facts`).
/// They may be templates, which are for Ansible to fill in: only addresses count.
const NODE_ADDRESSES: [&str; 3] = ["ip", "access_ip", "openshift_ip"];
/// The one variable that may be a list.
const ADDRESSES: &str = "rollcall_addresses";
/// The variables of a host that are read.
const VARIABLES: [&str; 11] = [
    "ansible_host",
    ADDRESSES,
    "rollcall_join_by",
    "rollcall_join_key",
    "rollcall_name",
    "rollcall_node_name",
    "rollcall_pool",
    "rollcall_provider_id",
    "ip",
    "access_ip",
    "openshift_ip",
];
/// What the names of our variables begin with.
const OURS: &str = "rollcall_";
/// The group of every host.
const ALL: &str = "all";
/// The group of the hosts that are in no other.
const UNGROUPED: &str = "ungrouped";
/// How Ansible writes what it makes of all its sources.
const RESOLVE: &str = "ansible-inventory --list --yaml";
/// What an encrypted text begins with ("Format of files encrypted with Ansible Vault").
pub(super) const VAULT_HEADER: &str = "$ANSIBLE_VAULT;";

/// The variable of this name, if it is read.
fn variable(name: &str) -> Option<&'static str> {
    VARIABLES.into_iter().find(|known| *known == name)
}

/// What is said of a host at one place: variables that are read, with their texts.
type Variables = Vec<(&'static str, Vec<Given>)>;

/// The hosts and groups of one or several inventories.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    hosts: HashMap<String, Host>,
    groups: Groups,
    /// How many hosts came from ranges.
    from_ranges: usize,
    /// Variables that look like ours and are not, with the first place of each.
    unknown: BTreeMap<String, String>,
}

impl Inventory {
    /// Puts the hosts that a pattern stands for into a group.
    fn add_hosts(
        &mut self,
        group: &str,
        pattern: &Given,
        variables: &Variables,
    ) -> Result<(), Wrong> {
        let room = MAX_FROM_RANGES.saturating_sub(self.from_ranges);
        let names = pattern::names(pattern.text(), room)
            .map_err(|message| pattern.wrong("host", message))?;
        if pattern.text().contains('[') {
            self.from_ranges = self.from_ranges.saturating_add(names.len());
        }
        for name in names {
            let number = self.hosts.len();
            let given = Given::at(pattern.place(), &name);
            let host = self.hosts.entry(name);
            let host = host.or_insert_with(|| Host::new(given, number));
            host.add(group, variables);
        }
        Ok(())
    }

    /// Takes note of a variable of all hosts of a group.
    fn add_group_variable(&mut self, group: &str, given: Given) {
        if given.text().starts_with(OURS) && variable(given.text()).is_some() {
            self.groups.add_variable(group, given);
        }
    }

    /// Takes note of a variable that is not read.
    fn add_unknown(&mut self, given: &Given) {
        if given.text().starts_with(OURS) {
            let place = self.unknown.entry(given.text().to_owned());
            place.or_insert_with(|| given.place().to_owned());
        }
    }

    /// What may have been meant otherwise.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.unknown.iter().map(|(variable, place)| {
            let variables = VARIABLES.join(", ");
            format!("{place}: {variable}: no such variable is read; there are {variables}")
        })
    }

    /// The machines of these groups and of those below them; without any, all machines.
    ///
    /// # Errors
    /// If one of the groups is not there, or what the inventory says of groups cannot be.
    pub(super) fn machines(&self, chosen: &[String]) -> Result<Vec<Draft>, InputError> {
        self.groups.check().map_err(Wrong::fatal)?;
        let names = self.groups.names();
        if let Some(group) = chosen.iter().find(|group| !names.contains(group.as_str())) {
            let names: Vec<&str> = names.into_iter().collect();
            let names = names.join(", ");
            return Err(InputError::Malformed {
                name: "--group".into(),
                message: format!("there is no group {group:?}; there are {names}"),
            });
        }
        let chosen: Vec<Members<'_>> = chosen.iter().map(|name| self.groups.below(name)).collect();
        let wanted =
            |host: &&Host| chosen.is_empty() || chosen.iter().any(|group| group.have(host));
        let mut hosts: Vec<&Host> = self.hosts.values().filter(wanted).collect();
        hosts.sort_unstable_by_key(|host| host.number());
        let checked = self.groups.check_variables(&hosts);
        checked.map_err(Wrong::fatal)?;
        Ok(hosts.into_iter().map(Host::machine).collect())
    }
}
