//! The changes that make the records match AWS. This module does no I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use jiff::Timestamp;
use kube::ResourceExt as _;
use rollcall_csr::NodeName;

use super::settings::{JoinWindows, NodeNameFrom, Settings};
use crate::aws::{Instance, InstanceState, Member, instance_id};
use crate::expected_machine::{ExpectedMachine, ExpectedMachineSpec, LAUNCHED_AT, MAX_ADDRESSES};

/// The annotation that names the group of a record.
pub(super) const GROUP: &str = "rollcall.dev/auto-scaling-group";

/// The state of AWS.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The names of the selected groups.
    pub(super) groups: BTreeSet<String>,
    /// The instances of the selected groups, with the name of their group.
    pub(super) members: BTreeMap<String, (String, Member)>,
    /// The instances known to EC2: those of the groups, and all that have a record.
    pub(super) instances: HashMap<String, Instance>,
    /// The time of the query.
    pub(super) at: Timestamp,
    /// The observations of earlier rounds.
    pub(super) before: Seen,
}

/// The observations that rounds keep for the next ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Instances of warm pools, until they have a record.
    warm: BTreeSet<String>,
    /// Instances with a record that EC2 did not mention.
    missing: BTreeSet<String>,
}

impl View {
    /// The observations that the next round needs from this one.
    pub(super) fn seen(&self, present: &[ExpectedMachine]) -> Seen {
        let recorded: BTreeSet<String> = present.iter().map(instance_of).collect();
        let warm = self.members.iter().filter(|(id, (_, member))| {
            member.is_warm() || (self.before.warm.contains(*id) && !recorded.contains(*id))
        });
        let warm = warm.map(|(id, _)| id.clone()).collect();
        let known = |id: &String| self.instances.contains_key(id) || self.members.contains_key(id);
        let missing = recorded.into_iter().filter(|id| !known(id)).collect();
        Seen { warm, missing }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Expect an instance.
    Create(ExpectedMachine),
    /// It is reached by other addresses now.
    Update(ExpectedMachine),
    /// It is gone, or going.
    Delete {
        record: ExpectedMachine,
        because: String,
    },
    /// An instance that cannot be mirrored, and why.
    Tell(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(record) => write!(f, "to expect instance {}", instance_of(record)),
            Self::Update(record) => write!(
                f,
                "to correct the addresses of instance {}",
                instance_of(record)
            ),
            Self::Delete { record, because: _ } => {
                write!(f, "to expect instance {} no more", instance_of(record))
            }
            Self::Tell(text) => f.write_str(text),
        }
    }
}

/// Everything that has to be done: what goes first, because a machine that is gone may still ask.
pub(super) fn plan(
    view: &View,
    present: &[ExpectedMachine],
    settings: &Settings,
    windows: &JoinWindows,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for record in present {
        let id = instance_of(record);
        if let Some(because) = gone(view, &id) {
            let record = record.clone();
            steps.push(Step::Delete { record, because });
        } else if let Some(group) = detached_from(view, record, &id) {
            steps.push(Step::Tell(format!(
                "instance {id} runs but was detached from group {group}; it stays expected until it is terminated"
            )));
        }
    }
    let known: HashMap<String, &ExpectedMachine> = present
        .iter()
        .map(|record| (instance_of(record), record))
        .collect();
    for (id, (group, member)) in &view.members {
        let known = known.get(id).copied();
        let Some(instance) = view.instances.get(id).filter(|_| gone(view, id).is_none()) else {
            continue;
        };
        // One that stops, or that a warm pool keeps, is not wanted now; a record that it has stays.
        let runs = matches!(
            instance.state,
            InstanceState::Pending | InstanceState::Running
        );
        if known.is_none() && !(member.is_wanted() && runs) {
            continue;
        }
        // One that waited in a warm pool is expected from the moment at which it was seen to have left.
        let left = view.before.warm.contains(id).then_some(view.at);
        let since = left.unwrap_or(instance.launched_at);
        let join_by = since.checked_add(windows.of_group(group)).ok();
        steps.extend(mirror(instance, group, known, settings, join_by));
    }
    steps
}

