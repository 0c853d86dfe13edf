//! Settings that are accepted and can have no effect as the others stand, or an effect that is easily overlooked: said at
//! the start and when the configuration changes.
//!
//! A value counts as set where it differs from the default, since `deploy/base/config.yaml` states every default.

mod bootstrap;

use std::fmt;

use rollcall_approver_core::{
    ExtraRange, IpRange, NameStrategy, Naming, RenewWithoutAddresses, Scope, ServerName,
    ServingPolicy, Source, Vouching,
};
use tracing::warn;

use super::{Config, Mode};
use crate::kubelets::{Kubelets, PORT};

/// A setting, and what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// The path of the setting in the file, or the flag.
    pub(crate) setting: String,
    /// Why it has no effect, or which one.
    pub(crate) text: String,
}

impl Remark {
    pub(crate) fn new(setting: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            text: text.into(),
        }
    }

    /// A setting without effect, for a reason.
    pub(crate) fn idle(setting: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::new(setting, format!("has no effect: {why}"))
    }
}

/// Says each in a line of the log.
pub(crate) fn tell(remarks: impl IntoIterator<Item = Remark>) {
    for Remark { setting, text } in remarks {
        warn!(setting, "{text}");
    }
}

/// Everything that is to be said of a configuration. `mode` is that of the command line, where it names one.
pub(crate) fn remarks(config: &Config, mode: Option<Mode>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    remarks.extend(check_mode(config, mode));
    bootstrap::check(config, &mut remarks);
    check_serving(config, &mut remarks);
    check_ca(&config.kubelets, &mut remarks);
    check_sources(config, &mut remarks);
    check_auto_scaling(config, mode, &mut remarks);
    remarks
}

fn check_mode(config: &Config, mode: Option<Mode>) -> Option<Remark> {
    let overruled = config.mode != Mode::default() && mode.is_some_and(|mode| mode != config.mode);
    overruled.then(|| Remark::idle("mode", "the flag --mode outweighs it"))
}

/// Whether the configuration names a source of this kind.
fn reads(config: &Config, source: Source) -> bool {
    config.machines.iter().any(|scope| scope.source == source)
}

/// The entries of a list that another one covers, each with the first that does. Of two that cover each other, the first counts.
fn covered<T>(all: &[T], covers: impl Fn(&T, &T) -> bool) -> Vec<(&T, &T)> {
    let entries = || all.iter().enumerate();
    let by = |(place, entry): (usize, &T)| {
        let mut others = entries().filter(|(other, _)| *other != place);
        let found = others.find(|(other, wider)| {
            covers(wider, entry) && (*other < place || !covers(entry, wider))
        });
        found.map(|(_, wider)| wider)
    };
    entries()
        .filter_map(|(place, entry)| Some((entry, by((place, entry))?)))
        .collect()
}

fn check_serving(config: &Config, remarks: &mut Vec<Remark>) {
    let (serving, kubelets) = (&config.policy.serving, &config.kubelets);
    if !serving.enabled {
        let why =
            "with serving.enabled: false, requests for serving certificates are left to others";
        let set = set_serving(serving, kubelets).into_iter();
        remarks.extend(set.map(|setting| Remark::idle(setting, why)));
        return;
    }
    if kubelets.ca.is_empty() {
        let why = "without any serving.kubeletCA no node is dialled";
        if kubelets.port != PORT {
            remarks.push(Remark::idle("serving.port", why));
        }
        if serving.renew_without_addresses != RenewWithoutAddresses::Never {
            remarks.push(Remark::idle("serving.renewWithoutAddresses", why));
        }
    } else if serving.renew_without_addresses == RenewWithoutAddresses::Adopted
        && !reads(config, Source::ExpectedMachine)
    {
        remarks.push(Remark::idle(
            "serving.renewWithoutAddresses",
            "only nodes of ExpectedMachines are adopted, and machines names no expectedMachines",
        ));
    }
    check_api_servers(serving, remarks);
    check_ranges(&serving.extra_ranges, remarks);
}

/// The settings of serving certificates that are not as by default, but for what else they serve: the kubelet CA verifies
/// certificates of before too.
fn set_serving(serving: &ServingPolicy, kubelets: &Kubelets) -> Vec<&'static str> {
    let default = ServingPolicy::default();
    let set = [
        (
            serving.cluster_domain != default.cluster_domain,
            "serving.clusterDomain",
        ),
        (!serving.api_servers.is_empty(), "serving.apiServers"),
        (!serving.extra_ranges.is_empty(), "serving.extraRanges"),
        (
            serving.renew_without_addresses != default.renew_without_addresses,
            "serving.renewWithoutAddresses",
        ),
        (kubelets.port != PORT, "serving.port"),
    ];
    let set = set.into_iter().filter(|(set, _)| *set);
    set.map(|(_, setting)| setting).collect()
}

