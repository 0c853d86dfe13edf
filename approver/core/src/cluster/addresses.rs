//! The cluster's own names and addresses, and those in the status of Nodes: their changes, and the requests that these
//! wake.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use rollcall_csr::NodeName;

use super::Cluster;
use crate::served::dial_addresses;
use crate::{ClusterAddresses, Machine, RequestUid, ServerName};

impl Cluster {
    /// Replaces the addresses of one watch. They change rarely, and then any request for a serving certificate may have
    /// waited for it.
    pub(super) fn put_cluster_addresses(
        &mut self,
        feed: String,
        said: Vec<ClusterAddresses>,
    ) -> BTreeSet<RequestUid> {
        let news = self.cluster_addresses.put(feed, said);
        self.pending().filter(|_| news).collect()
    }

    /// Updates the addresses in a Node's status. Wakes the requests for an address that is added or removed.
    pub(super) fn put_stated(&mut self, name: &NodeName, now: &[IpAddr]) -> BTreeSet<RequestUid> {
        let before = self.nodes.get(name);
        let before = before.map_or_else(Vec::new, |node| node.addresses.clone());
        if before == now {
            return BTreeSet::new();
        }
        for ip in &before {
            if let Some(names) = self.stated.get_mut(ip) {
                names.remove(name);
                if names.is_empty() {
                    self.stated.remove(ip);
                }
            }
        }
        for ip in now {
            let names = self.stated.entry(*ip).or_default();
            names.insert(name.clone());
        }
        let changed = before.iter().chain(now).copied();
        self.asking.of(changed.map(ServerName::of_ip))
    }

    /// Removes the addresses of deleted Nodes.
    pub(super) fn retain_stated(&mut self, present: &HashSet<NodeName>) -> BTreeSet<RequestUid> {
        let gone = self.nodes.keys().filter(|name| !present.contains(name));
        let gone: Vec<NodeName> = gone.cloned().collect();
        gone.iter()
            .flat_map(|name| self.put_stated(name, &[]))
            .collect()
    }

    /// Those of these addresses that are in the status of Nodes with other names, with the Nodes.
    pub(super) fn stated_elsewhere(
        &self,
        asked: &[ServerName],
        node: &NodeName,
    ) -> Vec<(ServerName, &NodeName)> {
        let others = |name: &ServerName| {
            let names = match name {
                ServerName::Ip(ip) => self.stated.get(ip),
                ServerName::Dns(_) => None,
            };
            let name = name.clone();
            let others = names.into_iter().flatten().filter(|other| *other != node);
            others.map(move |other| (name.clone(), other))
        };
        asked.iter().flat_map(others).collect()
    }

    /// The addresses at which a Machine's node is dialled.
    pub fn dial_addresses(&self, machine: &Machine) -> Vec<IpAddr> {
        dial_addresses(machine, Some(&self.cluster_addresses), &self.policy.serving)
    }
}
