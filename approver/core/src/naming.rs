//! Which node names a Machine owns: by what its record says, by what the configuration says of its source, or, where
//! neither names it, by how its platform builds names.

mod template;

use std::collections::BTreeSet;

use rollcall_csr::NodeName;

pub use self::template::{NameTemplate, NameTemplateError};
use crate::{Address, Machine, Source, generic_name};

/// Which names of a Machine can be its node's name.
///
/// The first three are **facts**: its record states the name. The others are **conventions**: the name is built from
/// something else, because the configuration or what is known of the platform says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStrategy {
    /// The Node it is bound to.
    NodeReference,
    /// Its InternalDNS addresses.
    InternalDns,
    /// Its Hostname addresses.
    Hostname,
    /// The Machine's own name.
    MachineName,
    /// The last part of its providerID: the name or id of the instance.
    ProviderId,
    /// A [`NameTemplate`].
    Template,
}

impl NameStrategy {
    /// The word for it in the configuration and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NodeReference => "nodeReference",
            Self::InternalDns => "internalDNS",
            Self::Hostname => "hostname",
            Self::MachineName => "machineName",
            Self::ProviderId => "providerID",
            Self::Template => "template",
        }
    }
}

/// How the Machines of one source are matched with node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The ways in which a Machine owns node names: each of them counts.
    pub strategies: Vec<NameStrategy>,
    /// What [`NameStrategy::Template`] builds names from: each that a Machine can fill counts.
    pub templates: Vec<NameTemplate>,
    /// A convention that nobody has asked for: it counts only for a Machine that nothing else names.
    pub guess: Option<NameStrategy>,
}

impl Naming {
    /// How the Machines of a source are matched unless the configuration says otherwise.
    pub fn of(source: Source) -> Self {
        let facts = [
            NameStrategy::NodeReference,
            NameStrategy::InternalDns,
            NameStrategy::Hostname,
        ];
        let guess = match source {
            Source::ExpectedMachine | Source::Gardener | Source::OpenShift => None,
            // Addresses are optional there, and most providers call the host what the Machine is called.
            Source::ClusterApi => Some(NameStrategy::MachineName),
            // There are no addresses at all before a node has registered.
            Source::Karpenter => Some(NameStrategy::ProviderId),
        };
        Self {
            strategies: facts.into(),
            templates: Vec::new(),
            guess,
        }
    }

    /// The node names that a Machine owns: those that any of the strategies gives, or, when none does, the guess.
    pub fn names(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let stated = self.strategies.iter();
        let names: BTreeSet<NodeName> = stated
            .flat_map(|strategy| self.by(*strategy, machine))
            .collect();
        if !names.is_empty() {
            return names;
        }
        let guess = self.guess.into_iter();
        guess
            .flat_map(|strategy| self.by(strategy, machine))
            .collect()
    }

    /// Every name that the Machine may ever have owned: a certificate for any of them has spent it, though facts that
    /// came later took a guessed name away.
    pub fn every_name(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let strategies = self.strategies.iter().copied().chain(self.guess);
        strategies
            .flat_map(|strategy| self.by(strategy, machine))
            .collect()
    }

    /// The names that a strategy gives, without those that any machine may have.
    fn by(&self, strategy: NameStrategy, machine: &Machine) -> Vec<NodeName> {
        let mut names = self.all_by(strategy, machine);
        names.retain(|name| match strategy {
            // Its controller found the Node by other means.
            NameStrategy::NodeReference => true,
            NameStrategy::Hostname | NameStrategy::InternalDns => {
                generic_name::tells(machine.source, name)
            }
            NameStrategy::MachineName | NameStrategy::ProviderId | NameStrategy::Template => {
                !generic_name::is_default(name)
            }
        });
        names
    }

    fn all_by(&self, strategy: NameStrategy, machine: &Machine) -> Vec<NodeName> {
        match strategy {
            NameStrategy::Hostname => names_among(machine, hostname),
            NameStrategy::InternalDns => names_among(machine, internal_dns),
            // What is no node's name, such as a Machine's that is too long, owns no node.
            NameStrategy::MachineName => machine.reference.name.parse().into_iter().collect(),
            NameStrategy::NodeReference => machine.node_reference.clone().into_iter().collect(),
            NameStrategy::ProviderId => machine
                .instance()
                .and_then(|instance| NodeName::from_dns_name(instance).ok())
                .into_iter()
                .collect(),
            NameStrategy::Template => {
                let templates = self.templates.iter();
                templates.filter_map(|one| one.name(machine)).collect()
            }
        }
    }
}

fn hostname(address: &Address) -> Option<&NodeName> {
    match address {
        Address::Hostname(name) => Some(name),
        Address::ExternalDns(_)
        | Address::ExternalIp(_)
        | Address::InternalDns(_)
        | Address::InternalIp(_) => None,
    }
}

fn internal_dns(address: &Address) -> Option<&NodeName> {
    match address {
        Address::InternalDns(name) => Some(name),
        Address::ExternalDns(_)
        | Address::ExternalIp(_)
        | Address::Hostname(_)
        | Address::InternalIp(_) => None,
    }
}

fn names_among(machine: &Machine, name: fn(&Address) -> Option<&NodeName>) -> Vec<NodeName> {
    machine.addresses.iter().filter_map(name).cloned().collect()
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
