//! The validated settings that influence decisions.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use rollcall_csr::ClusterId;

use crate::{
    BOOTSTRAPPERS, IpRange, Machine, Naming, Requestor, Scope, ServerName, Vouching, WindowFrom,
};

/// A rule for the requestors of first certificates: every given part must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestorRule {
    /// The exact user name.
    pub username: Option<String>,
    /// A group that must contain the requestor.
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

    /// Returns true if the rule matches this requestor. A rule without any part matches no requestor.
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

/// The strength of a request's evidence, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// No evidence.
    None,
    /// It identifies the machine, but anyone who has seen it can replay it with another key.
    Replayable,
    /// It is bound to the request's own key: with another key it is invalid.
    Bound,
}

impl Strength {
    /// The word in the configuration and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Replayable => "replayable",
            Self::Bound => "bound",
        }
    }
}

/// The requirements for issuing a pending Machine's first certificate, beyond being expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The behaviour if two keys request it.
    pub contested: Contested,
    /// The evidence that its machine must provide.
    pub evidence: Strength,
    /// The time for requesting it, after its creation or after its instance was ready: see [`Policy::window_from`].
    pub join_window: SignedDuration,
    /// The maximum number of keys that it may be issued to while its Node has not appeared.
    pub max_issues: usize,
    /// The time after an approval until another key may request it while its Node has not appeared.
    pub reissue_after: SignedDuration,
    /// If two keys request it: the time without a new one after which one of them gets it.
    pub settle_after: SignedDuration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            contested: Contested::Settle,
            evidence: Strength::None,
            join_window: SignedDuration::from_hours(2),
            max_issues: 3,
            // As long as a kubelet waits for its certificate before it gives up (Kubernetes:
            // `pkg/kubelet/certificate/bootstrap`).
            reissue_after: SignedDuration::from_mins(5),
            settle_after: SignedDuration::from_mins(4),
        }
    }
}

/// The behaviour if two keys request the same pending Machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contested {
    /// All of them wait.
    Hold,
    /// The newest request wins, so any client that files another one.
    Newest,
    /// Stronger evidence comes first. Otherwise all of them wait until no new key has come for a while: then the key
    /// that asked first gets the certificate, and the one that asked last if that is not used.
    Settle,
}

/// The conditions under which a known node may return through a bootstrapper, after its certificate expired while it
/// was off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePolicy {
    /// True if nodes may return.
    pub enabled: bool,
    /// The maximum time since the expiry of the certificate in the evidence.
    pub max_expired: SignedDuration,
    /// The maximum number of keys that its Machine may be issued certificates for within that time, including this one.
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

/// A class of permanently useless requests, which can be denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyClass {
    /// The request is unreadable, or contains fields that kubelets do not set.
    Malformed,
    /// Subject, usages or names are not those of a kubelet: the signer would refuse it.
    Profile,
    /// A newer request for the same node could itself be approved: no kubelet waits for this one any more.
    Superseded,
}

/// Addresses that the Machines of one pool may serve under, even if no record lists them, or several do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraRange {
    /// The pool.
    pub pool: String,
    /// The ranges.
    pub ranges: Vec<IpRange>,
    /// True if addresses in the ranges count even if they are shared by all machines, or the cluster's.
    pub shared: bool,
}

/// The nodes that may renew their current serving names although their Machines list no address to dial: each is dialled
/// at the addresses that it requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewWithoutAddresses {
    /// Nodes that existed before their records, which were created for them.
    Adopted,
    /// Every node.
    All,
    /// None.
    #[default]
    Never,
}

/// The permitted content of serving certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingPolicy {
    /// The names and addresses of the API servers, which no node may have.
    pub api_servers: BTreeSet<ServerName>,
    /// The domain of the cluster's Services, in lower case without a trailing dot, in which no node may have a name.
    pub cluster_domain: String,
    /// True if requests for serving certificates are decided; otherwise they are ignored.
    pub enabled: bool,
    /// Permitted addresses that no Machine record lists.
    pub extra_ranges: Vec<ExtraRange>,
    /// The nodes that are dialled at the addresses they request.
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
    /// Returns true if a name that no Machine record lists is allowed for this Machine's pool.
    pub(crate) fn allows(&self, machine: &Machine, name: &ServerName) -> bool {
        self.ranges_for(machine, name).next().is_some()
    }

    /// Returns true if an address is allowed for this Machine's pool even if it is shared by all machines, or the
    /// cluster's.
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

/// The settings of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The scopes in which bootstrap tokens of individual Machines are read (Cluster API's KubeadmConfigs).
    pub bootstrap_tokens: BTreeSet<Scope>,
    /// The requestors that may request first certificates.
    pub bootstrappers: Vec<RequestorRule>,
    /// The maximum clock difference between the API server's replicas.
    pub clock_skew: SignedDuration,
    /// The CA certificates that identify this cluster's API server to machines. Those of the kubelet CA also count.
    pub clusters: BTreeSet<ClusterId>,
    /// The classes of requests to deny; all other invalid requests are held.
    pub deny: Vec<DenyClass>,
    /// The time for which facts may be used after their watch was lost.
    pub max_staleness: SignedDuration,
    /// The rules that match Machines with node names, if different from [`Naming::of`] their source.
    pub naming: BTreeMap<Scope, Naming>,
    /// True if a new Machine may replace a leftover Node of a deleted machine.
    pub replace_leftover_nodes: bool,
    /// The conditions under which a known node may return.
    pub resume: ResumePolicy,
    /// The rules of individual pools.
    pub pools: BTreeMap<String, Rules>,
    /// The rules of all other Machines.
    pub rules: Rules,
    /// The permitted content of serving certificates.
    pub serving: ServingPolicy,
    /// The records that vouch for a machine with records in several sources.
    pub vouching: Vouching,
    /// The start of the join window.
    pub window_from: WindowFrom,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            bootstrap_tokens: BTreeSet::new(),
            bootstrappers: vec![
                // OpenShift 4 and 3.11, and bootstrap tokens (kubeadm, Cluster API).
                RequestorRule::username(
                    "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper",
                ),
                RequestorRule::username("system:serviceaccount:openshift-infra:node-bootstrapper"),
                RequestorRule::group(BOOTSTRAPPERS),
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
            vouching: Vouching::default(),
            window_from: WindowFrom::default(),
        }
    }
}

impl Policy {
    /// The rules for a Machine.
    pub fn rules(&self, machine: &Machine) -> &Rules {
        let pool = machine.pool.as_ref();
        pool.and_then(|pool| self.pools.get(pool))
            .unwrap_or(&self.rules)
    }

    /// Returns true if the bootstrap token of a Machine is read.
    pub(crate) fn reads_token_of(&self, machine: &Machine) -> bool {
        let mut scopes = self.bootstrap_tokens.iter();
        scopes.any(|scope| scope.covers(machine))
    }

    /// Returns true if this requestor may request first certificates. A node is never a bootstrapper.
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
