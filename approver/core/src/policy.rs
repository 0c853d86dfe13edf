//! The settings that change a decision, all validated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use rollcall_csr::ClusterId;

use crate::{IpRange, Machine, Naming, Requestor, Scope, ServerName, WindowFrom};

/// Whom a first certificate may come through: every given part must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestorRule {
    /// The exact user name.
    pub username: Option<String>,
    /// A group that the requestor must be in.
    pub group: Option<String>,
}

impl RequestorRule {
    /// A rule for one user.
    pub fn username(username: &str) -> Self {
        Self {
            username: Some(username.to_owned()),
            group: None,
        }
    }

    /// A rule for the members of one group.
    pub fn group(group: &str) -> Self {
        Self {
            username: None,
            group: Some(group.to_owned()),
        }
    }

    /// Whether the rule names this requestor. A rule without any part names nobody.
    pub fn matches(&self, requestor: &Requestor) -> bool {
        let username = self
            .username
            .as_ref()
            .is_none_or(|username| *username == requestor.username);
        let group = self
            .group
            .as_ref()
            .is_none_or(|group| requestor.groups.contains(group));
        (self.username.is_some() || self.group.is_some()) && username && group
    }
}

/// How much the evidence of a request is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// None is needed, or there is none.
    None,
    /// It shows which machine it is of, but whoever has seen it can show it again, with a key of their own.
    Replayable,
    /// It belongs to the request's own key: with another key it is worth nothing.
    Bound,
}

impl Strength {
    /// The word for it in the configuration and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Replayable => "replayable",
            Self::Bound => "bound",
        }
    }
}

/// What it takes that a pending Machine is given its first certificate, beyond that it is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What happens when two keys ask for it.
    pub contested: Contested,
    /// What its machine has to prove.
    pub evidence: Strength,
    /// How long it may ask for it, after its creation or after its instance was ready: see [`Policy::window_from`].
    pub join_window: SignedDuration,
    /// To how many keys, in all, its certificate may be issued while its Node has not appeared.
    pub max_issues: usize,
    /// How long after an approval another key may ask for it while its Node has not appeared.
    pub reissue_after: SignedDuration,
    /// Where two keys ask for it: how long no new one may have come before one of them has it.
    pub settle_after: SignedDuration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            contested: Contested::Settle,
            evidence: Strength::None,
            join_window: SignedDuration::from_hours(2),
            max_issues: 3,
            // As long as a kubelet waits for its certificate before it gives up (Kubernetes: `pkg/kubelet/certificate/bootstrap`).
            reissue_after: SignedDuration::from_mins(5),
            settle_after: SignedDuration::from_mins(4),
        }
    }
}

/// What happens when two keys ask for one pending Machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contested {
    /// All of them wait.
    Hold,
    /// The newest request wins, so whoever files another one.
    Newest,
    /// What proves more comes first. Otherwise all of them wait until no new key has come for a while: then the one that
    /// asked first has its chance, and the one that asked last when that is not used.
    Settle,
}

/// When a node that is known may come back through a bootstrapper, because its certificate expired while it was off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePolicy {
    /// Whether any may.
    pub enabled: bool,
    /// How long ago the certificate that it shows may have expired.
    pub max_expired: SignedDuration,
    /// To how many keys its Machine may have been issued certificates within that time, this one included.
    pub max_issues: usize,
}

impl Default for ResumePolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            max_expired: SignedDuration::from_hours(30 * 24),
            max_issues: 3,
        }
    }
}

/// A class of requests that are of no use for ever, so that they can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyClass {
    /// The request cannot be read, or holds what no kubelet puts there.
    Malformed,
    /// Subject, usages or names are not those of a kubelet: the signer would refuse it.
    Profile,
    /// A newer request, which could be approved itself, asks for the same node: nobody waits for this one any more.
    Superseded,
}

/// Addresses that the Machines of one pool may serve under, though no record names them, or several do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraRange {
    /// The pool.
    pub pool: String,
    /// The ranges.
    pub ranges: Vec<IpRange>,
    /// Whether addresses count in them that mean every machine, or the cluster.
    pub shared: bool,
}

/// Which nodes get again what they serve already though their Machines list no address at which to see it: each is dialled
/// at the addresses that it asks for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewWithoutAddresses {
    /// Those that were there before their records, which were made for them.
    Adopted,
    /// Every node.
    All,
    /// None.
    #[default]
    Never,
}

/// What serving certificates may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingPolicy {
    /// What the API servers are reached by: no node may have it.
    pub api_servers: BTreeSet<ServerName>,
    /// The domain of the cluster's Services, in lower case without a trailing dot: no node may have a name in it.
    pub cluster_domain: String,
    /// Whether requests for serving certificates are decided at all; otherwise they are left to others.
    pub enabled: bool,
    /// Addresses that no Machine record names.
    pub extra_ranges: Vec<ExtraRange>,
    /// Which nodes are dialled at the addresses that they ask for.
    pub renew_without_addresses: RenewWithoutAddresses,
}

