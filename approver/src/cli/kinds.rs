//! The kinds that a dump may hold, in one place: what each says about the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use rollcall_approver_core::{Change, KubeadmConfig, Machine};
use rollcall_csr::{CertificationRequest, NODES_GROUP, NodeName, Signer};
use serde_json::{Map, Value, json};

use super::scene::Entry;
use crate::convert;
use crate::node::Node;
use crate::node_lease;
use crate::sources::{self, cluster_addresses};

/// One kind, and how an object of it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its API group; empty for the core group.
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    read: Read,
}

/// How an object is read.
#[derive(Clone, Copy, Debug)]
enum Read {
    Addresses(&'static cluster_addresses::Kind),
    HealthCheck(fn(Value) -> Result<Option<Change>, String>),
    KubeadmConfig(fn(Value) -> Result<KubeadmConfig, String>),
    Machine(fn(Value) -> Result<Machine, String>),
    Other(fn(Value) -> Result<News, String>),
}

/// What an object says.
#[derive(Debug)]
pub(super) enum News {
    /// A fact that decisions rest on, or that is shown with them; a check that is paused tells none.
    Fact(Option<Box<Change>>),
    /// A request to judge.
    Request(Box<Entry>),
}

impl News {
    fn fact(change: Change) -> Self {
        Self::Fact(Some(Box::new(change)))
    }
}

/// Every kind that is understood, besides those of the sources of Machines: with its version.
const KINDS: [(&str, Kind); 4] = [
    (
        "v1beta1",
        Kind {
            group: "certificates.k8s.io",
            kind: "CertificateSigningRequest",
            read: Read::Other(old_request),
        },
    ),
    (
        "v1",
        Kind {
            group: "certificates.k8s.io",
            kind: "CertificateSigningRequest",
            read: Read::Other(request),
        },
    ),
    (
        "v1",
        Kind {
            group: "",
            kind: "Node",
            read: Read::Other(node),
        },
    ),
    (
        "v1",
        Kind {
            group: "coordination.k8s.io",
            kind: "Lease",
            read: Read::Other(lease),
        },
    ),
];

/// What tells an object from others of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Kind {
    /// The kind that goes by these words, if it is understood.
    pub(super) fn find(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let known = KINDS
            .into_iter()
            .find(|(known, one)| one.group == group && *known == version && one.kind == kind);
        let of_source = || {
            let mut all = sources::ALL.iter();
            let source =
                all.find(|source| source.group == group && source.versions.contains(&version))?;
            let (kind, read) = if kind == source.kind {
                (source.kind, Read::Machine(source.read))
            } else {
                let checks = source.health_checks.as_ref();
                let checks = checks.filter(|_| kind == sources::HEALTH_CHECK)?;
                (sources::HEALTH_CHECK, Read::HealthCheck(checks.read))
            };
            Some(Self {
                group: source.group,
                kind,
                read,
            })
        };
        let of_tokens = || {
            let mut all = sources::ALL
                .iter()
                .filter_map(|source| source.tokens.as_ref());
            let tokens = all.find(|tokens| {
                tokens.group == group && tokens.versions.contains(&version) && tokens.kind == kind
            })?;
            Some(Self {
                group: tokens.group,
                kind: tokens.kind,
                read: Read::KubeadmConfig(tokens.read),
            })
        };
        let of_addresses = || {
            let known = cluster_addresses::find(group, version, kind)?;
            Some(Self {
                group: known.group,
                kind: known.kind,
                read: Read::Addresses(known),
            })
        };
        known
            .map(|(_, kind)| kind)
            .or_else(of_source)
            .or_else(of_tokens)
            .or_else(of_addresses)
    }

