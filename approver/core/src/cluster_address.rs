//! The cluster's own names and addresses: what its API servers and its ingress are reached by, and where its Services are.
//! Objects of the cluster say so. A node that served under one of them would pass for the cluster itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rollcall_csr::NodeName;

use crate::{IpRange, Machine, MachineReference, ServerName};

/// The label that names the cluster that a Machine of Cluster API is for (cluster-api, `api/core`).
pub const CLUSTER_LABEL: &str = "cluster.x-k8s.io/cluster-name";

/// What one object says of the cluster's own names and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterAddresses {
    /// The object, as a person finds it: `Service default/kubernetes`.
    pub object: String,
    /// The cluster that it is about, where there are objects about several.
    pub cluster: Option<MachineReference>,
    /// What the API servers together, or the ingress, are reached by. It moves from one machine to another.
    pub names: BTreeSet<ServerName>,
    /// Where each API server says that it listens. Mostly that is its machine's own address.
    pub endpoints: BTreeSet<IpAddr>,
    /// The ranges of the addresses of Services.
    pub services: Vec<IpRange>,
    /// The domains of the names of Services.
    pub domains: BTreeSet<NodeName>,
}

/// What is known of the cluster's own names and addresses, by the watches that it comes from.
#[derive(Debug, Default)]
pub struct KnownAddresses(BTreeMap<String, Vec<ClusterAddresses>>);

/// That a name or an address is the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// What it is, in a few words.
    pub(crate) what: &'static str,
    /// The object that says so.
    pub(crate) object: &'a str,
    /// Whether it can be a control-plane machine's own: it is no Service's.
    pub(crate) of_api_servers: bool,
}

impl KnownAddresses {
    /// Replaces what came from one watch. Returns whether that is news.
    pub fn put(&mut self, feed: String, said: Vec<ClusterAddresses>) -> bool {
        let before = self.0.get(&feed);
        if before.map_or(said.is_empty(), |before| *before == said) {
            return false;
        }
        self.0.insert(feed, said);
        true
    }

    /// Forgets what came from a watch that is no more.
    pub(crate) fn forget(&mut self, feed: &str) {
        self.0.remove(feed);
    }

    /// What a name or an address is to the cluster of these records of a Machine, beyond where a single API server listens.
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
                ServerName::Dns(_) | ServerName::Ip(_) => None,
            }
        })
    }

    /// The object that says that an API server listens at an address.
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

    /// What is said of the cluster of a Machine: by objects about no cluster in particular, and by the one about the cluster
    /// that its label names; where no record of it names one, only if there is just one.
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
        ] {
            assert_eq!(object(&known, text, &of(Some("a"))), of_a, "{text}");
            assert_eq!(object(&known, text, &of(None)), of_a, "{text}");
            assert_eq!(object(&known, text, &of(Some("b"))), None, "{text}");
        }
        for text in ["192.0.2.2", "10.112.0.1", "xprod.example", "example"] {
            assert_eq!(object(&known, text, &of(Some("a"))), None, "{text}");
        }
        // Of two clusters, a Machine that names neither may be of either: no range of another cluster is held against it.
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
