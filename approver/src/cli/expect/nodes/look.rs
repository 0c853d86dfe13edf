//! What there is: the Nodes and the roll, of the cluster or of a dump, and what nodes serve.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{Authority, Change, Cluster, Dial, Policy, Scope, Served, ServerName};
use rollcall_csr::NodeName;

use super::addresses;
use super::node::Running;
use crate::cli::documents::{Object, parse};
use crate::cli::kinds::{Kind, News};
use crate::cli::print::complain;
use crate::cli::{input, kubelets, live};
use crate::config::Config;
use crate::dial::{DIALS, Dialer};
use crate::listing::pages;
use crate::sources;

/// How many Nodes are listed in one page: some 20 kB each.
const PAGE: u32 = 100;

/// The Nodes, and a cluster in which nothing is known but the Machines.
pub(super) struct Seen {
    pub(super) nodes: Vec<Running>,
    pub(super) cluster: Cluster,
}

impl Seen {
    fn new(policy: Policy) -> Self {
        Self {
            nodes: Vec::new(),
            cluster: Cluster::new(policy, []),
        }
    }

    fn add(&mut self, node: Node) {
        let name = node.name_any();
        match Running::read(node) {
            Ok(node) => self.nodes.push(node),
            Err(error) => complain("warning", &format!("Node {name} is left out: {error}")),
        }
    }
}

/// Lists Nodes, and the Machines of every source.
///
/// # Errors
/// If one of them cannot be listed: a Node that no Machine knows could not be told from others.
pub(super) async fn cluster(
    client: &Client,
    management: &Client,
    config: &Config,
) -> anyhow::Result<Seen> {
    let now = Timestamp::now();
    let mut seen = Seen::new(config.policy.clone());
    for scope in &config.machines {
        let Some(source) = sources::of(scope.source) else {
            continue;
        };
        let listed = (source.list)(management.clone(), scope.clone()).await;
        let listed = listed.with_context(|| unlisted(scope))?;
        for change in live::with_instances(scope, listed).await {
            seen.cluster.apply(change, now);
        }
    }
    let api: Api<DeserializeGuard<Node>> = Api::all(client.clone());
    let nodes = pages(PAGE, |params| {
        let api = api.clone();
        async move { api.list(&params).await }
    });
    let nodes = nodes.await.context(
        "the Nodes cannot be listed, and nothing was done; whoever adopts Nodes needs the right to list nodes",
    )?;
    for node in nodes {
        let name = node.name_any();
        match node.0 {
            Ok(node) => seen.add(node),
            Err(error) => complain("warning", &format!("Node {name} is left out: {error}")),
        }
    }
    Ok(seen)
}

fn unlisted(scope: &Scope) -> String {
    format!(
        "the Machines of {scope} cannot be listed, and nothing was done: Nodes that they know could be taken for Nodes that \
         no Machine knows; install what is missing, get the right to list them, or name by --config the configuration that \
         the approver runs with"
    )
}

/// Reads Nodes and Machines from files.
///
/// # Errors
/// If a file cannot be read, or holds no Node.
pub(super) fn dump(from: &[PathBuf], config: &Config) -> anyhow::Result<Seen> {
    let now = Timestamp::now();
    let mut seen = Seen::new(config.policy.clone());
    let found = parse(input::read(from)?);
    for sentence in found.broken {
        complain("error", &sentence);
    }
    for object in found.objects {
        let Object {
            origin,
            api_version,
            kind,
            value,
        } = object;
        if (api_version.as_str(), kind.as_str()) == ("v1", "Node") {
            match serde_json::from_value(value) {
                Ok(node) => seen.add(node),
                Err(error) => complain(
                    "error",
                    &format!("{origin}: this Node is left out: {error}"),
                ),
            }
            continue;
        }
        let Some(known) = Kind::find(&api_version, &kind) else {
            continue;
        };
        match known.read(value) {
            Ok((_, News::Fact(Some(change)))) => {
                if let Change::Machine(machine) = &*change
                    && config.machines.iter().any(|scope| scope.covers(machine))
                {
                    seen.cluster.apply(*change, now);
                }
            }
            Ok((_, News::Fact(None) | News::Request(_))) => {}
            Err(error) => bail!("{origin}: {kind} cannot be read: {error}"),
        }
    }
    if seen.nodes.is_empty() {
        bail!("there is no Node (v1) in the input");
    }
    Ok(seen)
}

/// Dials nodes at the addresses that they state, and reads the names that the kubelet CA signed for each.
///
/// # Errors
/// If the TLS library cannot be set up.
pub(super) async fn served(
    nodes: Vec<Running>,
    client: &Client,
    config: &Config,
) -> anyhow::Result<addresses::Served> {
    let changes = kubelets::ca(client, &config.kubelets.ca).await;
    let authorities = changes.into_iter().filter_map(|change| {
        let Change::KubeletCa(_, authorities) = change else {
            return None;
        };
        Some(authorities)
    });
    let authorities: Vec<Authority> = authorities.flatten().collect();
    let dialer = Dialer::new(config.kubelets.port)?;
    let (dialer, authorities) = (&dialer, authorities.as_slice());
    let answers = stream::iter(nodes).map(|node| async move {
        let dial = Dial {
            node: node.name.clone(),
            addresses: node.stated_ips(),
        };
        let served = dialer.dial(&dial).await;
        let read = read(&node.name, served, authorities);
        (node.name, read)
    });
    Ok(answers.buffer_unordered(DIALS).collect().await)
}

/// The names in the certificate that a node serves.
fn read(
    node: &NodeName,
    served: Served,
    authorities: &[Authority],
) -> Result<(IpAddr, BTreeSet<ServerName>), String> {
    let chain = served
        .answer
        .map_err(|why| format!("it could not be asked what it serves ({why})"))?;
    let names = chain.names(node, authorities, served.at);
    let names = names
        .map_err(|why| format!("what it serves at {} says nothing: it {why}", chain.address))?;
    Ok((chain.address, names))
}
