//! Templates of node names, with placeholders for fields of a Machine.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

use rollcall_csr::NodeName;

use super::{hostname, internal_dns, names_among};
use crate::{Address, Machine, SharedAddress, Source, generic_name};

/// A node name with placeholders, such as `{{ name }}.{{ region }}.compute.internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Gap(Placeholder),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Address,
    Host,
    Instance,
    Name,
    Namespace,
    Pool,
    /// A part of the providerID, counted from one.
    ProviderId(usize),
    Region,
    Zone,
}

impl Placeholder {
    const WORDS: [(&str, Self); 8] = [
        ("address", Self::Address),
        ("host", Self::Host),
        ("instance", Self::Instance),
        ("name", Self::Name),
        ("namespace", Self::Namespace),
        ("pool", Self::Pool),
        ("region", Self::Region),
        ("zone", Self::Zone),
    ];
    /// The prefix of a placeholder for a part of the providerID.
    const PROVIDER_ID: &str = "providerID.";

    fn read(word: &str) -> Result<Self, NameTemplateError> {
        let words = Self::WORDS.into_iter();
        let mut known = words.filter(|(known, _)| *known == word);
        if let Some((_, placeholder)) = known.next() {
            return Ok(placeholder);
        }
        let number = word.strip_prefix(Self::PROVIDER_ID);
        // Only Azure's providerIDs have more than nine parts, and their last one is `instance`.
        match number.and_then(|number| number.parse().ok()) {
            Some(part @ 1..=9) => Ok(Self::ProviderId(part)),
            _ => Err(NameTemplateError::Unknown(word.to_owned())),
        }
    }

    fn of(self, machine: &Machine) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Address => Cow::from(dashed_address(machine)?),
            Self::Host => first_label(machine)?.into(),
            Self::Instance => machine.instance()?.into(),
            Self::Name => machine.reference.name.as_str().into(),
            Self::Namespace => machine.reference.namespace.as_str().into(),
            Self::Pool => machine.pool.as_deref()?.into(),
            Self::ProviderId(part) => machine.provider_id_part(part)?.into(),
            Self::Region => machine.region.as_deref()?.into(),
            Self::Zone => machine.zone.as_deref()?.into(),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns true if the value differs between Machines. If a part of a providerID does not, several Machines own the
    /// name, and none of them gets it.
    fn is_own(self) -> bool {
        match self {
            Self::Address | Self::Host | Self::Instance | Self::Name | Self::ProviderId(_) => true,
            Self::Namespace | Self::Pool | Self::Region | Self::Zone => false,
        }
    }

    /// Returns true if records of this source can have the value; `looked_up` is true if a cloud API provides their
    /// addresses.
    fn is_in(self, source: Source, looked_up: bool) -> bool {
        match (self, source) {
            (Self::Address | Self::Host, Source::Karpenter) => looked_up,
            (Self::Namespace, Source::ExpectedMachine | Source::Karpenter)
            | (Self::Region | Self::Zone, Source::ExpectedMachine | Source::Gardener) => false,
            (Self::Address | Self::Host | Self::Namespace | Self::Region | Self::Zone, _)
            | (Self::Instance | Self::Name | Self::Pool | Self::ProviderId(_), _) => true,
        }
    }
}

/// The first internal IPv4 address that is not shared, in the form of cloud host names: `10-0-0-1`.
fn dashed_address(machine: &Machine) -> Option<String> {
    let mut internal = machine
        .addresses
        .iter()
        .filter_map(|address| match address {
            Address::InternalIp(IpAddr::V4(ip)) => Some(ip),
            Address::InternalIp(IpAddr::V6(_))
            | Address::ExternalDns(_)
            | Address::ExternalIp(_)
            | Address::Hostname(_)
            | Address::InternalDns(_) => None,
        });
    let ip = internal.find(|ip| SharedAddress::of(IpAddr::V4(**ip)).is_none())?;
    Some(ip.to_string().replace('.', "-"))
}

/// The first label of the host name in the record.
fn first_label(machine: &Machine) -> Option<String> {
    let [hostnames, internal] = [hostname, internal_dns].map(|type_| names_among(machine, type_));
    let mut names = hostnames.into_iter().chain(internal);
    // The first part of an IP address is not a host name, and a generic name does not identify a machine.
    let name = names.find(|name| {
        name.as_str().parse::<IpAddr>().is_err() && generic_name::tells(machine.source, name)
    })?;
    name.as_str().split('.').next().map(str::to_owned)
}

/// The reason why a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameTemplateError {
    /// Without a placeholder every Machine would own the same name.
    #[error(
        "no placeholder in it differs from Machine to Machine, so that all of them would own the same name; use name, \
         instance, host, address or providerID.1"
    )]
    NoPlaceholder,
    /// Names with this text are never valid node names.
    #[error("{0:?} cannot stand in a node name")]
    NotAName(String),
    /// Braces that do not match.
    #[error("the braces do not match; a placeholder is written {{{{ name }}}}")]
    Unbalanced,
    /// An unknown placeholder.
    #[error(
        "there is no placeholder {0:?}; there are name, namespace, pool, region, zone, instance, host, address and \
         providerID.1 to providerID.9"
    )]
    Unknown(String),
}

impl NameTemplate {
    /// Returns the name for a Machine; `None` if the Machine lacks a value for a placeholder.
    pub(super) fn name(&self, machine: &Machine) -> Option<NodeName> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Gap(placeholder) => name.push_str(&placeholder.of(machine)?),
                Part::Text(text) => name.push_str(text),
            }
        }
        NodeName::from_dns_name(&name).ok()
    }

    /// Returns a placeholder that no record of this source fills, so that the template never yields a name; `looked_up` is
    /// true if a cloud API provides their addresses.
    pub fn never_filled(&self, source: Source, looked_up: bool) -> Option<&'static str> {
        let gaps = self.0.iter().filter_map(|part| match part {
            Part::Gap(placeholder) => Some(*placeholder),
            Part::Text(_) => None,
        });
        let mut empty = gaps.filter(|gap| !gap.is_in(source, looked_up));
        let empty = empty.next()?;
        let mut words = Placeholder::WORDS.into_iter();
        words
            .find(|(_, placeholder)| *placeholder == empty)
            .map(|(word, _)| word)
    }
}

impl FromStr for NameTemplate {
    type Err = NameTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").ok_or(Self::Err::Unbalanced)?;
            parts.extend(literal(before)?);
            parts.push(Part::Gap(Placeholder::read(word.trim())?));
            rest = after;
        }
        parts.extend(literal(rest)?);
        let own = |part: &Part| matches!(part, Part::Gap(placeholder) if placeholder.is_own());
        if !parts.iter().any(own) {
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
