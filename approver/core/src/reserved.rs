//! Names and addresses under which a node may not serve, regardless of its Machine: those of the API server, of Services and
//! of the local machine, which are denied, and those that are known to be shared by all machines or the cluster's, which are
//! held.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rollcall_csr::RequestedNames;

use crate::profile::list;
use crate::{
    Address, Facts, Finding, Machine, Reason, ServerName, ServingPolicy, SharedAddress,
    generic_name,
};

/// Names for the local machine on every machine (RFC 6761 section 6.3, and those that Linux distributions add).
const LOCAL_NAMES: [&str; 2] = ["localhost", "localhost.localdomain"];
/// The name of the API server in every cluster, and the first label of its longer forms (Kubernetes: Service
/// `default/kubernetes`).
const API_SERVER: &str = "kubernetes";
/// The suffix of Service names before the cluster domain, as completed by the search list of pods.
const SERVICES: &str = "svc";
/// A namespace that every cluster has, and the prefix of the cluster's own ones: the short name of a Service ends in its
/// namespace, as completed by the search list of pods (Kubernetes: Namespaces, initial namespaces).
const NAMESPACES: [&str; 2] = ["default", "kube-"];

/// The reserved names of a request.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    /// The findings about them.
    pub(crate) findings: Vec<Finding>,
    names: BTreeSet<ServerName>,
}

impl Reserved {
    /// Returns true if the name is not any single machine's, so that its owner does not matter.
    pub(crate) fn holds(&self, name: &ServerName) -> bool {
        self.names.contains(name)
    }
}

/// Finds the reserved names of a request from the node of one Machine, or of no known Machine.
pub(crate) fn check<'a>(
    names: &RequestedNames,
    machine: Option<&'a Machine>,
    facts: &Facts<'a>,
    policy: &ServingPolicy,
) -> Reserved {
    let mut reserved = Reserved::default();
    let (mut never, mut shared) = (Vec::new(), Vec::new());
    let ips = names.ips.iter().map(|ip| (ip.to_string(), Some(*ip)));
    let dns = names.dns.iter().map(|name| (name.clone(), None));
    for (text, ip) in dns.chain(ips) {
        let name = match ip {
            Some(ip) => Some(ServerName::of_ip(ip)),
            None => ServerName::read(&text),
        };
        match why(&text, name.as_ref(), machine, facts, policy) {
            None => continue,
            Some(Why::Never) => {
                never.push(text);
                // Only generic names and shared addresses need no owner check.
                reserved.names.extend(name.filter(is_anybodys));
            }
            Some(Why::Shared(why)) => {
                shared.push(format!("{text} is {why}"));
                reserved.names.extend(name);
            }
        }
    }
    let never = (!never.is_empty()).then(|| {
        let message = format!("no node may serve under [{}]", list(&never));
        Finding::new(Reason::NameReserved, message)
    });
    let shared = (!shared.is_empty()).then(|| {
        let message = format!(
            "asked for is what no machine has for itself: {}",
            list(&shared)
        );
        Finding::new(Reason::NameShared, message)
    });
    reserved.findings.extend(never.into_iter().chain(shared));
    reserved
}

/// Returns true if a name is generic or a shared address.
fn is_anybodys(name: &ServerName) -> bool {
    match name {
        ServerName::Dns(name) => generic_name::is_default(name),
        ServerName::Ip(ip) => SharedAddress::of(*ip).is_some(),
    }
}

/// The reason why a name is reserved.
enum Why {
    /// Always, independent of facts and settings.
    Never,
    /// By the facts known now.
    Shared(String),
}

fn why<'a>(
    text: &str,
    name: Option<&ServerName>,
    machine: Option<&'a Machine>,
    facts: &Facts<'a>,
    policy: &ServingPolicy,
) -> Option<Why> {
    if machine
        .zip(name)
        .is_some_and(|(machine, name)| policy.allows_shared(machine, name))
    {
        return None;
    }
    if is_never(text, policy) {
        return Some(Why::Never);
    }
    let name = name?;
    if let ServerName::Ip(ip) = name
        && let Some(class) = SharedAddress::of(*ip)
    {
        let shared = Why::Shared(class.to_string());
        return Some(if class.is_final() { Why::Never } else { shared });
    }
    of_cluster(name, machine, facts, policy).map(Why::Shared)
}

