//! The second way to a serving certificate: the names that the node serves now, dialled at an address that its Machine
//! vouches for.
//!
//! A Machine record may lack an address that the node has had since its first certificate. If the kubelet CA once signed
//! a certificate for exactly this node, and the node still proves possession of its key, it may have the names again.
//! Another server at that address proves nothing: the kubelet CA did not sign its certificate for this node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::{NODES_GROUP, NodeName};

use crate::profile::list;
use crate::{
    Address, Authority, Facts, Finding, IssuedCertificate, KnownAddresses, Machine, Policy, Reason,
    RenewWithoutAddresses, ServerName, ServingPolicy, SharedAddress, Usage, Wait,
};

/// The time for which the result of a dial counts: after that the node is dialled again.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// The pause after a first failed dial; each later one is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest pause between dials.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// The maximum number of requested addresses at which a node is dialled: each may take seconds.
const MAX_ASKED: usize = 8;

/// A dial for the caller to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The node.
    pub node: NodeName,
    /// The addresses in its Machine, or else the requested ones, to be tried in this order.
    pub addresses: Vec<IpAddr>,
}

/// The result of dialling a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The time of the result.
    pub at: Timestamp,
    /// [`Dial::addresses`].
    pub addresses: Vec<IpAddr>,
    /// The certificates of the first address that answered, or the error if none did.
    pub answer: Result<Chain, String>,
}

/// The certificates that a node serves. It has proven possession of the key of the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The dialled address.
    pub address: IpAddr,
    /// The node's certificate and its intermediates, as DER.
    pub certificates: Vec<Vec<u8>>,
}

impl Chain {
    /// Returns the names in the certificate, if one of these authorities issued it to this node.
    ///
    /// # Errors
    /// If it did not; the text describes the certificate instead.
    pub fn names(
        &self,
        node: &NodeName,
        authorities: &[Authority],
        now: Timestamp,
    ) -> Result<BTreeSet<ServerName>, String> {
        let (leaf, intermediates) = self
            .certificates
            .split_first()
            .ok_or("is no certificate at all")?;
        let leaf = IssuedCertificate::from_der(leaf).map_err(|error| error.to_string())?;
        leaf.verify(intermediates, authorities, Usage::ServerAuth, now)
            .map_err(|error| error.to_string())?;
        let subject = leaf.subject();
        if subject.organization != NODES_GROUP || leaf.node().as_ref() != Some(node) {
            return Err(format!(
                "is for O={}, CN={}, another node",
                subject.organization, subject.common_name
            ));
        }
        Ok(leaf.names().clone())
    }
}

/// The dial history of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialled {
    last: Served,
    /// The number of consecutive failed dials.
    failures: u32,
}

impl Dialled {
    /// Adds a dial to the history `before`.
    pub fn new(last: Served, before: Option<&Self>) -> Self {
        let again = before.map_or(0, |before| before.failures).saturating_add(1);
        let failures = if last.answer.is_err() { again } else { 0 };
        Self { last, failures }
    }

    /// The end of the pause after failed dials.
    fn pause_ends(&self) -> Option<Timestamp> {
        let doublings = self.failures.saturating_sub(1).min(u32::from(u8::MAX));
        let factor = 2_i32.saturating_pow(doublings);
        let pause = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
        self.last.at.checked_add(pause).ok()
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.last.at).abs() <= FRESH
    }
}

/// The IP addresses in a Machine's record at which its node can be dialled, in order. Addresses that are shared by all
/// machines, or the cluster's, are excluded.
pub(crate) fn dial_addresses(
    machine: &Machine,
    known: Option<&KnownAddresses>,
    policy: &ServingPolicy,
) -> Vec<IpAddr> {
    let ips = machine
        .addresses
        .iter()
        .filter_map(|address| match address {
            Address::ExternalIp(ip) | Address::InternalIp(ip) => Some(ip.to_canonical()),
            Address::ExternalDns(_) | Address::Hostname(_) | Address::InternalDns(_) => None,
        });
    let is_clusters = |ip: IpAddr| {
        let name = ServerName::Ip(ip);
        let of = &[machine][..];
        let moves = policy.api_servers.contains(&name)
            || known.is_some_and(|known| known.find(&name, of).is_some());
        // The address of a single API server is its machine's own.
        moves && known.is_none_or(|known| known.endpoint(&name, of).is_none())
    };
    let mut addresses = Vec::new();
    for ip in ips.filter(|ip| SharedAddress::of(*ip).is_none()) {
        if !addresses.contains(&ip) && !is_clusters(ip) {
            addresses.push(ip);
        }
    }
    addresses
}

