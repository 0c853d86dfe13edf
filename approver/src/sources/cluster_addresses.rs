//! The names and addresses of the cluster itself, read from its objects: one line of [`KINDS`] for each kind. All are
//! optional, and may be unreadable: unknown addresses are not held against a request.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{
    CLUSTER_LABEL, Change, ClusterAddresses, Feed, IpRange, MachineReference, Scope, ServerName,
};
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::warn;

use super::machines::locate;
use crate::engine::Input;
use crate::feed::{self, Watched};
use crate::listing;
use crate::tasks::Tasks;

/// One kind of object, and its conversion.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its API group; empty for the core group.
    pub(crate) group: &'static str,
    /// The supported versions, the best first.
    pub(crate) versions: &'static [&'static str],
    /// Its kind.
    pub(crate) kind: &'static str,
    plural: &'static str,
    /// The namespace of the relevant objects; empty for all, and for cluster-scoped objects.
    namespace: &'static str,
    /// The name of the one relevant object; empty for all.
    name: &'static str,
    read: fn(&Value, &mut ClusterAddresses),
}

/// All kinds that are read in the cluster that nodes join.
pub(crate) const KINDS: &[Kind] = &[
    // The Service by which pods reach the API server.
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Service",
        plural: "services",
        namespace: "default",
        name: "kubernetes",
        read: service,
    },
    // The addresses of each API server (Kubernetes: `pkg/controlplane/reconcilers`).
    Kind {
        group: "discovery.k8s.io",
        versions: &["v1"],
        kind: "EndpointSlice",
        plural: "endpointslices",
        namespace: "default",
        name: "kubernetes",
        read: endpoint_slice,
    },
    // The ranges of Services, since Kubernetes 1.33.
    Kind {
        group: "networking.k8s.io",
        versions: &["v1", "v1beta1"],
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        namespace: "",
        name: "",
        read: service_cidr,
    },
    // OpenShift's names and virtual addresses (openshift/api, `config/v1`).
    Kind {
        group: "config.openshift.io",
        versions: &["v1"],
        kind: "Infrastructure",
        plural: "infrastructures",
        namespace: "",
        name: "cluster",
        read: infrastructure,
    },
    Kind {
        group: "config.openshift.io",
        versions: &["v1"],
        kind: "Network",
        plural: "networks",
        namespace: "",
        name: "cluster",
        read: network,
    },
    // The configuration that kubeadm keeps (kubeadm, `ClusterConfiguration`).
    Kind {
        group: "",
        versions: &["v1"],
        kind: "ConfigMap",
        plural: "configmaps",
        namespace: "kube-system",
        name: "kubeadm-config",
        read: kubeadm_config,
    },
];

/// Clusters of Cluster API, in the cluster with its Machines.
pub(crate) const CLUSTERS: Kind = Kind {
    group: "cluster.x-k8s.io",
    versions: &["v1beta2", "v1beta1"],
    kind: "Cluster",
    plural: "clusters",
    namespace: "",
    name: "",
    read: cluster,
};

/// A kind that only dumps contain: the one that EndpointSlices replaced.
const ENDPOINTS: Kind = Kind {
    group: "",
    versions: &["v1"],
    kind: "Endpoints",
    plural: "endpoints",
    namespace: "default",
    name: "kubernetes",
    read: endpoints,
};

/// Returns the kind with this group, version and name.
pub(crate) fn find(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    let mut all = KINDS.iter().chain([&CLUSTERS, &ENDPOINTS]);
    all.find(|known| {
        known.group == group && known.versions.contains(&version) && known.kind == kind
    })
}

/// The watches of the cluster that nodes join, as decisions name them.
pub(crate) fn feeds() -> impl Iterator<Item = Feed> {
    KINDS.iter().map(|kind| Watch::of(kind).feed())
}

/// Starts the watches of the cluster that nodes join.
pub(crate) fn watch_all(tasks: &mut Tasks, client: &Client, news: &mpsc::Sender<Input>) {
    for kind in KINDS {
        let watch = feed::run(Watch::of(kind), client.clone(), news.clone());
        tasks.forever("addresses of the cluster", watch);
    }
}

/// Watches the Clusters of a scope of Cluster API without end.
pub(crate) async fn follow(client: Client, scope: Scope, news: mpsc::Sender<Input>) {
    feed::run(Watch::of_scope(scope), client, news).await;
}