fn check_api_servers(serving: &ServingPolicy, remarks: &mut Vec<Remark>) {
    let domain = &serving.cluster_domain;
    let covered = serving.api_servers.iter().filter(|name| match name {
        ServerName::Dns(name) => name
            .as_str()
            .strip_suffix(domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        ServerName::Ip(_) => false,
    });
    remarks.extend(covered.map(|name| {
        Remark::idle(
            format!("serving.apiServers: {name}"),
            format!("no node may serve under a name in {domain} anyway (serving.clusterDomain)"),
        )
    }));
}

/// Ranges that lie within another one of the same pool, which allows as much.
fn check_ranges(all: &[ExtraRange], remarks: &mut Vec<Remark>) {
    let ranges: Vec<_> = all
        .iter()
        .flat_map(|extra| extra.ranges.iter().map(move |range| (extra, range)))
        .collect();
    let holds = |(wide, range): &(&ExtraRange, &IpRange),
                 (other, narrow): &(&ExtraRange, &IpRange)| {
        let (first, last) = narrow.ends();
        wide.pool == other.pool
            && (wide.shared || !other.shared)
            && range.contains(first)
            && range.contains(last)
    };
    for ((extra, range), (_, wide)) in covered(&ranges, holds) {
        remarks.push(Remark::idle(
            format!("serving.extraRanges: {range} of pool {}", extra.pool),
            format!("{wide} of the same pool holds it"),
        ));
    }
}

fn check_ca(kubelets: &Kubelets, remarks: &mut Vec<Remark>) {
    for (ca, _) in covered(&kubelets.ca, PartialEq::eq) {
        let setting = format!("serving.kubeletCA: {ca}");
        remarks.push(Remark::idle(setting, "it is listed before"));
    }
}

fn check_sources(config: &Config, remarks: &mut Vec<Remark>) {
    if config.policy.vouching == Vouching::Any && config.machines.len() < 2 {
        let why = "machines names one source only, and each record of a machine is of that one";
        remarks.push(Remark::idle("vouching", why));
    }
    for scope in &config.machines {
        remarks.extend(check_cluster_name(scope));
        if let Some(naming) = config.policy.naming.get(scope) {
            check_strategies(scope, naming, remarks);
        }
    }
}

/// The label that names the cluster is set by whoever may make Machines in any namespace.
fn check_cluster_name(scope: &Scope) -> Option<Remark> {
    let (_, cluster) = scope.label.as_ref()?;
    scope.namespace.is_empty().then(|| {
        Remark::new(
            format!("machines: {scope}"),
            format!(
                "clusterName without namespace: whoever may make Machines in any namespace can label them with the cluster \
                 {cluster:?}, and so hold up its machines, or have machines of their own join; name the namespace"
            ),
        )
    })
}

/// Strategies that can name no machine before its node has joined. Only what an entry lists is looked at.
fn check_strategies(scope: &Scope, naming: &Naming, remarks: &mut Vec<Remark>) {
    let default = Naming::of(scope.source);
    let own = naming.strategies.iter();
    let own: Vec<NameStrategy> = own
        .copied()
        .filter(|strategy| *strategy != NameStrategy::Template)
        .collect();
    if own == default.strategies && naming.guess == default.guess {
        return;
    }
    let setting = format!("machines: {scope}: nameStrategies");
    let by_address = |strategy: &NameStrategy| {
        matches!(strategy, NameStrategy::InternalDns | NameStrategy::Hostname)
    };
    let addresses = scope.source != Source::Karpenter || scope.look_up.is_some();
    let gives = |strategy: &NameStrategy| {
        *strategy != NameStrategy::NodeReference && (addresses || !by_address(strategy))
    };
    if !naming.strategies.iter().any(gives) {
        let why =
            "no strategy in it names a machine before its node has joined, so that none can join";
        let remedy = if addresses {
            "list another one, such as hostname or machineName"
        } else {
            "set ec2: {}, or list providerID or a template"
        };
        remarks.push(Remark::new(setting, format!("{why}; {remedy}")));
    } else if !addresses {
        let idle = naming.strategies.iter().filter(|one| by_address(one));
        remarks.extend(idle.map(|strategy| {
            Remark::idle(
                format!("{setting}: {}", strategy.as_str()),
                "NodeClaims have no addresses; ec2: {} has EC2 asked for them",
            )
        }));
    }
}

fn check_auto_scaling(config: &Config, mode: Option<Mode>, remarks: &mut Vec<Remark>) {
    let entries = &config.auto_scaling;
    for _ in covered(entries, PartialEq::eq) {
        let why = "another entry says the same";
        remarks.push(Remark::idle("machines: awsAutoScaling", why));
    }
    if mode.unwrap_or(config.mode) == Mode::Audit && !entries.is_empty() {
        let why = "mode audit writes nothing, so no ExpectedMachine is made for an instance";
        remarks.push(Remark::idle("machines: awsAutoScaling", why));
    }
}

#[cfg(test)]
#[path = "without_effect_tests.rs"]
mod tests;