impl Default for ServingPolicy {
    fn default() -> Self {
        Self {
            api_servers: BTreeSet::new(),
            // The default of kubelet and kubeadm (`clusterDomain`, `networking.dnsDomain`).
            cluster_domain: "cluster.local".to_owned(),
            enabled: true,
            extra_ranges: Vec::new(),
            renew_without_addresses: RenewWithoutAddresses::default(),
        }
    }
}

impl ServingPolicy {
    /// Whether a name that no Machine record has is allowed for this Machine's pool.
    pub(crate) fn allows(&self, machine: &Machine, name: &ServerName) -> bool {
        self.ranges_for(machine, name).next().is_some()
    }

    /// Whether an address is allowed for this Machine's pool even if it means every machine, or the cluster.
    pub(crate) fn allows_shared(&self, machine: &Machine, name: &ServerName) -> bool {
        self.ranges_for(machine, name).any(|extra| extra.shared)
    }

    fn ranges_for(
        &self,
        machine: &Machine,
        name: &ServerName,
    ) -> impl Iterator<Item = &ExtraRange> {
        self.extra_ranges.iter().filter(|extra| {
            machine.pool.as_ref() == Some(&extra.pool)
                && matches!(name, ServerName::Ip(ip) if extra.ranges.iter().any(|range| range.contains(*ip)))
        })
    }
}

/// The settings of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where the bootstrap tokens are read that were made for one Machine each (Cluster API's KubeadmConfigs).
    pub bootstrap_tokens: BTreeSet<Scope>,
    /// Who may bring a first certificate's request.
    pub bootstrappers: Vec<RequestorRule>,
    /// How far the clocks of the API server's replicas may differ.
    pub clock_skew: SignedDuration,
    /// The CA certificates by which machines know this cluster's API server. Those of the kubelet CA count as well.
    pub clusters: BTreeSet<ClusterId>,
    /// What is denied; everything else that is wrong waits.
    pub deny: Vec<DenyClass>,
    /// How long facts may be trusted after their watch was lost.
    pub max_staleness: SignedDuration,
    /// How Machines are matched with node names, where it is not as [`Naming::of`] their source.
    pub naming: BTreeMap<Scope, Naming>,
    /// Whether a new Machine may have a Node that a machine left which is gone.
    pub replace_leftover_nodes: bool,
    /// When a node that is known may come back.
    pub resume: ResumePolicy,
    /// The rules of the pools that have rules of their own.
    pub pools: BTreeMap<String, Rules>,
    /// The rules of all other Machines.
    pub rules: Rules,
    /// What serving certificates may hold.
    pub serving: ServingPolicy,
    /// What the join window is counted from.
    pub window_from: WindowFrom,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            bootstrap_tokens: BTreeSet::new(),
            bootstrappers: vec![
                // OpenShift 4 and 3.11, and whoever holds a bootstrap token (kubeadm, Cluster API).
                RequestorRule::username(
                    "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper",
                ),
                RequestorRule::username("system:serviceaccount:openshift-infra:node-bootstrapper"),
                RequestorRule::group("system:bootstrappers"),
            ],
            clock_skew: SignedDuration::from_secs(10),
            clusters: BTreeSet::new(),
            deny: vec![DenyClass::Malformed, DenyClass::Profile],
            max_staleness: SignedDuration::from_secs(60),
            naming: BTreeMap::new(),
            replace_leftover_nodes: false,
            resume: ResumePolicy::default(),
            pools: BTreeMap::new(),
            rules: Rules::default(),
            serving: ServingPolicy::default(),
            window_from: WindowFrom::default(),
        }
    }
}

impl Policy {
    /// The rules that hold for a Machine.
    pub fn rules(&self, machine: &Machine) -> &Rules {
        let pool = machine.pool.as_ref();
        pool.and_then(|pool| self.pools.get(pool))
            .unwrap_or(&self.rules)
    }

    /// Whether it is read which bootstrap token was made for a Machine.
    pub(crate) fn reads_token_of(&self, machine: &Machine) -> bool {
        let mut scopes = self.bootstrap_tokens.iter();
        scopes.any(|scope| scope.covers(machine))
    }

    /// Whether a first certificate may come through this requestor. Who is a node never passes for a bootstrapper.
    pub(crate) fn is_bootstrapper(&self, requestor: &Requestor) -> bool {
        let mut rules = self.bootstrappers.iter();
        requestor.node().is_none() && rules.any(|rule| rule.matches(requestor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_needs_every_part_it_names() {
        let requestor = Requestor {
            username: "u".to_owned(),
            groups: vec!["g".to_owned()],
        };
        assert!(RequestorRule::username("u").matches(&requestor));
        assert!(RequestorRule::group("g").matches(&requestor));
        assert!(!RequestorRule::group("u").matches(&requestor));
        let both = RequestorRule {
            username: Some("u".to_owned()),
            group: Some("other".to_owned()),
        };
        assert!(!both.matches(&requestor));
        assert!(
            !RequestorRule {
                username: None,
                group: None
            }
            .matches(&requestor)
        );
    }
}