    /// Reads an object. What a dump often lacks is filled in where nothing depends on what it was.
    pub(super) fn read(&self, mut value: Value) -> Result<(Identity, News), String> {
        let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err("metadata is missing".to_owned());
        };
        let identity = self.identify(metadata)?;
        let news =
            match self.read {
                Read::Addresses(kind) => News::Fact(kind.read(&value).map(|said| {
                    Box::new(Change::ClusterAddresses(said.object.clone(), vec![said]))
                })),
                Read::HealthCheck(read) => News::Fact(read(value)?.map(Box::new)),
                Read::KubeadmConfig(read) => News::fact(Change::KubeadmConfig(read(value)?)),
                Read::Machine(read) => News::fact(Change::Machine(Box::new(read(value)?))),
                Read::Other(read) => read(value)?,
            };
        Ok((identity, news))
    }

    /// Names an object. Written by hand, it has no uid: then its kind, namespace and name stand for it.
    fn identify(&self, metadata: &mut Map<String, Value>) -> Result<Identity, String> {
        let namespace = text(metadata, "namespace")?.unwrap_or_default();
        let name = text(metadata, "name")?.ok_or("metadata.name is missing")?;
        let uid =
            text(metadata, "uid")?.unwrap_or_else(|| format!("{}/{namespace}/{name}", self.kind));
        metadata.insert("uid".to_owned(), json!(uid));
        // Only a write needs it, and nothing is written to a file.
        if text(metadata, "resourceVersion")?.is_none() {
            metadata.insert("resourceVersion".to_owned(), json!("0"));
        }
        Ok(Identity {
            namespace,
            name,
            uid,
        })
    }
}

/// A text of the metadata; an empty one is none.
fn text(metadata: &Map<String, Value>, field: &str) -> Result<Option<String>, String> {
    match metadata.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(format!("metadata.{field} is {other}, but must be a text")),
    }
}

fn request(value: Value) -> Result<News, String> {
    let object: CertificateSigningRequest = typed(value)?;
    let entry = Entry::read(object).map_err(|error| error.to_string())?;
    Ok(News::Request(Box::new(entry)))
}

/// A request of Kubernetes before 1.22, such as OpenShift 3.10 and 3.11 have it. It may leave out its signer; then the API
/// server says it by what is asked for (Kubernetes `pkg/apis/certificates/v1beta1/defaults.go`, `DefaultSignerNameFromSpec`).
fn old_request(mut value: Value) -> Result<News, String> {
    let spec = value.get("spec").cloned().unwrap_or_default();
    let signer = spec.get("signerName").and_then(Value::as_str);
    let signer = signer.map_or_else(|| signer_by_content(&spec), str::to_owned);
    if let Some(object) = value.as_object_mut() {
        object.insert("apiVersion".to_owned(), json!("certificates.k8s.io/v1"));
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("signerName".to_owned(), json!(signer));
    }
    request(value)
}

/// The signer of what no other signer is for.
const UNKNOWN: &str = "kubernetes.io/legacy-unknown";

fn signer_by_content(spec: &Value) -> String {
    let asks_for = |usage: &str| {
        let usages = spec.get("usages").and_then(Value::as_array);
        usages.is_some_and(|usages| usages.iter().any(|own| own == usage))
    };
    let known = match (asks_for("client auth"), asks_for("server auth")) {
        (true, false) => Signer::KubeApiserverClientKubelet,
        (false, true) => Signer::KubeletServing,
        (true, true) | (false, false) => return UNKNOWN.to_owned(),
    };
    let content = spec.get("request").and_then(Value::as_str);
    let pem = content.and_then(|content| STANDARD.decode(content).ok());
    let parsed = pem.and_then(|pem| CertificationRequest::from_pem(&pem).ok());
    let is_nodes = parsed.is_none_or(|parsed| {
        let subject = parsed.subject();
        subject.organization == NODES_GROUP && NodeName::from_username(&subject.common_name).is_ok()
    });
    // What cannot be read is shown with the reason, as a request of a node is.
    if is_nodes { known.name() } else { UNKNOWN }.to_owned()
}

fn node(value: Value) -> Result<News, String> {
    let node: Node = typed(value)?;
    let (name, node) = convert::to_node(node, true).map_err(|error| error.to_string())?;
    Ok(News::fact(Change::Node(name, node)))
}

/// The Lease of a Node; any other tells nothing.
fn lease(value: Value) -> Result<News, String> {
    let lease: Lease = typed(value)?;
    let of_node = lease.metadata.namespace.as_deref() == Some(node_lease::NAMESPACE);
    let name = lease.metadata.name.as_deref().filter(|_| of_node);
    let node = name.and_then(|name| name.parse().ok());
    let change = node.map(|node| Change::NodeLease(node, Ok(node_lease::renewed(&lease))));
    Ok(News::Fact(change.map(Box::new)))
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("a field is not what its kind says: {error}"))
}
