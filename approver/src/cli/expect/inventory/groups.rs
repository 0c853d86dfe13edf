//! The groups of inventories: which there are, and which stand below which.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{ALL, Host, UNGROUPED};
use crate::cli::expect::draft::{Given, Wrong};

/// The groups of one or several inventories.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<String, Group>);

#[derive(Debug, Default)]
struct Group {
    /// Whether it is more than a name among the children of another, or one with variables.
    declared: bool,
    children: BTreeMap<String, Given>,
    /// Variables of ours, which count at hosts only.
    variables: Vec<Given>,
}

impl Groups {
    /// Says that there is a group.
    pub(super) fn declare(&mut self, name: &str) {
        self.entry(name).declared = true;
    }

    /// Puts a group below another.
    pub(super) fn add_child(&mut self, parent: &str, child: Given) {
        let name = child.text().to_owned();
        self.entry(&name);
        self.entry(parent).children.entry(name).or_insert(child);
    }

    /// Takes note of a variable that is not read here.
    pub(super) fn add_variable(&mut self, group: &str, variable: Given) {
        self.entry(group).variables.push(variable);
    }

    fn entry(&mut self, name: &str) -> &mut Group {
        self.0.entry(name.to_owned()).or_default()
    }

    /// The names of all groups. The two that every inventory has are among them.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let declared = self.0.iter().filter(|(_, group)| group.declared);
        let declared = declared.map(|(name, _)| name.as_str());
        declared.chain([ALL, UNGROUPED]).collect()
    }

    /// Checks that every child is a group, and that no group stands below itself.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let names = self.names();
        for (parent, group) in &self.0 {
            for (name, child) in &group.children {
                let message = match name.as_str() {
                    ALL => format!("{parent} cannot be above {ALL}, which is above every group"),
                    name if !names.contains(name) => {
                        format!("{parent} has the child {name:?}, but there is no such group")
                    }
                    _ => continue,
                };
                return Err(child.wrong("children", message));
            }
        }
        self.check_cycles()
    }

    /// Groups that have no children left are taken away, as long as there are any. Of the others, each leads into a cycle.
    fn check_cycles(&self) -> Result<(), Wrong> {
        let mut parents: HashMap<&str, Vec<&str>> = HashMap::new();
        for (parent, group) in &self.0 {
            for child in group.children.keys() {
                parents.entry(child).or_default().push(parent);
            }
        }
        let groups = self.0.iter();
        let mut left: BTreeMap<&str, usize> = groups
            .map(|(name, group)| (name.as_str(), group.children.len()))
            .collect();
        let empty = left.iter().filter(|(_, children)| **children == 0);
        let mut empty: Vec<&str> = empty.map(|(name, _)| *name).collect();
        while let Some(group) = empty.pop() {
            left.remove(group);
            for parent in parents.get(group).into_iter().flatten() {
                let Some(children) = left.get_mut(parent) else {
                    continue;
                };
                *children = children.saturating_sub(1);
                if *children == 0 {
                    empty.push(parent);
                }
            }
        }
        let child = |parent: &str| {
            let children = &self.0.get(parent)?.children;
            children
                .iter()
                .find(|(name, _)| left.contains_key(name.as_str()))
        };
        let first = left.first_key_value().and_then(|(first, _)| child(first));
        let Some((mut group, mut given)) = first else {
            return Ok(());
        };
        // After as many steps as there are groups, this one is in the cycle, and not only on the way to it.
        for _ in 0..left.len() {
            (group, given) = child(group).unwrap_or((group, given));
        }
        let mut path = vec![group.as_str()];
        for _ in 0..left.len() {
            (group, given) = child(group).unwrap_or((group, given));
            path.push(group);
            if path.first() == path.last() {
                break;
            }
        }
        let message = format!("a group stands below itself: {}", path.join(" > "));
        Err(given.wrong("children", message))
    }

    /// A group with all that stand below it.
    pub(super) fn below<'g>(&'g self, name: &'g str) -> Members<'g> {
        let mut groups = HashSet::from([name]);
        let mut open = vec![name];
        while let Some(group) = open.pop() {
            let group = self.0.get(group);
            for child in group.iter().flat_map(|group| group.children.keys()) {
                if groups.insert(child) {
                    open.push(child);
                }
            }
        }
        Members(groups)
    }

    /// Checks that no variable of a group would have counted for these hosts.
    pub(super) fn check_variables(&self, hosts: &[&Host]) -> Result<(), Wrong> {
        for (name, group) in &self.0 {
            let Some(variable) = group.variables.first() else {
                continue;
            };
            let members = self.below(name);
            if hosts.iter().any(|host| members.have(host)) {
                let message = format!(
                    "variables of a group ({name}) are not read; set it at the hosts, or hand in what {} writes",
                    super::RESOLVE
                );
                return Err(variable.wrong(variable.text(), message));
            }
        }
        Ok(())
    }
}

/// Who is in a group.
#[derive(Debug)]
pub(super) struct Members<'g>(HashSet<&'g str>);

impl Members<'_> {
    /// Whether a host is among them.
    pub(super) fn have(&self, host: &Host) -> bool {
        let ungrouped = self.0.contains(UNGROUPED) && host.groups().next().is_none();
        let grouped = || host.groups().any(|group| self.0.contains(group));
        ungrouped || self.0.contains(ALL) || grouped()
    }
}
