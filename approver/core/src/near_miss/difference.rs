//! The difference between one Machine and a name that it almost owns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rollcall_csr::NodeName;

use super::{NETBIOS, first_label, first_word};
use crate::{Address, Machine, MachineReference, Source, generic_name};

/// The maximum length of a name in a message, in characters.
const SHOWN: usize = 63;

/// The remedy for a host that asks by a name that any machine may have.
pub(super) const OWN_NAME: &str =
    "see that the host gets a name of its own before its kubelet starts";

/// The distance between a name and a Machine, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The Machine owns it, but is not read.
    Owned,
    /// The record has the exact name in another field.
    SameName,
    /// The first label is the same.
    SameLabel,
    /// The name spells an address of the Machine.
    Address,
    /// A part of the name is the same.
    Part,
}

/// One Machine, and its difference.
pub(super) struct Difference {
    rank: Rank,
    reference: MachineReference,
    words: String,
    state: Option<String>,
    elsewhere: Option<String>,
    place: String,
    /// The setting that would make it own the name.
    pub(super) remedy: Option<String>,
}

impl Difference {
    /// Returns the difference between a name and a Machine that owns the names `own`; `None` if it is too large. `address` is
    /// the address that the name spells.
    pub(super) fn of(
        name: &NodeName,
        machine: &Machine,
        own: &BTreeSet<NodeName>,
        address: Option<IpAddr>,
    ) -> Option<Self> {
        let (rank, words, remedy) = if own.contains(name) {
            (Rank::Owned, "owns it".to_owned(), None)
        } else {
            same_name(name, machine)
                .or_else(|| same_label(name, machine, own))
                .or_else(|| same_address(name, machine, address))
                .or_else(|| same_part(name, machine, own))?
        };
        Some(Self {
            rank,
            reference: machine.reference.clone(),
            words,
            state: state(machine, own),
            elsewhere: None,
            place: place(machine),
            remedy,
        })
    }

    /// Marks the Machine as excluded by the configuration.
    pub(super) fn is_stranger(&mut self) {
        self.elsewhere = Some(self.place.clone());
        self.remedy = Some(
            "the configuration says under machines which namespaces and clusters are read"
                .to_owned(),
        );
    }

    /// The sort key: the nearer first, and of equally near ones those on the roll.
    pub(super) fn order(&self) -> (Rank, bool, &MachineReference) {
        (self.rank, self.elsewhere.is_some(), &self.reference)
    }

    /// The message.
    pub(super) fn sentence(&self) -> String {
        let reference = short(&plain(&self.reference.to_string()));
        let state = self.state.iter().map(|state| format!(", and {state}"));
        let elsewhere = self.elsewhere.iter();
        let elsewhere = elsewhere.map(|place| format!(", but {place} is not read"));
        let more: String = state.chain(elsewhere).collect();
        format!("Machine {reference} {}{more}", self.words)
    }
}

type Found = (Rank, String, Option<String>);

/// The type of the address that is this name, if the record lists it.
fn address_type(name: &NodeName, machine: &Machine) -> Option<&'static str> {
    let mut addresses = machine.addresses.iter();
    addresses.find_map(|address| match address {
        Address::ExternalDns(known) if known == name => Some("ExternalDNS"),
        Address::Hostname(known) if known == name => Some("Hostname"),
        Address::InternalDns(known) if known == name => Some("InternalDNS"),
        Address::ExternalDns(_)
        | Address::ExternalIp(_)
        | Address::Hostname(_)
        | Address::InternalDns(_)
        | Address::InternalIp(_) => None,
    })
}

/// Checks for the exact name, in a field that does not count.
fn same_name(name: &NodeName, machine: &Machine) -> Option<Found> {
    let (words, remedy) = if let Some(type_) = address_type(name, machine) {
        let words = match type_ {
            "ExternalDNS" => "has it as ExternalDNS, which no node is called by".to_owned(),
            type_ if !generic_name::names_node(machine.source, name) => {
                let words = format!("has it as {type_}, which means any machine");
                return Some((Rank::SameName, words, Some(OWN_NAME.to_owned())));
            }
            type_ => format!("has it as {type_}, which does not count here (nameStrategies)"),
        };
        (words, None)
    } else if machine.reference.name.eq_ignore_ascii_case(name.as_str()) {
        (
            "is called so itself".to_owned(),
            Some(
                if generic_name::is_default(name) || generic_name::is_unnamed(name) {
                    OWN_NAME.to_owned()
                } else {
                    remedy("nameStrategies", "machineName")
                },
            ),
        )
    } else if is_instance(name.as_str(), machine) {
        (
            "has an instance that is called so".to_owned(),
            Some(remedy("nameStrategies", "providerID")),
        )
    } else {
        return None;
    };
    Some((Rank::SameName, words, remedy))
}

