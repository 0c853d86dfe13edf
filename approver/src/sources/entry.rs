//! `machines` in the configuration file: the sources, and the matching of their Machines with node names.

use std::fmt;

use rollcall_approver_core::{LookUp, NameStrategy, NameTemplate, Naming, Scope, Source};
use serde::Deserialize;
use serde::de::{SeqAccess, Visitor};

use super::cluster_api::CLUSTER;
use crate::aws;
use crate::config::AwsAutoScaling;

/// The namespace of OpenShift's Machines.
const OPENSHIFT_NAMESPACE: &str = "openshift-machine-api";

/// The default scopes, if the configuration names none.
pub(crate) fn default() -> Vec<Scope> {
    vec![Scope::new(Source::OpenShift, OPENSHIFT_NAMESPACE)]
}

/// The scopes read in a dump without an approver configuration: the default ones, and everything of the other sources.
pub(crate) fn everything() -> Vec<Scope> {
    let default = default();
    let others = super::ALL.iter().filter(|known| {
        let source = |scope: &Scope| scope.source == known.source;
        !default.iter().any(source)
    });
    let others: Vec<Scope> = others.map(|known| Scope::new(known.source, "")).collect();
    [default, others].concat()
}

/// One entry of the list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Entry {
    /// A controller that creates ExpectedMachines.
    AwsAutoScaling(AwsAutoScaling),
    #[serde(rename = "clusterAPI")]
    ClusterApi(ClusterApi),
    ExpectedMachines(ExpectedMachines),
    Gardener(Somewhere),
    Karpenter(Karpenter),
    #[serde(rename = "openshift")]
    OpenShift(OpenShift),
}

/// A source with records in any namespace, and of several clusters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterApi {
    namespace: Option<Namespace>,
    /// The format of a namespace applies (cluster-api: cluster names must be valid label values).
    cluster_name: Option<Namespace>,
    /// True if KubeadmConfigs are read for the bootstrap tokens of the Machines.
    #[serde(default)]
    bootstrap_tokens: bool,
    name_strategies: Option<Vec<Strategy>>,
    #[serde(alias = "nodeNameTemplates")]
    node_name_template: Option<Templates>,
}

/// A cluster-scoped source with records that lack the names of their instances.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Karpenter {
    #[serde(default, deserialize_with = "present")]
    ec2: Option<Ec2>,
    name_strategies: Option<Vec<Strategy>>,
    #[serde(alias = "nodeNameTemplates")]
    node_name_template: Option<Templates>,
}

/// Instances are looked up in EC2.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ec2 {
    region: Option<Region>,
}

/// Deserializes a present value, even an empty one: `ec2:` without a value is an error and must not be ignored.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Ec2>, D::Error> {
    Ec2::deserialize(deserializer).map(Some)
}

/// A cluster-scoped source with records that name their nodes themselves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedMachines {}

/// A source without a usual namespace.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Somewhere {
    namespace: Namespace,
    name_strategies: Option<Vec<Strategy>>,
    #[serde(alias = "nodeNameTemplates")]
    node_name_template: Option<Templates>,
}

/// A source with a usual namespace.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OpenShift {
    #[serde(default = "openshift_namespace")]
    namespace: Namespace,
    name_strategies: Option<Vec<Strategy>>,
    #[serde(alias = "nodeNameTemplates")]
    node_name_template: Option<Templates>,
}

fn openshift_namespace() -> Namespace {
    Namespace(OPENSHIFT_NAMESPACE.to_owned())
}

/// The result of reading an entry.
pub(crate) struct Reading {
    /// The scope in which Machines are read.
    pub(crate) scope: Scope,
    /// The matching of the Machines.
    pub(crate) naming: Naming,
    /// True if KubeadmConfigs of the scope are read for bootstrap tokens.
    pub(crate) bootstrap_tokens: bool,
}

/// The matching of the Machines of an entry, if it is set.
type Matching = (Option<Vec<Strategy>>, Option<Templates>);

impl Entry {
    /// Returns the scope, and the matching of its Machines.
    ///
    /// # Errors
    /// If the strategies contradict each other, or one of them can never give a name.
    pub(crate) fn read(self) -> Result<Reading, String> {
        let bootstrap_tokens = matches!(&self, Self::ClusterApi(entry) if entry.bootstrap_tokens);
        let (scope, (strategies, templates)) = self.parts();
        let naming = naming(&scope, strategies, templates)
            .map_err(|message| format!("machines: {}: {message}", scope.source.as_str()))?;
        Ok(Reading {
            scope,
            naming,
            bootstrap_tokens,
        })
    }

    fn parts(self) -> (Scope, Matching) {
        match self {
            Self::ClusterApi(entry) => {
                let cluster = entry.cluster_name.map(|Namespace(name)| name);
                let scope = Scope {
                    label: cluster.map(|name| (CLUSTER.to_owned(), name)),
                    ..scope(Source::ClusterApi, entry.namespace)
                };
                (scope, (entry.name_strategies, entry.node_name_template))
            }
            Self::AwsAutoScaling(_) | Self::ExpectedMachines(ExpectedMachines {}) => {
                (scope(Source::ExpectedMachine, None), (None, None))
            }
            Self::Gardener(entry) => (
                scope(Source::Gardener, Some(entry.namespace)),
                (entry.name_strategies, entry.node_name_template),
            ),
            Self::Karpenter(entry) => {
                let look_up = entry.ec2.map(|Ec2 { region }| LookUp::Ec2 {
                    region: region.map(|Region(region)| region),
                });
                let scope = Scope {
                    look_up,
                    ..scope(Source::Karpenter, None)
                };
                (scope, (entry.name_strategies, entry.node_name_template))
            }
            Self::OpenShift(entry) => (
                scope(Source::OpenShift, Some(entry.namespace)),
                (entry.name_strategies, entry.node_name_template),
            ),
        }
    }
}

