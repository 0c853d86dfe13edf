//! Near misses: the Machines that almost own a name that no Machine owns, and the difference. Only used in messages: no
//! decision depends on them, and they are computed when a hold is displayed, not when it is decided.

mod difference;

use std::net::{IpAddr, Ipv4Addr};

use rollcall_csr::NodeName;

use self::difference::{Difference, plain, short};
use crate::{Machine, Roll, Source, generic_name};

/// The maximum number of Machines in a message.
const NAMED: usize = 3;
/// The maximum length of the part of the message that lists them, in bytes: with a long node name and a remedy, the
/// whole stays below a thousand, the limit of an Event (Kubernetes: `NoteLengthLimit`, 1 kB).
const LONGEST: usize = 480;
/// Shorter parts of names occur in too many others.
const SHORTEST_PART: usize = 4;
/// The maximum number of places at which a name is split.
const CUTS: usize = 8;
/// The length to which Windows truncates host names (NetBIOS; RFC 1001 section 14.1).
pub(super) const NETBIOS: usize = 15;

/// The context of a search for near misses.
pub(crate) struct Search<'a> {
    /// The Machines on the roll.
    pub(crate) roll: &'a Roll,
    /// Known Machines that the configuration excludes.
    pub(crate) strangers: &'a Roll,
    /// True if a cloud API provides the data that NodeClaims lack.
    pub(crate) looked_up: bool,
}

impl Search<'_> {
    /// Describes the near misses of a node name that no Machine owns.
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

    /// Describes the case without any similar Machine.
    fn without(&self, name: &NodeName) -> String {
        if generic_name::is_default(name) || generic_name::is_unnamed(name) {
            return format!("{name} means any machine: {}", difference::OWN_NAME);
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

/// The settings for NodeClaims without host names.
pub(crate) fn karpenter() -> &'static str {
    "NodeClaims have no names and addresses of hosts: set karpenter: {ec2: {}}, which has EC2 asked, or a nodeNameTemplate"
}

/// The first label of a text that may not be a name.
pub(crate) fn first_word(text: &str) -> &str {
    text.split(['.', ' ']).next().unwrap_or(text)
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The parts of a label, cut before or after a hyphen.
fn parts(label: &str) -> impl Iterator<Item = &str> {
    let cuts = label.match_indices('-').take(CUTS);
    let parts = cuts.flat_map(move |(at, _)| {
        let behind = at.saturating_add(1);
        [label.get(..at), label.get(behind..)]
    });
    parts.flatten().filter(|part| part.len() >= SHORTEST_PART)
}

/// Parses the address in a node name, in the form of clouds: `ip-10-0-0-1`, or the address itself.
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
