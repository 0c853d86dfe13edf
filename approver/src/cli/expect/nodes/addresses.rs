//! Where the addresses of an adopted node come from. What its kubelet alone states is no fact about the machine.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use rollcall_approver_core::ServerName;
use rollcall_csr::NodeName;

use super::node::{Running, is_one_machines};

/// Who says by which addresses a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A certificate of the kubelet CA that the node serves, dialled here.
    Certificate(IpAddr),
    /// The cloud, through this field manager.
    Cloud(String),
    /// A file that a person gave; where it says so.
    File(String),
    /// The kubelet of the node.
    Kubelet,
    /// Nobody.
    Nowhere,
}

impl Origin {
    /// The word for it.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Cloud(_) => "cloud",
            Self::File(_) => "file",
            Self::Kubelet => "kubelet",
            Self::Nowhere => "-",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(ip) => write!(
                f,
                "from the certificate of the kubelet CA that it serves at {ip}"
            ),
            Self::Cloud(manager) => write!(f, "written by {manager}"),
            Self::File(place) => write!(f, "from {place}"),
            Self::Kubelet => f.write_str("CAUTION: stated by its own kubelet and by nobody else"),
            Self::Nowhere => f.write_str("no addresses"),
        }
    }
}

/// What a node was seen to serve.
pub(super) type Served = HashMap<NodeName, Result<(IpAddr, BTreeSet<ServerName>), String>>;

/// Addresses, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vouched {
    pub(super) addresses: Vec<String>,
    pub(super) origin: Origin,
    /// What a person should know of them.
    pub(super) remark: Option<String>,
}

/// Chooses the best source that there is besides a file: the cloud, what the node serves, and, if a person wants that, the
/// kubelet. What several Nodes state is no one's.
pub(super) fn choose(
    node: &Running,
    served: &Served,
    kubelet: bool,
    shared: &BTreeSet<String>,
) -> Vouched {
    let stated = |cloud: bool| {
        let all = node.addresses.iter();
        all.filter(move |one| !cloud || one.cloud.is_some())
            .map(|one| one.text.clone())
    };
    let own = |texts: &mut dyn Iterator<Item = String>| usable(texts, &node.name);
    let written = own(&mut stated(true));
    let seen = served.get(&node.name);
    let (all, origin, mut remarks) = if !written.is_empty() {
        let mut managers = node.addresses.iter().filter_map(|one| one.cloud.clone());
        let manager = managers.next().unwrap_or_default();
        (written, Origin::Cloud(manager), Vec::new())
    } else if let Some(Ok((ip, names))) = seen {
        let names = own(&mut names.iter().map(ToString::to_string));
        (names, Origin::Certificate(*ip), Vec::new())
    } else {
        let all = own(&mut stated(false));
        let why = seen.and_then(|seen| seen.as_ref().err());
        let mut remarks: Vec<String> = why.cloned().into_iter().collect();
        if kubelet && !all.is_empty() {
            (all, Origin::Kubelet, remarks)
        } else {
            if !all.is_empty() {
                let all = all.join(", ");
                remarks.push(format!(
                    "its kubelet alone states {all}, which is not taken"
                ));
            }
            (Vec::new(), Origin::Nowhere, remarks)
        }
    };
    let (left_out, addresses): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|text| shared.contains(text));
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        remarks.push(format!(
            "other Nodes have {left_out} too, which is left out"
        ));
    }
    Vouched {
        addresses,
        origin,
        remark: (!remarks.is_empty()).then(|| remarks.join("; ")),
    }
}

/// The addresses that can be those of one machine, each once, in their one form. The node's own name goes without saying.
fn usable(texts: &mut dyn Iterator<Item = String>, name: &NodeName) -> Vec<String> {
    let mut usable: Vec<String> = Vec::new();
    for text in texts {
        let read = match ServerName::read(&text) {
            Some(ServerName::Ip(ip)) => Some(ip.to_string()).filter(|_| is_one_machines(&ip)),
            Some(ServerName::Dns(dns)) => Some(dns.to_string()).filter(|_| dns != *name),
            None => None,
        };
        usable.extend(read.filter(|text| !usable.contains(text)));
    }
    usable
}

