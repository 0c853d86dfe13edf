//! The node names that a Machine owns: from its record, from the configuration of its source, or, if neither names it,
//! from the naming convention of its platform.

mod template;

use std::collections::BTreeSet;

use rollcall_csr::NodeName;

pub use self::template::{NameTemplate, NameTemplateError};
use crate::{Address, Machine, Source, generic_name};

/// A way to derive a node name from a Machine.
///
/// The first three are **facts**: the record contains the name. The others are **conventions**: the name is derived
/// from another field, as configured or as usual on the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStrategy {
    /// The Node it is bound to.
    NodeReference,
    /// Its InternalDNS addresses.
    InternalDns,
    /// Its Hostname addresses.
    Hostname,
    /// The name of the Machine.
    MachineName,
    /// The last part of its providerID: the name or id of the instance.
    ProviderId,
    /// A [`NameTemplate`].
    Template,
}

impl NameStrategy {
    /// The word in the configuration and in messages.
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

/// The rules that match the Machines of one source with node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The strategies: a Machine owns the names of all of them.
    pub strategies: Vec<NameStrategy>,
    /// The templates for [`NameStrategy::Template`]: every one that a Machine can fill counts.
    pub templates: Vec<NameTemplate>,
    /// A convention that was not configured: it only counts for a Machine without any other name.
    pub guess: Option<NameStrategy>,
}

impl Naming {
    /// The default rules for the Machines of a source.
    pub fn of(source: Source) -> Self {
        let facts = [
            NameStrategy::NodeReference,
            NameStrategy::InternalDns,
            NameStrategy::Hostname,
        ];
        let guess = match source {
            Source::ExpectedMachine | Source::Gardener | Source::OpenShift => None,
            // Addresses are optional there, and most providers give the host the Machine's name.
            Source::ClusterApi => Some(NameStrategy::MachineName),
            // No addresses are known before a node has registered.
            Source::Karpenter => Some(NameStrategy::ProviderId),
        };
        Self {
            strategies: facts.into(),
            templates: Vec::new(),
            guess,
        }
    }

    /// The node names that a Machine owns: those of all strategies, or, if there are none, the guess.
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

    /// Every name that the Machine may ever have owned: a certificate for any of them has spent it, even if later facts
    /// have removed a guessed name.
    pub fn every_name(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let strategies = self.strategies.iter().copied().chain(self.guess);
        strategies
            .flat_map(|strategy| self.by(strategy, machine))
            .collect()
    }

    /// The names of a strategy, without generic ones.
    fn by(&self, strategy: NameStrategy, machine: &Machine) -> Vec<NodeName> {
        let mut names = self.all_by(strategy, machine);
        names.retain(|name| match strategy {
            // Its controller found the Node by other means.
            NameStrategy::NodeReference => true,
            NameStrategy::Hostname | NameStrategy::InternalDns => {
                generic_name::names_node(machine.source, name)
            }
            NameStrategy::MachineName | NameStrategy::ProviderId | NameStrategy::Template => {
                !generic_name::is_default(name) && !generic_name::is_unnamed(name)
            }
        });
        names
    }

    fn all_by(&self, strategy: NameStrategy, machine: &Machine) -> Vec<NodeName> {
        match strategy {
            NameStrategy::Hostname => names_among(machine, hostname),
            NameStrategy::InternalDns => names_among(machine, internal_dns),
            // An invalid node name, such as a Machine name that is too long, owns no node.
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