/// Lists once the facts that a watch would send, for a scope of Cluster API or for the cluster that nodes join. Unreadable
/// kinds are reported as lost.
pub(crate) async fn list(client: &Client, scope: Option<&Scope>) -> Vec<Change> {
    let watches: Vec<Watch> = match scope {
        Some(scope) => vec![Watch::of_scope(scope.clone())],
        None => KINDS.iter().map(Watch::of).collect(),
    };
    let mut changes = Vec::new();
    for watch in watches {
        match listing::everything(&watch, client).await {
            Ok(told) => changes.extend(told),
            Err(_) => changes.push(Change::Lost(watch.feed(), jiff::Timestamp::now())),
        }
    }
    changes
}

impl Kind {
    /// The addresses in an object; `None` if it is not a relevant one.
    pub(crate) fn read(&self, object: &Value) -> Option<ClusterAddresses> {
        let text = |field: &str| object.pointer(field).and_then(Value::as_str);
        let name = text("/metadata/name")?;
        let namespace = text("/metadata/namespace").unwrap_or_default();
        let counts = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        if !counts(self.name, name) || !counts(self.namespace, namespace) {
            return None;
        }
        let reference = MachineReference {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let mut said = ClusterAddresses {
            object: format!("{} {reference}", self.kind),
            cluster: (self.kind == CLUSTERS.kind).then_some(reference),
            ..ClusterAddresses::default()
        };
        (self.read)(object, &mut said);
        Some(said)
    }
}

/// The objects of one kind as a feed.
struct Watch {
    kind: &'static Kind,
    /// The scope of the Clusters; only for Clusters.
    scope: Option<Scope>,
}

impl Watch {
    fn of(kind: &'static Kind) -> Self {
        Self { kind, scope: None }
    }

    fn of_scope(scope: Scope) -> Self {
        Self {
            kind: &CLUSTERS,
            scope: Some(scope),
        }
    }

    fn name(&self) -> String {
        match &self.scope {
            Some(scope) => scope.to_string(),
            None => format!("{} {}", self.kind.kind, self.kind.name)
                .trim_end()
                .to_owned(),
        }
    }

    fn news(&self, memory: &Memory) -> Change {
        let said = memory.values().cloned().collect();
        Change::ClusterAddresses(self.name(), said)
    }
}

/// The addresses of each object, by its namespace and name.
type Memory = BTreeMap<(Option<String>, String), ClusterAddresses>;

fn key(object: &DynamicObject) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}

impl Watched for Watch {
    type Resource = DynamicObject;
    type Key = (Option<String>, String);
    type Memory = Memory;
    const OPTIONAL: bool = true;

    fn feed(&self) -> Feed {
        Feed::ClusterAddresses(self.name())
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<DynamicObject>> {
        let Kind {
            group,
            versions,
            kind,
            plural,
            namespace,
            ..
        } = *self.kind;
        let scope = self.scope.as_ref();
        let namespace = scope.map_or(namespace, |scope| scope.namespace.as_str());
        locate(client, (group, versions, kind, plural), namespace).await
    }

    fn fields(&self) -> Option<String> {
        let labelled = self.scope.as_ref().and_then(|scope| scope.label.as_ref());
        let cluster = labelled.filter(|(key, _)| key == CLUSTER_LABEL);
        let name = cluster.map_or(self.kind.name, |(_, name)| name.as_str());
        (!name.is_empty()).then(|| format!("metadata.name={name}"))
    }

    fn put(&self, memory: &mut Memory, object: DynamicObject) -> Option<(Self::Key, Input)> {
        let key = key(&object);
        match serde_json::to_value(object) {
            Ok(value) => match self.kind.read(&value) {
                Some(said) => memory.insert(key.clone(), said),
                None => memory.remove(&key),
            },
            Err(error) => {
                let (kind, name) = (self.kind.kind, &key.1);
                warn!(kind, name, %error, "this object cannot be read and is left out");
                memory.remove(&key)
            }
        };
        Some((key, Input::Change(self.news(memory))))
    }

    fn gone(&self, memory: &mut Memory, object: &DynamicObject) -> Option<Change> {
        memory.remove(&key(object));
        Some(self.news(memory))
    }

    fn all(&self, memory: &mut Memory, present: HashSet<Self::Key>) -> Change {
        memory.retain(|key, _| present.contains(key));
        self.news(memory)
    }
}

/// The strings of a list in an object.
fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// Adds names and addresses, with or without a port. Other texts cannot occur in a request.
fn take_names<'a>(said: &mut ClusterAddresses, texts: impl IntoIterator<Item = &'a str>) {
    let names = texts.into_iter().filter_map(|text| {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        ServerName::read(host).or_else(|| {
            let (host, _) = host.rsplit_once(':')?;
            ServerName::read(host.trim_matches(['[', ']']))
        })
    });
    said.names.extend(names);
}