fn scope(source: Source, namespace: Option<Namespace>) -> Scope {
    let namespace = namespace.map_or_else(String::new, |Namespace(namespace)| namespace);
    Scope::new(source, &namespace)
}

/// The strategies of a source: those of the entry, or its defaults; the templates apply in addition.
fn naming(
    scope: &Scope,
    strategies: Option<Vec<Strategy>>,
    templates: Option<Templates>,
) -> Result<Naming, String> {
    let templates = templates.map_or_else(Vec::new, |Templates(templates)| templates);
    let looked_up = scope.look_up.is_some();
    let empty = |template: &NameTemplate| template.never_filled(scope.source, looked_up);
    if let Some(placeholder) = templates.iter().find_map(empty) {
        return Err(format!(
            "nodeNameTemplate: no record there has the placeholder {placeholder}, so that the template would never give a \
             name; {}",
            match scope.source {
                Source::Karpenter if !looked_up && placeholder != "namespace" =>
                    "set ec2: {}, which has EC2 asked for names and addresses, or use another one",
                Source::ClusterApi
                | Source::ExpectedMachine
                | Source::Gardener
                | Source::Karpenter
                | Source::OpenShift => "use another one",
            }
        ));
    }
    let default = Naming::of(scope.source);
    let Some(strategies) = strategies else {
        let own = (!templates.is_empty()).then_some(NameStrategy::Template);
        return Ok(Naming {
            strategies: default.strategies.into_iter().chain(own).collect(),
            templates,
            ..default
        });
    };
    let strategies: Vec<_> = strategies.into_iter().map(NameStrategy::from).collect();
    check_listed(&strategies, !templates.is_empty())?;
    Ok(Naming {
        strategies,
        templates,
        guess: None,
    })
}

/// Returns an error if the strategies of an entry are invalid.
fn check_listed(strategies: &[NameStrategy], templates: bool) -> Result<(), String> {
    let repeated = strategies
        .iter()
        .enumerate()
        .find(|(index, strategy)| strategies.iter().take(*index).any(|one| one == *strategy));
    if let Some((_, strategy)) = repeated {
        let word = strategy.as_str();
        return Err(format!("nameStrategies lists {word} twice"));
    }
    if strategies.is_empty() {
        return Err("nameStrategies is empty, so that no Machine would own a node".to_owned());
    }
    match (strategies.contains(&NameStrategy::Template), templates) {
        (true, false) => {
            Err("nameStrategies lists template, but there is no nodeNameTemplate".to_owned())
        }
        (false, true) => {
            Err("there is a nodeNameTemplate, but nameStrategies does not list template".to_owned())
        }
        (true, true) | (false, false) => Ok(()),
    }
}

#[derive(Clone, Copy, Deserialize)]
enum Strategy {
    #[serde(rename = "nodeReference")]
    NodeReference,
    // The types of addresses are accepted in these forms too (Kubernetes: `core/v1` `NodeAddressType`).
    #[serde(rename = "internalDNS", alias = "InternalDNS")]
    InternalDns,
    #[serde(rename = "hostname", alias = "Hostname")]
    Hostname,
    #[serde(rename = "machineName")]
    MachineName,
    #[serde(rename = "providerID")]
    ProviderId,
    #[serde(rename = "template")]
    Template,
}

impl From<Strategy> for NameStrategy {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::NodeReference => Self::NodeReference,
            Strategy::InternalDns => Self::InternalDns,
            Strategy::Hostname => Self::Hostname,
            Strategy::MachineName => Self::MachineName,
            Strategy::ProviderId => Self::ProviderId,
            Strategy::Template => Self::Template,
        }
    }
}

/// One template or several, parsed while the line in the file is known for errors.
struct Templates(Vec<NameTemplate>);

impl<'de> Deserialize<'de> for Templates {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore)
    }
}

/// A visitor of a text, or of a list of distinct texts.
struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Templates;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a template, such as '{{ name }}.example.com', or a list of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Templates, E> {
        Ok(Templates(vec![template(text)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Templates, A::Error> {
        let mut templates = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            let template = template::<A::Error>(&text)?;
            if templates.contains(&template) {
                let message = format!("nodeNameTemplate: {text:?} is there twice");
                return Err(serde::de::Error::custom(message));
            }
            templates.push(template);
        }
        if templates.is_empty() {
            let message = "nodeNameTemplate: the list is empty; name a template or leave it out";
            return Err(serde::de::Error::custom(message));
        }
        Ok(Templates(templates))
    }
}

fn template<E: serde::de::Error>(text: &str) -> Result<NameTemplate, E> {
    text.parse()
        .map_err(|error| E::custom(format!("nodeNameTemplate: {error}")))
}

/// A region of AWS.
struct Region(String);

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !aws::is_region(&text) {
            let message = format!("{text:?} is no AWS region; write it like eu-west-1");
            return Err(serde::de::Error::custom(message));
        }
        Ok(Self(text))
    }
}

/// A namespace, which is not empty: a source read in all namespaces leaves it out.
struct Namespace(String);

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A name of RFC 1123, at most 63 characters (Kubernetes: `DNS1123LabelMaxLength`).
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 63 || !text.chars().all(fits) {
            let message = format!("{text:?} is no name of a namespace");
            return Err(serde::de::Error::custom(message));
        }
        Ok(Self(text))
    }
}