/// Checks for a name of the Machine with the same first label.
fn same_label(name: &NodeName, machine: &Machine, own: &BTreeSet<NodeName>) -> Option<Found> {
    let (label, domain) = split(name.as_str());
    let same = |known: &&NodeName| first_label(known.as_str()) == label;
    if let Some(known) = own.iter().find(same) {
        let differs = match (split(known.as_str()).1, domain) {
            (None, _) => "without a domain",
            (Some(_), None) => "with a domain",
            (Some(_), Some(_)) => "in another domain",
        };
        let words = format!("owns {}, {differs}", short(known.as_str()));
        let stated = machine.addresses.iter().any(|address| {
            matches!(address, Address::Hostname(name) | Address::InternalDns(name) if first_label(name.as_str()) == label)
        });
        let gap = if stated { "{{ host }}" } else { "{{ name }}" };
        return Some((Rank::SameLabel, words, template(gap, domain)));
    }
    otherwise_called(label, domain, machine)
}

/// Checks other names in the record, which it does not own, for the same first label.
fn otherwise_called(label: &str, domain: Option<&str>, machine: &Machine) -> Option<Found> {
    let mut external = machine
        .addresses
        .iter()
        .filter_map(|address| match address {
            Address::ExternalDns(name) => Some(name),
            Address::ExternalIp(_)
            | Address::Hostname(_)
            | Address::InternalDns(_)
            | Address::InternalIp(_) => None,
        });
    if let Some(known) = external.find(|known| first_label(known.as_str()) == label) {
        let words = format!(
            "has {} as ExternalDNS, which no node is called by",
            short(known.as_str())
        );
        return Some((Rank::SameLabel, words, None));
    }
    let itself = &machine.reference.name;
    if first_label(itself).eq_ignore_ascii_case(label) {
        let words = format!("is called {} itself", short(&plain(itself)));
        return Some((Rank::SameLabel, words, template("{{ name }}", domain)));
    }
    if is_instance(label, machine) {
        let words = format!("has the instance {label}");
        return Some((Rank::SameLabel, words, template("{{ instance }}", domain)));
    }
    let mut unread = machine.unread_addresses.iter();
    let meant = |text: &String| first_word(text).eq_ignore_ascii_case(label);
    unread
        .any(meant)
        .then(|| (Rank::SameLabel, "is meant by its record".to_owned(), None))
}

/// Checks for an address of the Machine that the name spells.
fn same_address(name: &NodeName, machine: &Machine, address: Option<IpAddr>) -> Option<Found> {
    let ip = address?;
    let internal = machine.addresses.iter().any(|known| match known {
        Address::InternalIp(known) => *known == ip,
        Address::ExternalDns(_)
        | Address::ExternalIp(_)
        | Address::Hostname(_)
        | Address::InternalDns(_) => false,
    });
    let dashed = ip.to_string().replace('.', "-");
    let template = name.as_str().replace(&dashed, "{{ address }}");
    let remedy = (internal && template != name.as_str() && template.len() <= SHOWN)
        .then(|| remedy("nodeNameTemplate", &format!("'{template}'")));
    let words = format!("has the address {ip}, which the name spells, but no such name");
    Some((Rank::Address, words, remedy)).filter(|_| has(machine, ip))
}

fn has(machine: &Machine, ip: IpAddr) -> bool {
    machine.addresses.iter().any(|known| match known {
        Address::ExternalIp(known) | Address::InternalIp(known) => *known == ip,
        Address::ExternalDns(_) | Address::Hostname(_) | Address::InternalDns(_) => false,
    })
}