/// The addresses that more than one Node states: virtual ones that move, or mistakes.
pub(super) fn shared(nodes: &[Running]) -> BTreeSet<String> {
    let mut once: BTreeSet<String> = BTreeSet::new();
    let mut shared = BTreeSet::new();
    for node in nodes {
        let mut texts = node.addresses.iter().map(|one| one.text.clone());
        for text in usable(&mut texts, &node.name) {
            if !once.insert(text.clone()) {
                shared.insert(text);
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::node::tests::{object, read, wrote};
    use super::*;

    fn chosen(node: &Running, served: &Served, kubelet: bool) -> (Vec<String>, &'static str) {
        let vouched = choose(node, served, kubelet, &BTreeSet::new());
        (vouched.addresses, vouched.origin.as_str())
    }

    #[test]
    fn the_kubelets_own_word_is_the_last_one_and_only_where_it_is_wanted() {
        let mut object = object("worker-0", "10.0.0.1");
        let node = read(&object);
        let nobody = Served::new();
        assert_eq!(chosen(&node, &nobody, false), (vec![], "-"));
        let own = vec!["10.0.0.1".to_owned()];
        assert_eq!(chosen(&node, &nobody, true), (own, "kubelet"));

        let ip = "10.0.0.1".parse().unwrap();
        let names = ["10.0.0.7", "worker-0", "worker-0.example"];
        let names = names
            .iter()
            .filter_map(|text| ServerName::read(text))
            .collect();
        let served = Served::from([(node.name.clone(), Ok((ip, names)))]);
        let signed = vec!["worker-0.example".to_owned(), "10.0.0.7".to_owned()];
        assert_eq!(chosen(&node, &served, true), (signed, "certificate"));

        object["metadata"]["managedFields"] =
            json!([wrote("openstack-cloud-controller-manager", &["InternalIP"])]);
        let own = vec!["10.0.0.1".to_owned()];
        assert_eq!(chosen(&read(&object), &served, true), (own, "cloud"));
    }

    #[test]
    fn a_node_that_serves_nothing_of_use_is_told_and_nothing_is_taken() {
        let node = read(&object("worker-0", "10.0.0.1"));
        let served = Served::from([(node.name.clone(), Err("nobody answers".to_owned()))]);
        let vouched = choose(&node, &served, false, &BTreeSet::new());
        assert_eq!(vouched.addresses, Vec::<String>::new());
        let remark = vouched.remark.unwrap();
        assert!(
            remark.contains("nobody answers") && remark.contains("10.0.0.1"),
            "{remark}"
        );
    }

    #[test]
    fn both_families_are_kept_and_what_means_many_machines_is_not() {
        let mut object = object("worker-0", "10.0.0.1");
        let texts = [
            "10.0.0.1",
            "2001:DB8::1",
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "fe80::1",
            "*",
            "Worker-0",
            "W.Example.",
        ];
        object["status"]["addresses"] = texts
            .map(|text| json!({"type": "InternalIP", "address": text}))
            .into();
        let expected = ["10.0.0.1", "2001:db8::1", "w.example"].map(str::to_owned);
        assert_eq!(chosen(&read(&object), &Served::new(), true).0, expected);
    }

    #[test]
    fn an_address_that_several_nodes_state_is_none_of_theirs() {
        let virtual_ip = json!({"type": "InternalIP", "address": "10.0.0.100"});
        let nodes = ["10.0.0.1", "10.0.0.2"].map(|ip| {
            let mut object = object(&format!("master-{ip}"), ip);
            object["status"]["addresses"]
                .as_array_mut()
                .unwrap()
                .push(virtual_ip.clone());
            read(&object)
        });
        let shared = shared(&nodes);
        assert_eq!(shared, ["10.0.0.100".to_owned()].into());
        let vouched = choose(&nodes[0], &Served::new(), true, &shared);
        assert_eq!(vouched.addresses, ["10.0.0.1"]);
        assert!(vouched.remark.unwrap().contains("10.0.0.100"));
    }
}