/// Returns true if a DNS name is the API server's, a Service's or the local machine's.
fn is_never(text: &str, policy: &ServingPolicy) -> bool {
    let folded = text.trim_end_matches('.').to_ascii_lowercase();
    let is_under = |parent: &str| {
        folded
            .strip_suffix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let first_label = folded.split('.').next();
    text.contains('*')
        || first_label == Some(API_SERVER)
        || LOCAL_NAMES.into_iter().any(is_under)
        || is_under(SERVICES)
        || is_under(&policy.cluster_domain)
}

/// Describes the use of a name or an address in the cluster, unless it is the machine's own.
fn of_cluster<'a>(
    name: &ServerName,
    machine: Option<&'a Machine>,
    facts: &Facts<'a>,
    policy: &ServingPolicy,
) -> Option<String> {
    if let Some(namespace) = service_namespace(name) {
        return Some(format!(
            "the name of a Service in the namespace {namespace}"
        ));
    }
    let records: Vec<&Machine> = machine
        .into_iter()
        .flat_map(|machine| facts.records(machine))
        .collect();
    let known = facts.cluster_addresses;
    let found = known.and_then(|known| known.find(name, &records));
    let endpoint = known.and_then(|known| known.endpoint(name, &records));
    let configured = policy.api_servers.contains(name);
    let of_api_servers = match found {
        Some(found) => found.of_api_servers,
        None => configured || endpoint.is_some(),
    };
    if of_api_servers && is_own(name, &records, endpoint.is_some(), facts) {
        return None;
    }
    match found.or(endpoint) {
        Some(known) => Some(format!("{} ({})", known.what, known.object)),
        None => configured.then(|| {
            "what the API server is reached by (the approver's own connection, or serving.apiServers)".to_owned()
        }),
    }
}

/// The namespace in the short name of a Service, if every cluster has it.
fn service_namespace(name: &ServerName) -> Option<&str> {
    let ServerName::Dns(name) = name else {
        return None;
    };
    let (_, namespace) = name.as_str().split_once('.')?;
    let [default, of_cluster] = NAMESPACES;
    let is_one = namespace == default || namespace.starts_with(of_cluster);
    (is_one && !namespace.contains('.')).then_some(namespace)
}

/// Returns true if an API server's name or address is a control-plane machine's own: its record lists it, and neither another
/// record nor another Node does. An address that moves between machines is not: its record lists the machine's own too, and
/// no single API server listens on it.
fn is_own(name: &ServerName, records: &[&Machine], listens: bool, facts: &Facts<'_>) -> bool {
    let control_plane = records.iter().any(|record| record.control_plane)
        || facts.node.is_some_and(|node| node.control_plane);
    let lists = |record: &&Machine| ServerName::of_machine(record).any(|own| own == *name);
    let others = facts.elsewhere.iter().any(|(other, _)| other == name)
        || facts.stated.iter().any(|(other, _)| other == name);
    let alone = || match name {
        ServerName::Dns(_) => true,
        ServerName::Ip(ip) => records.iter().all(|record| only_address(record, *ip)),
    };
    control_plane && !others && records.iter().any(lists) && (listens || alone())
}

/// Returns true if a record lists no other address of this family.
fn only_address(record: &Machine, ip: IpAddr) -> bool {
    record.addresses.iter().all(|address| match address {
        Address::ExternalIp(other) | Address::InternalIp(other) => {
            let other = other.to_canonical();
            other == ip || other.is_ipv4() != ip.is_ipv4() || SharedAddress::of(other).is_some()
        }
        Address::ExternalDns(_) | Address::Hostname(_) | Address::InternalDns(_) => true,
    })
}
