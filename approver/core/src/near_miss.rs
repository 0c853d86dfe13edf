//! Near misses: the Machines that almost own a name which no Machine owns, and what differs. Only for the sentence that a
//! person reads: no decision rests on it, and it is looked for when a hold is told, not when it is made.

mod difference;

use std::net::{IpAddr, Ipv4Addr};

use rollcall_csr::NodeName;

use self::difference::{Difference, plain, short};
use crate::{Machine, Roll, Source, generic_name};

/// The most Machines that a sentence names.
const NAMED: usize = 3;
/// The most bytes of the part that names them: together with a long node name and a remedy, the whole stays below a
/// thousand, which an Event takes (Kubernetes: `NoteLengthLimit`, 1 kB).
const LONGEST: usize = 480;
/// Shorter parts of names are in too many others.
const SHORTEST_PART: usize = 4;
/// At so many places a name is cut in two.
const CUTS: usize = 8;
/// What Windows cuts host names to (NetBIOS; RFC 1001 section 14.1).
pub(super) const NETBIOS: usize = 15;

/// Where near misses are looked for.
pub(crate) struct Search<'a> {
    /// The Machines that count.
    pub(crate) roll: &'a Roll,
    /// Machines that the configuration leaves out, where they are known.
    pub(crate) strangers: &'a Roll,
    /// Whether a cloud is asked what NodeClaims do not say.
    pub(crate) looked_up: bool,
}

impl Search<'_> {
    /// What is near a node name that no Machine owns, in words.
    pub(crate) fn describe(&self, name: &NodeName) -> String {
        let mut near: Vec<Difference> = self.differences(self.roll, name);
        let mut elsewhere = self.differences(self.strangers, name);
        elsewhere
            .iter_mut()
            .for_each(|difference| difference.is_stranger());
        near.append(&mut elsewhere);
        near.sort_by(|one, other| one.order().cmp(&other.order()));
        if near.is_empty() {
            return self.without(name);
        }
        let mut text = String::from("near: ");
        for (index, difference) in near.iter().take(NAMED).enumerate() {
            let sentence = difference.sentence();
            if index > 0 && text.len().saturating_add(sentence.len()) > LONGEST {
                break;
            }
            let comma = if index > 0 { "; " } else { "" };
            text.push_str(comma);
            text.push_str(&sentence);
        }
        let mut remedies = near.iter().filter_map(|one| one.remedy.as_deref());
        if let Some(remedy) = remedies.next() {
            text.push_str("; ");
            text.push_str(remedy);
        }
        text
    }

    /// What to say when no Machine is called anything like it.
    fn without(&self, name: &NodeName) -> String {
        if generic_name::is_default(name) {
            return format!(
                "{name} means any machine: see that the host gets a name of its own before its kubelet starts"
            );
        }
        let mut nameless = self.roll.nameless();
        nameless.truncate(NAMED);
        if !nameless.is_empty() {
            let each = nameless.iter().map(|machine| {
                let reference = short(&plain(&machine.reference.to_string()));
                format!("{reference} ({})", difference::why_nameless(machine))
            });
            let each: Vec<String> = each.collect();
            return format!("Machines that no name is known of: {}", each.join(", "));
        }
        if self.roll.has(Source::Karpenter) && !self.looked_up {
            return karpenter().to_owned();
        }
        "no Machine has a name like it; if no record says what its machine is, `rollcall-approver expect` makes one".to_owned()
    }

    fn differences(&self, roll: &Roll, name: &NodeName) -> Vec<Difference> {
        let label = first_label(name.as_str());
        let mut machines: Vec<&Machine> = roll.called(label);
        let address = spelt_address(name.as_str());
        machines.extend(address.into_iter().flat_map(|ip| roll.reached(ip)));
        if label.len() >= SHORTEST_PART {
            machines.extend(roll.beginning_with(&format!("{label}-")));
            machines.extend(roll.ending_in(&format!("-{label}")));
            if label.len() == NETBIOS {
                machines.extend(roll.beginning_with(label));
            }
            if let Some((cut, _)) = label.split_at_checked(NETBIOS) {
                machines.extend(roll.called(cut));
            }
            machines.extend(parts(label).flat_map(|part| roll.called(part)));
        }
        machines.sort_by(|one, other| one.uid.cmp(&other.uid));
        machines.dedup_by(|one, other| one.uid == other.uid);
        let names = |machine: &Machine| roll.names_of(machine);
        machines
            .into_iter()
            .filter_map(|machine| Difference::of(name, machine, &names(machine), address))
            .collect()
    }
}

/// What to set where NodeClaims do not say what their hosts are called.
pub(crate) fn karpenter() -> &'static str {
    "NodeClaims have no names and addresses of hosts: set karpenter: {ec2: {}}, which has EC2 asked, or a nodeNameTemplate"
}

/// The first label of what may be no name.
pub(crate) fn first_word(text: &str) -> &str {
    text.split(['.', ' ']).next().unwrap_or(text)
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// What is left of a label when something is cut off before or behind a hyphen.
fn parts(label: &str) -> impl Iterator<Item = &str> {
    let cuts = label.match_indices('-').take(CUTS);
    let parts = cuts.flat_map(move |(at, _)| {
        let behind = at.saturating_add(1);
        [label.get(..at), label.get(behind..)]
    });
    parts.flatten().filter(|part| part.len() >= SHORTEST_PART)
}

/// The address that a node name spells, as clouds do: `ip-10-0-0-1`, or the address itself.
fn spelt_address(name: &str) -> Option<IpAddr> {
    if let Ok(ip) = name.parse() {
        return Some(ip);
    }
    let numbers: Vec<Option<u8>> = first_label(name)
        .split('-')
        .map(|part| part.parse().ok())
        .collect();
    let spelt = numbers.windows(4).find_map(|four| match four {
        [Some(a), Some(b), Some(c), Some(d)] => Some(Ipv4Addr::new(*a, *b, *c, *d)),
        _ => None,
    });
    spelt.map(IpAddr::V4)
}

#[cfg(test)]
#[path = "near_miss_tests.rs"]
mod tests;
