//! The cluster's own names and addresses, from its API objects: those of its API servers and its ingress, and the ranges
//! and domains of its Services. A node that served under one of them could impersonate the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rollcall_csr::NodeName;

use crate::{IpRange, Machine, MachineReference, ServerName};

/// The label with the cluster of a Machine of Cluster API (cluster-api, `api/core`).
pub const CLUSTER_LABEL: &str = "cluster.x-k8s.io/cluster-name";

/// The cluster's own names and addresses in one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterAddresses {
    /// The object, for users: `Service default/kubernetes`.
    pub object: String,
    /// The cluster that it describes, for kinds with one object per cluster.
    pub cluster: Option<MachineReference>,
    /// The names and addresses of all API servers together, or of the ingress. They move between machines.
    pub names: BTreeSet<ServerName>,
    /// The address on which each API server listens. Usually the own address of its machine.
    pub endpoints: BTreeSet<IpAddr>,
    /// The IP ranges of Services.
    pub services: Vec<IpRange>,
    /// The DNS domains of Services.
    pub domains: BTreeSet<NodeName>,
    /// The domains whose names all lead to the ingress.
    pub ingress: BTreeSet<NodeName>,
}

/// The known names and addresses of the cluster itself, by their watch.
#[derive(Debug, Default)]
pub struct KnownAddresses(BTreeMap<String, Vec<ClusterAddresses>>);

/// A match of a name or an address with one of the cluster's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// A short description.
    pub(crate) what: &'static str,
    /// The object that contains it.
    pub(crate) object: &'a str,
    /// True if it can be a control-plane machine's own, because it is not a Service's.
    pub(crate) of_api_servers: bool,
}

impl KnownAddresses {
    /// Replaces the addresses from one watch. Returns true if they changed.
    pub fn put(&mut self, feed: String, said: Vec<ClusterAddresses>) -> bool {
        let before = self.0.get(&feed);
        if before.map_or(said.is_empty(), |before| *before == said) {
            return false;
        }
        self.0.insert(feed, said);
        true
    }

    /// Removes the addresses from a watch that no longer exists.
    pub(crate) fn forget(&mut self, feed: &str) {
        self.0.remove(feed);
    }

    /// Finds the use of a name or an address in the cluster of these records of a Machine, except as the endpoint of a
    /// single API server.
    pub(crate) fn find<'a>(&'a self, name: &ServerName, records: &[&Machine]) -> Option<Known<'a>> {
        self.about(records).find_map(|said| {
            let found = |what, of_api_servers| {
                Some(Known {
                    what,
                    object: &said.object,
                    of_api_servers,
                })
            };
            if said.names.contains(name) {
                return found("what the API server or the ingress is reached by", true);
            }
            match name {
                ServerName::Ip(ip) if said.services.iter().any(|range| range.contains(*ip)) => {
                    found("in the range of Services", false)
                }
                ServerName::Dns(name) if said.domains.iter().any(|one| is_under(name, one)) => {
                    found("in the domain of Services", false)
                }
                ServerName::Dns(name) if said.ingress.iter().any(|one| is_under(name, one)) => {
                    found("in the domain of the ingress", false)
                }
                ServerName::Dns(_) | ServerName::Ip(_) => None,
            }
        })
    }

    /// Finds the object with an API server that listens on an address.
    pub(crate) fn endpoint<'a>(
        &'a self,
        name: &ServerName,
        records: &[&Machine],
    ) -> Option<Known<'a>> {
        let ServerName::Ip(ip) = name else {
            return None;
        };
        let said = self
            .about(records)
            .find(|said| said.endpoints.contains(ip))?;
        Some(Known {
            what: "where an API server listens",
            object: &said.object,
            of_api_servers: true,
        })
    }

    /// The objects about the cluster of a Machine: those about no specific cluster, and the one about the cluster in its
    /// label; if no record has that label, only if there is a single cluster.
    fn about<'a>(&'a self, records: &[&Machine]) -> impl Iterator<Item = &'a ClusterAddresses> {
        let all = || self.0.values().flatten();
        let labelled: Vec<(String, String)> = records
            .iter()
            .filter_map(|record| {
                let name = record.labels.get(CLUSTER_LABEL)?;
                Some((record.reference.namespace.clone(), name.clone()))
            })
            .collect();
        let clusters: BTreeSet<&MachineReference> =
            all().filter_map(|said| said.cluster.as_ref()).collect();
        let single = clusters.len() == 1;
        all().filter(move |said| match &said.cluster {
            None => true,
            Some(_) if labelled.is_empty() => single,
            Some(cluster) => labelled
                .iter()
                .any(|(namespace, name)| *namespace == cluster.namespace && *name == cluster.name),
        })
    }
}