/// Adds ranges of Services: one, or several separated by commas.
fn take_ranges<'a>(said: &mut ClusterAddresses, texts: impl IntoIterator<Item = &'a str>) {
    let ranges = texts.into_iter().flat_map(|text| text.split(','));
    let ranges = ranges.filter_map(|text| text.trim().parse::<IpRange>().ok());
    said.services.extend(ranges);
}

fn take_domain(said: &mut ClusterAddresses, domain: Option<&str>) {
    let domain = domain.and_then(|text| rollcall_csr::NodeName::from_dns_name(text).ok());
    said.domains.extend(domain);
}

fn service(object: &Value, said: &mut ClusterAddresses) {
    take_names(said, text(object, "/spec/clusterIP"));
    take_names(said, texts(object, "/spec/clusterIPs"));
}

fn endpoint_slice(object: &Value, said: &mut ClusterAddresses) {
    let all = object.get("endpoints").and_then(Value::as_array);
    for endpoint in all.into_iter().flatten() {
        let addresses = texts(endpoint, "/addresses");
        said.endpoints
            .extend(addresses.filter_map(|text| text.parse::<IpAddr>().ok()));
    }
}

fn endpoints(object: &Value, said: &mut ClusterAddresses) {
    let subsets = object.get("subsets").and_then(Value::as_array);
    for subset in subsets.into_iter().flatten() {
        for field in ["addresses", "notReadyAddresses"] {
            let addresses = subset.get(field).and_then(Value::as_array);
            let ips = addresses.into_iter().flatten();
            let ips = ips.filter_map(|address| text(address, "/ip")?.parse::<IpAddr>().ok());
            said.endpoints.extend(ips);
        }
    }
}

fn service_cidr(object: &Value, said: &mut ClusterAddresses) {
    take_ranges(said, texts(object, "/spec/cidrs"));
}

fn infrastructure(object: &Value, said: &mut ClusterAddresses) {
    take_names(said, text(object, "/status/apiServerURL"));
    take_ingress(said);
    take_names(said, text(object, "/status/apiServerInternalURI"));
    let platforms = object
        .pointer("/status/platformStatus")
        .and_then(Value::as_object);
    for platform in platforms.into_iter().flat_map(|all| all.values()) {
        for field in ["/apiServerInternalIP", "/ingressIP"] {
            take_names(said, text(platform, field));
        }
        for field in ["/apiServerInternalIPs", "/ingressIPs"] {
            take_names(said, texts(platform, field));
        }
    }
}

/// The installer names the ingress domain `apps.<domain>` where the API server is `api.<domain>` (openshift/installer,
/// `pkg/asset/manifests/ingress.go`).
fn take_ingress(said: &mut ClusterAddresses) {
    let names = said.names.iter().filter_map(|name| match name {
        ServerName::Dns(name) => name.as_str().strip_prefix("api."),
        ServerName::Ip(_) => None,
    });
    let domains = names.filter_map(|domain| format!("apps.{domain}").parse().ok());
    said.ingress.extend(domains.collect::<Vec<_>>());
}

fn network(object: &Value, said: &mut ClusterAddresses) {
    take_ranges(said, texts(object, "/status/serviceNetwork"));
    take_ranges(said, texts(object, "/spec/serviceNetwork"));
}

fn kubeadm_config(object: &Value, said: &mut ClusterAddresses) {
    let Some(text_of_yaml) = text(object, "/data/ClusterConfiguration") else {
        return;
    };
    // The cluster's own API server keeps it, and only an administrator writes it; a text that is not YAML has no addresses.
    let Ok(config) = serde_saphyr::from_str::<Value>(text_of_yaml) else {
        return;
    };
    take_names(said, text(&config, "/controlPlaneEndpoint"));
    take_ranges(said, text(&config, "/networking/serviceSubnet"));
    take_domain(said, text(&config, "/networking/dnsDomain"));
}

fn cluster(object: &Value, said: &mut ClusterAddresses) {
    take_names(said, text(object, "/spec/controlPlaneEndpoint/host"));
    take_ranges(
        said,
        texts(object, "/spec/clusterNetwork/services/cidrBlocks"),
    );
    take_domain(said, text(object, "/spec/clusterNetwork/serviceDomain"));
}

#[cfg(test)]
#[path = "cluster_addresses_tests.rs"]
mod tests;
