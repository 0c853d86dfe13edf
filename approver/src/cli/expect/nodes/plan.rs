//! Which Nodes are adopted, as what, and why others are not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use rollcall_approver_core::{Machine, Roll, Source};

use super::super::draft::{Draft, Given};
use super::addresses::{Origin, Served, Vouched, choose, shared};
use super::node::Running;
use crate::ExpectArgs;
use crate::expected_machine::{ADOPTED_NODE, ExpectedMachine, LAUNCHED_AT};

/// What a person wants, besides which Nodes.
pub(super) struct Wishes<'a> {
    pub(super) args: &'a ExpectArgs,
    /// What a file says of nodes, by their names.
    pub(super) file: HashMap<String, Draft>,
    /// How long before it registered a node may have had its first certificate.
    pub(super) join_window: SignedDuration,
    pub(super) now: Timestamp,
}

/// What becomes of a Node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    /// A record is made and bound to it.
    Adopt(Box<ExpectedMachine>),
    /// This ExpectedMachine, which owns its name, is bound to it.
    Bind(String),
    /// A Machine is bound to it already.
    Known,
    /// Nothing, for the reason that the message names.
    Left,
}

/// A Node, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) node: Running,
    pub(super) fate: Fate,
    pub(super) origin: Origin,
    pub(super) message: String,
}

/// Says of every chosen Node what becomes of it; `all` are all Nodes that there are.
pub(super) fn plan(
    chosen: &[Running],
    all: &[Running],
    roll: &Roll,
    served: &Served,
    wishes: &Wishes<'_>,
) -> Vec<Plan> {
    let mut instances: BTreeMap<&str, Vec<&Running>> = BTreeMap::new();
    for node in all {
        if let Some(id) = &node.provider_id {
            instances.entry(id).or_default().push(node);
        }
    }
    let records = roll
        .iter()
        .filter(|machine| machine.source == Source::ExpectedMachine);
    let taken = records.map(|record| record.reference.name.as_str());
    let surroundings = Surroundings {
        roll,
        instances,
        taken: taken.collect(),
        shared: shared(all),
        served,
        wishes,
    };
    chosen
        .iter()
        .map(|node| surroundings.plan_one(node))
        .collect()
}

struct Surroundings<'a> {
    roll: &'a Roll,
    /// The Nodes of each instance.
    instances: BTreeMap<&'a str, Vec<&'a Running>>,
    /// The names of the ExpectedMachines that there are.
    taken: BTreeSet<&'a str>,
    /// Addresses that several Nodes state.
    shared: BTreeSet<String>,
    served: &'a Served,
    wishes: &'a Wishes<'a>,
}