fn is_under(name: &NodeName, domain: &NodeName) -> bool {
    name.as_str()
        .strip_suffix(domain.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::machine;

    fn name(text: &str) -> ServerName {
        ServerName::read(text).unwrap()
    }

    fn cluster(cluster: &str, vip: &str) -> ClusterAddresses {
        let reference = MachineReference {
            namespace: "fleet".to_owned(),
            name: cluster.to_owned(),
        };
        ClusterAddresses {
            object: format!("Cluster {reference}"),
            cluster: Some(reference),
            names: [name(vip)].into(),
            services: vec!["10.96.0.0/12".parse().unwrap()],
            domains: ["prod.example".parse().unwrap()].into(),
            ingress: ["apps.example".parse().unwrap()].into(),
            ..ClusterAddresses::default()
        }
    }

    fn of(cluster: Option<&str>) -> Machine {
        let mut record = machine("m-0", "worker-0");
        record.reference.namespace = "fleet".to_owned();
        let label = cluster.map(|name| (CLUSTER_LABEL.to_owned(), name.to_owned()));
        record.labels.extend(label);
        record
    }

    #[test]
    fn a_cluster_bears_on_its_own_machines() {
        let mut known = KnownAddresses::default();
        assert!(known.put("a".to_owned(), vec![cluster("a", "192.0.2.1")]));
        assert!(!known.put("a".to_owned(), vec![cluster("a", "192.0.2.1")]));
        let object = |known: &KnownAddresses, text: &str, machine: &Machine| {
            let found = known.find(&name(text), &[machine]);
            found.map(|found| found.object.to_owned())
        };
        let of_a = Some("Cluster fleet/a".to_owned());
        for text in [
            "192.0.2.1",
            "10.96.0.1",
            "10.111.255.1",
            "x.prod.example",
            "prod.example",
            "console.apps.example",
            "apps.example",
        ] {
            assert_eq!(object(&known, text, &of(Some("a"))), of_a, "{text}");
            assert_eq!(object(&known, text, &of(None)), of_a, "{text}");
            assert_eq!(object(&known, text, &of(Some("b"))), None, "{text}");
        }
        for text in [
            "192.0.2.2",
            "10.112.0.1",
            "xprod.example",
            "xapps.example",
            "example",
        ] {
            assert_eq!(object(&known, text, &of(Some("a"))), None, "{text}");
        }
        // With two clusters, a Machine without a label may be in either: the ranges of a cluster do not count for it.
        known.put("b".to_owned(), vec![cluster("b", "192.0.2.2")]);
        assert_eq!(object(&known, "192.0.2.1", &of(None)), None);
        assert_eq!(object(&known, "192.0.2.1", &of(Some("a"))), of_a);
        known.forget("b");
        assert_eq!(object(&known, "192.0.2.1", &of(None)), of_a);
        assert!(known.put("a".to_owned(), Vec::new()));
        assert_eq!(object(&known, "192.0.2.1", &of(Some("a"))), None);
    }

    #[test]
    fn where_a_single_api_server_listens_is_told_apart() {
        let mut known = KnownAddresses::default();
        let slice = ClusterAddresses {
            object: "EndpointSlice default/kubernetes".to_owned(),
            endpoints: ["192.0.2.11".parse().unwrap()].into(),
            ..ClusterAddresses::default()
        };
        known.put("e".to_owned(), vec![slice]);
        let machine = of(None);
        assert_eq!(known.find(&name("192.0.2.11"), &[&machine]), None);
        let found = known.endpoint(&name("192.0.2.11"), &[&machine]).unwrap();
        assert_eq!(found.object, "EndpointSlice default/kubernetes");
        assert_eq!(known.endpoint(&name("192.0.2.12"), &[&machine]), None);
    }
}
