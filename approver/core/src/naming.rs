//! Which node names a Machine owns: by what its record says, or by how its platform builds names.

use std::collections::BTreeSet;
use std::str::FromStr;

use rollcall_csr::NodeName;

use crate::{Address, Machine, Source};

/// Which names of a Machine can be its node's name.
///
/// The first three are **facts**: its record states the name. The others are **conventions**: the name is built from
/// something else, the way the platform is known to name its nodes.
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

    fn is_fact(self) -> bool {
        match self {
            Self::NodeReference | Self::InternalDns | Self::Hostname => true,
            Self::MachineName | Self::ProviderId | Self::Template => false,
        }
    }
}

/// How the Machines of one source are matched with node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// In which ways a Machine owns node names, in the order in which they are tried.
    pub strategies: Vec<NameStrategy>,
    /// What [`NameStrategy::Template`] builds names from.
    pub template: Option<NameTemplate>,
}

impl Naming {
    /// How the Machines of a source are matched unless the configuration says otherwise.
    pub fn of(source: Source) -> Self {
        let facts = [
            NameStrategy::NodeReference,
            NameStrategy::InternalDns,
            NameStrategy::Hostname,
        ];
        let convention = match source {
            Source::ExpectedMachine | Source::Gardener | Source::OpenShift => None,
            // Addresses are optional there, and most providers call the host what the Machine is called.
            Source::ClusterApi => Some(NameStrategy::MachineName),
            // There are no addresses at all before a node has registered.
            Source::Karpenter => Some(NameStrategy::ProviderId),
        };
        Self {
            strategies: facts.into_iter().chain(convention).collect(),
            template: None,
        }
    }

    /// The node names that a Machine owns. All facts that are listed count. A convention is a guess: the first in the
    /// list that gives a name counts, and only for a Machine that no fact names.
    pub fn names(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let strategies = || self.strategies.iter().copied();
        let known: BTreeSet<NodeName> = strategies()
            .filter(|strategy| strategy.is_fact())
            .flat_map(|strategy| self.by(strategy, machine))
            .collect();
        if !known.is_empty() {
            return known;
        }
        strategies()
            .filter(|strategy| !strategy.is_fact())
            .map(|strategy| self.by(strategy, machine))
            .find(|names| !names.is_empty())
            .map(BTreeSet::from_iter)
            .unwrap_or_default()
    }

    /// Every name that the Machine may ever have owned: a certificate for any of them has spent it, though facts that
    /// came later took a guessed name away.
    pub fn every_name(&self, machine: &Machine) -> BTreeSet<NodeName> {
        let strategies = self.strategies.iter();
        strategies
            .flat_map(|strategy| self.by(*strategy, machine))
            .collect()
    }

    fn by(&self, strategy: NameStrategy, machine: &Machine) -> Vec<NodeName> {
        match strategy {
            NameStrategy::Hostname => names_among(machine, |address| match address {
                Address::Hostname(name) => Some(name),
                Address::ExternalDns(_)
                | Address::ExternalIp(_)
                | Address::InternalDns(_)
                | Address::InternalIp(_) => None,
            }),
            NameStrategy::InternalDns => names_among(machine, |address| match address {
                Address::InternalDns(name) => Some(name),
                Address::ExternalDns(_)
                | Address::ExternalIp(_)
                | Address::Hostname(_)
                | Address::InternalIp(_) => None,
            }),
            // What is no node's name, such as a Machine's that is too long, owns no node.
            NameStrategy::MachineName => machine.reference.name.parse().into_iter().collect(),
            NameStrategy::NodeReference => machine.node_reference.clone().into_iter().collect(),
            NameStrategy::ProviderId => machine
                .instance()
                .and_then(|instance| NodeName::from_dns_name(instance).ok())
                .into_iter()
                .collect(),
            NameStrategy::Template => self
                .template
                .as_ref()
                .and_then(|template| template.name(machine))
                .into_iter()
                .collect(),
        }
    }
}

fn names_among(machine: &Machine, name: fn(&Address) -> Option<&NodeName>) -> Vec<NodeName> {
    machine.addresses.iter().filter_map(name).cloned().collect()
}

/// A node name with gaps, such as `{{ name }}.{{ region }}.compute.internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Gap(Placeholder),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Instance,
    Name,
    Namespace,
    Pool,
    Region,
    Zone,
}

impl Placeholder {
    const ALL: [(&str, Self); 6] = [
        ("instance", Self::Instance),
        ("name", Self::Name),
        ("namespace", Self::Namespace),
        ("pool", Self::Pool),
        ("region", Self::Region),
        ("zone", Self::Zone),
    ];

    fn of(self, machine: &Machine) -> Option<&str> {
        match self {
            Self::Instance => machine.instance(),
            Self::Name => Some(machine.reference.name.as_str()),
            Self::Namespace => Some(machine.reference.namespace.as_str()),
            Self::Pool => machine.pool.as_deref(),
            Self::Region => machine.region.as_deref(),
            Self::Zone => machine.zone.as_deref(),
        }
        .filter(|text| !text.is_empty())
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameTemplateError {
    /// Without a placeholder every Machine would own the same name.
    #[error("it has no placeholder, so that every Machine would own the same name")]
    NoPlaceholder,
    /// A name with this text in it is no node's.
    #[error("{0:?} cannot stand in a node name")]
    NotAName(String),
    /// Braces that do not match.
    #[error("the braces do not match; a placeholder is written {{{{ name }}}}")]
    Unbalanced,
    /// A placeholder that means nothing.
    #[error(
        "there is no placeholder {0:?}; there are instance, name, namespace, pool, region and zone"
    )]
    Unknown(String),
}

impl NameTemplate {
    /// The name that it makes of a Machine; none when the Machine lacks what a placeholder stands for.
    fn name(&self, machine: &Machine) -> Option<NodeName> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Gap(placeholder) => name.push_str(placeholder.of(machine)?),
                Part::Text(text) => name.push_str(text),
            }
        }
        NodeName::from_dns_name(&name).ok()
    }
}

impl FromStr for NameTemplate {
    type Err = NameTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").ok_or(Self::Err::Unbalanced)?;
            let known = Placeholder::ALL
                .into_iter()
                .find(|(known, _)| *known == word.trim());
            let (_, placeholder) = known.ok_or_else(|| Self::Err::Unknown(word.trim().into()))?;
            parts.extend(literal(before)?);
            parts.push(Part::Gap(placeholder));
            rest = after;
        }
        parts.extend(literal(rest)?);
        let gaps =
            |part: &Part| matches!(part, Part::Gap(Placeholder::Name | Placeholder::Instance));
        if !parts.iter().any(gaps) {
            return Err(Self::Err::NoPlaceholder);
        }
        Ok(Self(parts))
    }
}

fn literal(text: &str) -> Result<Option<Part>, NameTemplateError> {
    if text.contains(['{', '}']) {
        return Err(NameTemplateError::Unbalanced);
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if !text.chars().all(fits) {
        return Err(NameTemplateError::NotAName(text.to_owned()));
    }
    Ok((!text.is_empty()).then(|| Part::Text(text.to_owned())))
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