/// The instance of a record: from its provider ID, or else from the record's name.
pub(super) fn instance_of(record: &ExpectedMachine) -> String {
    let id = record.spec.provider_id.as_deref().and_then(instance_id);
    id.map_or_else(|| record.name_any(), str::to_owned)
}

/// The group that the instance has left. Nothing is known of a group that is not selected here: another entry of the
/// configuration may mirror it.
fn detached_from<'r>(view: &View, record: &'r ExpectedMachine, id: &str) -> Option<&'r str> {
    let group = record.annotations().get(GROUP)?;
    let left = view.groups.contains(group)
        && view.instances.contains_key(id)
        && !view.members.contains_key(id);
    left.then_some(group)
}

/// The reason to delete an instance's record. An instance missing from AWS is a reason only if EC2 was asked for it.
fn gone(view: &View, id: &str) -> Option<String> {
    if let Some((group, member)) = view
        .members
        .get(id)
        .filter(|(_, member)| member.is_leaving())
    {
        return Some(format!(
            "group {group} is taking it away ({})",
            member.state
        ));
    }
    match view.instances.get(id) {
        None if view.members.contains_key(id) => None,
        // EC2 is only eventually consistent (EC2 Developer Guide, "Eventual consistency"): two rounds have to agree.
        None if !view.before.missing.contains(id) => None,
        None => Some("EC2 does not know it any more".to_owned()),
        Some(instance) if instance.state == InstanceState::Gone => {
            Some("it is shutting down or terminated".to_owned())
        }
        Some(_) => None,
    }
}

/// Makes or corrects the record of an instance.
fn mirror(
    instance: &Instance,
    group: &str,
    known: Option<&ExpectedMachine>,
    settings: &Settings,
    join_by: Option<Timestamp>,
) -> Option<Step> {
    let id = &instance.id;
    let node_name = match settings.node_name {
        NodeNameFrom::InstanceId => id.parse::<NodeName>().ok(),
        // It gets one within seconds of its launch.
        NodeNameFrom::PrivateDnsName => instance.private_dns_name.clone(),
    }?;
    match known {
        None => Some(Step::Create(record(instance, group, &node_name, join_by))),
        Some(known) if known.spec.node_name != node_name.as_str() => Some(Step::Tell(format!(
            "instance {id} is called {node_name} now, but was expected as {}; its record is left as it is",
            known.spec.node_name
        ))),
        Some(known) => {
            // Only the first launch time counts: a later start does not make a new machine.
            let mut corrected = known.clone();
            corrected.spec.addresses = addresses(instance);
            (corrected != *known).then_some(Step::Update(corrected))
        }
    }
}

fn record(
    instance: &Instance,
    group: &str,
    node_name: &NodeName,
    join_by: Option<Timestamp>,
) -> ExpectedMachine {
    let spec = ExpectedMachineSpec {
        node_name: node_name.to_string(),
        addresses: addresses(instance),
        provider_id: Some(instance.provider_id()),
        join_by,
        join_key: None,
        pool: Some(group.to_owned()).filter(|name| is_pool(name)),
        ..ExpectedMachineSpec::default()
    };
    let mut record = ExpectedMachine::new(&instance.id, spec);
    let launched_at = instance.launched_at.to_string();
    record.metadata.annotations = Some(BTreeMap::from([
        (GROUP.to_owned(), group.to_owned()),
        (LAUNCHED_AT.to_owned(), launched_at),
    ]));
    record
}

/// A group may be named with characters that a pool's name cannot have.
fn is_pool(name: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    name.len() <= 253 && name.starts_with(ends) && name.ends_with(ends) && name.chars().all(inside)
}

/// The addresses of the instance in the cloud, always in the same order, and at most as many as a record may hold.
fn addresses(instance: &Instance) -> Vec<String> {
    let ips = instance.addresses.iter().collect::<BTreeSet<_>>();
    let names = [&instance.private_dns_name, &instance.public_dns_name];
    let names: Vec<String> = names
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let room = MAX_ADDRESSES.saturating_sub(names.len());
    let ips = ips.into_iter().take(room).map(ToString::to_string);
    ips.chain(names).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