/// Returns true if a node is dialled at the requested addresses, for a Machine without addresses.
fn is_dialled_as_asked(machine: &Machine, facts: &Facts<'_>, policy: &Policy) -> bool {
    match policy.serving.renew_without_addresses {
        RenewWithoutAddresses::All => true,
        RenewWithoutAddresses::Adopted => facts
            .node
            .is_some_and(|node| machine.adopted_node.as_ref() == Some(&node.uid)),
        RenewWithoutAddresses::Never => false,
    }
}

/// The requested addresses at which the node can be dialled, in order. Addresses of the dialling machine itself, its
/// link or many machines are excluded.
fn asked_addresses(asked: &BTreeSet<ServerName>) -> Vec<IpAddr> {
    let ips = asked.iter().filter_map(|name| match name {
        ServerName::Ip(ip) => Some(*ip),
        ServerName::Dns(_) => None,
    });
    ips.filter(|ip| SharedAddress::of(*ip).is_none())
        .take(MAX_ASKED)
        .collect()
}

/// The result of the second way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// The address at which the node serves exactly these names.
    pub(crate) good: Option<IpAddr>,
    /// True if only the node itself vouches for that address.
    pub(crate) unvouched: bool,
    /// The finding against it.
    pub(crate) against: Option<Finding>,
    /// The change to wait for.
    pub(crate) wait: Option<Wait>,
}

/// Checks that the node serves exactly these names now. Without any configured kubelet CA, this way does not exist.
pub(crate) fn check(
    asked: &BTreeSet<ServerName>,
    node: &NodeName,
    machine: &Machine,
    facts: &Facts<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Way {
    let Some(ca) = facts.kubelet_ca else {
        return Way::default();
    };
    let authorities = ca.trusted(policy.max_staleness, now);
    if authorities.is_empty() {
        return Way::blocked(
            Reason::KubeletCaMissing,
            format!(
                "what the node serves now cannot be verified: there is no CA certificate in {}",
                ca.sources().join(", ")
            ),
        );
    }
    let mut addresses = dial_addresses(machine, facts.cluster_addresses, &policy.serving);
    let unvouched = addresses.is_empty();
    if unvouched && is_dialled_as_asked(machine, facts, policy) {
        addresses = asked_addresses(asked);
    }
    if addresses.is_empty() {
        return Way::nowhere(machine);
    }
    let dial = Dial {
        node: node.clone(),
        addresses,
    };
    match facts.served {
        Some(served) if served.last.addresses == dial.addresses => Way {
            unvouched,
            ..weigh(served, &dial, asked, &authorities, now)
        },
        // Not dialled yet, or at addresses that the Machine no longer has.
        Some(_) | None => Way {
            wait: Some(Wait::Served(dial)),
            ..Way::default()
        },
    }
}

impl Way {
    fn nowhere(machine: &Machine) -> Self {
        Self::blocked(
            Reason::ServingUnreachable,
            format!(
                "Machine {} has no InternalIP and no ExternalIP at which to see what the node serves now, and by the \
                 configuration (serving.renewWithoutAddresses) the node is not dialled at addresses that it asks for",
                machine.reference
            ),
        )
    }

    fn blocked(reason: Reason, message: String) -> Self {
        Self {
            against: Some(Finding::new(reason, message)),
            ..Self::default()
        }
    }
}

/// Evaluates the last dial. Its result counts until a new dial has ended.
fn weigh(
    served: &Dialled,
    dial: &Dial,
    asked: &BTreeSet<ServerName>,
    authorities: &[Authority],
    now: Timestamp,
) -> Way {
    let again = || Wait::Served(dial.clone());
    let chain = match &served.last.answer {
        Ok(chain) => chain,
        Err(why) => {
            let pause_ends = served.pause_ends().filter(|end| now < *end);
            return Way {
                wait: Some(pause_ends.map_or_else(again, Wait::Until)),
                ..Way::blocked(
                    Reason::ServingUnreachable,
                    format!("the node could not be asked what it serves now: {why}"),
                )
            };
        }
    };
    let verified = verify(chain, &dial.node, asked, authorities, now);
    let fresh = served.is_fresh(now);
    let wait = (!fresh).then(again);
    match verified {
        Ok(()) => Way {
            good: Some(chain.address).filter(|_| fresh),
            wait,
            ..Way::default()
        },
        Err(why) => Way {
            wait,
            ..Way::blocked(
                Reason::ServingMismatch,
                format!("what the node serves at {} now {why}", chain.address),
            )
        },
    }
}

/// Checks that a chain contains a certificate that the kubelet CA issued to this node for these names.
fn verify(
    chain: &Chain,
    node: &NodeName,
    asked: &BTreeSet<ServerName>,
    authorities: &[Authority],
    now: Timestamp,
) -> Result<(), String> {
    let names = chain.names(node, authorities, now)?;
    if names != *asked {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        return Err(format!(
            "is for other names than the request: [{}]",
            list(&names)
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "served_tests.rs"]
pub(crate) mod tests;