/// Checks for a label of the Machine that is equal except for a prefix or suffix.
fn same_part(name: &NodeName, machine: &Machine, own: &BTreeSet<NodeName>) -> Option<Found> {
    let (label, domain) = split(name.as_str());
    let itself = machine.reference.name.as_str();
    let owned = own.iter().map(|name| (first_label(name.as_str()), "owns"));
    let mut known = owned.chain([(first_label(itself), "is called")]);
    known.find_map(|(known, verb)| {
        let differs = parts_differ(label, known)?;
        let words = format!("{verb} {}; {differs}", short(&plain(known)));
        let added = label
            .strip_suffix(itself)
            .map(|before| (before, ""))
            .or_else(|| Some(("", label.strip_prefix(itself)?)));
        let remedy = added.and_then(|(before, behind)| {
            template(&format!("{before}{{{{ name }}}}{behind}"), domain)
        });
        Some((Rank::Part, words, remedy))
    })
}

/// Describes the difference between two labels, one of which contains the other.
fn parts_differ(asked: &str, known: &str) -> Option<String> {
    let cut = |short: &str, long: &str| short.len() == NETBIOS && long.starts_with(short);
    if cut(asked, known) {
        return Some("the name asked for is cut to 15 characters, as Windows does".to_owned());
    }
    if cut(known, asked) {
        return Some(
            "that is the name asked for, cut to 15 characters, as Windows does".to_owned(),
        );
    }
    let before = |long: &str, part: &str| long.strip_suffix(part)?.strip_suffix('-').map(short);
    let behind = |long: &str, part: &str| long.strip_prefix(part)?.strip_prefix('-').map(short);
    if let Some(more) = before(asked, known) {
        return Some(format!("the name asked for has {more}- before it"));
    }
    if let Some(more) = behind(asked, known) {
        return Some(format!("the name asked for has -{more} behind it"));
    }
    if let Some(more) = before(known, asked) {
        return Some(format!("the name asked for lacks {more}- before it"));
    }
    behind(known, asked).map(|more| format!("the name asked for lacks -{more} behind it"))
}

/// An address in the record that could not be parsed, unchanged.
fn unread(machine: &Machine) -> Option<String> {
    let text = machine.unread_addresses.first()?;
    Some(format!(
        "has an address that is no name: {}",
        short(&format!("{text:?}"))
    ))
}

/// Another reason why a Machine gets no certificate, or has no name.
fn state(machine: &Machine, own: &BTreeSet<NodeName>) -> Option<String> {
    if machine.deleting {
        Some("is being deleted".to_owned())
    } else if machine.failed {
        Some("has failed".to_owned())
    } else if let Some(node) = &machine.node_reference {
        Some(format!("has become Node {} already", short(node.as_str())))
    } else if own.is_empty() {
        Some(unread(machine).unwrap_or_else(|| why_nameless(machine).to_owned()))
    } else {
        unread(machine)
    }
}

/// The reason why a Machine has no known name.
pub(super) fn why_nameless(machine: &Machine) -> &'static str {
    match (machine.source, &machine.provider_id) {
        (Source::Karpenter, None) => "has no providerID yet",
        (Source::Gardener, _) => "has no label node yet",
        _ if machine.addresses.is_empty() => "has no addresses yet",
        _ => "has no name among its addresses",
    }
}

/// The namespace of a Machine, and its cluster.
fn place(machine: &Machine) -> String {
    let namespace = &machine.reference.namespace;
    // The label with the cluster in Cluster API (cluster-api, `api/core`).
    let cluster = machine.labels.get("cluster.x-k8s.io/cluster-name");
    let source = machine.source.as_str();
    match cluster {
        Some(cluster) => format!(
            "{source} in namespace {} of cluster {}",
            short(&plain(namespace)),
            short(&plain(cluster))
        ),
        None if namespace.is_empty() => source.to_owned(),
        None => format!("{source} in namespace {}", short(&plain(namespace))),
    }
}

fn is_instance(text: &str, machine: &Machine) -> bool {
    let instance = machine.instance();
    instance.is_some_and(|instance| instance.eq_ignore_ascii_case(text))
}

/// Splits a name into its first label and the rest.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('.') {
        Some((label, domain)) => (label, Some(domain)),
        None => (name, None),
    }
}

fn template(gap: &str, domain: Option<&str>) -> Option<String> {
    let template = match domain {
        Some(domain) => format!("{gap}.{domain}"),
        None => gap.to_owned(),
    };
    let fits = template.len() <= SHOWN;
    fits.then(|| remedy("nodeNameTemplate", &format!("'{template}'")))
}

fn remedy(setting: &str, value: &str) -> String {
    format!("if hosts here are called so, say it with {setting}: {value}")
}

/// Returns a text unchanged if it is printable on one line; otherwise quoted.
pub(super) fn plain(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    if text.chars().all(fits) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Truncates a text.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
