//! The kinds that a dump may hold, in one table: what each says about the cluster.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::core::PartialObjectMeta;
use rollcall_approver_core::Change;
use serde_json::{Map, Value, json};

use super::scene::Entry;
use crate::convert;
use crate::sources::openshift;

/// One kind, and how an object of it is read.
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    read: fn(Value) -> Result<News, String>,
}

/// What an object says.
#[derive(Debug)]
pub(super) enum News {
    /// A fact that decisions rest on.
    Fact(Box<Change>),
    /// A request to judge.
    Request(Box<Entry>),
}

/// Every kind that is understood. Another source of Machines is another line.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        api_version: "certificates.k8s.io/v1",
        kind: "CertificateSigningRequest",
        read: request,
    },
    Kind {
        api_version: "machine.openshift.io/v1beta1",
        kind: "Machine",
        read: openshift_machine,
    },
    Kind {
        api_version: "v1",
        kind: "Node",
        read: node,
    },
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
    pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|known| known.api_version == api_version && known.kind == kind)
    }

    /// Reads an object. What a dump often lacks is filled in where nothing depends on what it was.
    pub(super) fn read(&self, mut value: Value) -> Result<(Identity, News), String> {
        let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err("metadata is missing".to_owned());
        };
        let identity = self.identify(metadata)?;
        Ok((identity, (self.read)(value)?))
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

fn openshift_machine(mut value: Value) -> Result<News, String> {
    if let Some(fields) = value.as_object_mut() {
        fields.entry("spec").or_insert_with(|| json!({}));
    }
    let machine = openshift::to_machine(typed(value)?).map_err(|error| error.to_string())?;
    Ok(News::Fact(Box::new(Change::Machine(Box::new(machine)))))
}

fn node(mut value: Value) -> Result<News, String> {
    // Only its metadata is read, as by the approver: status and images are most of a Node.
    let metadata = value.get_mut("metadata").map(Value::take);
    let node = PartialObjectMeta {
        metadata: typed(metadata.unwrap_or_default())?,
        ..PartialObjectMeta::default()
    };
    let (name, node) = convert::to_node(node).map_err(|error| error.to_string())?;
    Ok(News::Fact(Box::new(Change::Node(name, node))))
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("a field is not what its kind says: {error}"))
}