impl Surroundings<'_> {
    fn plan_one(&self, node: &Running) -> Plan {
        let (fate, origin, message) = self
            .known(node)
            .or_else(|| self.unfit(node))
            .map(|(fate, message)| (fate, Origin::Nowhere, message))
            .unwrap_or_else(|| self.adopt(node));
        Plan {
            node: node.clone(),
            fate,
            origin,
            message,
        }
    }

    /// What a Machine that knows the Node means for it.
    fn known(&self, node: &Running) -> Option<(Fate, String)> {
        if let Some(bound) = self.roll.bound(&node.name, None).first() {
            return Some((Fate::Known, format!("{} is bound to it", name(bound))));
        }
        let left = |message| Some((Fate::Left, message));
        match self.roll.owners(&node.name).as_slice() {
            [] => {}
            [owner] => return Some(self.owned(node, owner)),
            owners => {
                let owners: Vec<String> = owners.iter().map(|owner| name(owner)).collect();
                let owners = owners.join(", ");
                return left(format!("several Machines own its name: {owners}"));
            }
        }
        let id = node.provider_id.as_ref()?;
        let same = self.roll.of_instance(id);
        let machine = same.first()?;
        let machine = match &machine.node_reference {
            Some(other) => format!(
                "{} is of the same instance, and is Node {other}",
                name(machine)
            ),
            None => format!(
                "{} is of the same instance ({id}), and is not bound yet; what keeps it binds it (status.nodeRef)",
                name(machine)
            ),
        };
        left(machine)
    }

    /// One Machine owns the name of the Node and is not bound to it.
    fn owned(&self, node: &Running, owner: &Machine) -> (Fate, String) {
        let name = name(owner);
        if let Some(other) = &owner.node_reference {
            return (
                Fate::Left,
                format!("{name} owns its name, and is Node {other}"),
            );
        }
        if owner.source != Source::ExpectedMachine {
            let message = format!(
                "{name} owns its name and is not bound yet; what keeps that Machine binds it (status.nodeRef)"
            );
            return (Fate::Left, message);
        }
        let one_instance = match (&owner.provider_id, &node.provider_id) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        let made_for_it = owner.adopted_node.as_ref() == Some(&node.uid);
        let wanted = self.wishes.args.adoption.nodes.iter();
        let wanted = wanted
            .into_iter()
            .any(|wanted| *wanted == node.name.as_str());
        if owner.deleting || node.deleting {
            let message = format!("{name} owns its name, and one of the two is being deleted");
            (Fate::Left, message)
        } else if !one_instance {
            let message =
                format!("{name} owns its name, but is of another instance (spec.providerID)");
            (Fate::Left, message)
        } else if made_for_it || wanted {
            let message = format!("{name} is kept as it is");
            (Fate::Bind(owner.reference.name.clone()), message)
        } else {
            let message = format!(
                "{name} owns its name and is not bound; if it is of this machine, bind it with --node {}",
                node.name
            );
            (Fate::Left, message)
        }
    }

    /// Why a Node that no Machine knows is not adopted.
    fn unfit(&self, node: &Running) -> Option<(Fate, String)> {
        if node.deleting {
            return Some((Fate::Left, "it is being deleted".to_owned()));
        }
        let id = node.provider_id.as_deref()?;
        let others = self.instances.get(id).into_iter().flatten();
        let mut others = others.filter(|other| other.name != node.name);
        let other = others.next()?;
        Some((
            Fate::Left,
            format!(
                "Node {} has the same providerID ({id}): one machine is one Node; delete the one that no machine is any more",
                other.name
            ),
        ))
    }

    /// The record of a Node that no Machine knows.
    fn adopt(&self, node: &Running) -> (Fate, Origin, String) {
        let given = self.wishes.file.get(node.name.as_str());
        let adoption = &self.wishes.args.adoption;
        let vouched = match given {
            Some(draft) if !draft.addresses.is_empty() => Vouched {
                addresses: Vec::new(),
                origin: Origin::File(draft.place()),
                remark: None,
            },
            Some(_) | None => choose(node, self.served, adoption.kubelet_addresses, &self.shared),
        };
        let place = format!("Node {}", node.name);
        let mut draft = given.cloned().unwrap_or_else(|| {
            Draft::named(Given::at(&place, node.name.as_str())).with_defaults(self.wishes.args)
        });
        draft.node_name = Some(Given::at(&place, node.name.as_str()));
        draft.join_by = None;
        let taken = vouched.addresses.iter();
        draft
            .addresses
            .extend(taken.map(|text| Given::at(&place, text)));
        let mut remarks: Vec<String> = vouched.remark.into_iter().collect();
        if let Err(sentence) = name_instance(&mut draft, node, &place) {
            return (Fate::Left, Origin::Nowhere, sentence);
        }
        let mut record = match draft.check(self.wishes.now) {
            Ok(record) => record,
            Err(wrong) => {
                let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
                return (Fate::Left, Origin::Nowhere, wrong.join("; "));
            }
        };
        let record_name = record.metadata.name.clone().unwrap_or_default();
        if self.taken.contains(record_name.as_str()) {
            let message = format!(
                "there is an ExpectedMachine {record_name} of another node; give this one another name in --addresses FILE \
                 (name, nodeName)"
            );
            return (Fate::Left, Origin::Nowhere, message);
        }
        if !node.ready {
            remarks.push(
                "it is not Ready: if its machine is gone, leave it out with --exclude".to_owned(),
            );
        }
        self.mark(&mut record, node);
        let addresses = record.spec.addresses.join(", ");
        let mut message = vouched.origin.to_string();
        if vouched.origin != Origin::Nowhere {
            message.insert_str(0, &format!("{addresses}, "));
        }
        for remark in remarks {
            message.push_str(&format!("; {remark}"));
        }
        (Fate::Adopt(Box::new(record)), vouched.origin, message)
    }

    /// Has the record say which Node it is made for. It lets nobody join: its Node has joined.
    fn mark(&self, record: &mut ExpectedMachine, node: &Running) {
        let Wishes {
            join_window, now, ..
        } = self.wishes;
        let since = node.created_at.checked_sub(*join_window);
        let since = since.unwrap_or(node.created_at);
        record.metadata.annotations = Some(BTreeMap::from([
            (ADOPTED_NODE.to_owned(), node.uid.clone()),
            // Certificates that the node had before its record are its own.
            (LAUNCHED_AT.to_owned(), since.to_string()),
        ]));
        record.spec.join_by = Timestamp::from_second(now.as_second()).ok();
    }
}

/// Takes over what the cloud calls the instance, unless a file says something else.
fn name_instance(draft: &mut Draft, node: &Running, place: &str) -> Result<(), String> {
    let Some(own) = node.provider_id.as_deref() else {
        return Ok(());
    };
    match draft.provider_id.as_ref().filter(|given| !given.is_empty()) {
        Some(given) if given.text() != own => Err(format!(
            "{}: providerID: {:?} is not that of the Node, {own:?}",
            given.place(),
            given.text()
        )),
        Some(_) => Ok(()),
        None => {
            draft.provider_id = is_provider_id(own).then(|| Given::at(place, own));
            Ok(())
        }
    }
}

/// Whether an ExpectedMachine may have it (`approver/src/expected_machine.rs`); a Node may have anything.
fn is_provider_id(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-+.".contains(c);
    text.len() <= 1024
        && text.split_once("://").is_some_and(|(provider, rest)| {
            provider.starts_with(|c: char| c.is_ascii_lowercase())
                && provider.chars().all(inside)
                && !rest.is_empty()
                && !rest.contains('\n')
        })
}

/// What a person calls a Machine.
fn name(machine: &Machine) -> String {
    let (reference, source) = (&machine.reference, machine.source);
    if source == Source::ExpectedMachine {
        return format!("ExpectedMachine {reference}");
    }
    format!("Machine {reference} ({})", source.as_str())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
