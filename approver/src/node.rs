//! What is read of a Node. Most of one is passed over while it is parsed: the images that it has, and who changed which field
//! when. So a whole Node takes no more to read than its metadata with all that is in it (`docs/benchmarks.md`).

use std::borrow::Cow;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::ClusterResourceScope;
use serde::{Deserialize, Deserializer};

/// A Node (Kubernetes: `core/v1`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    /// Of its metadata, what tells it from others.
    #[serde(deserialize_with = "lean_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

/// One of its conditions.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

impl Node {
    /// Whether kubelet is ready to take Pods.
    pub(crate) fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }
}

/// Reads no more of an object's metadata than is asked for.
fn lean_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lean {
        creation_timestamp: Option<Time>,
        name: Option<String>,
        resource_version: Option<String>,
        uid: Option<String>,
    }
    let Lean {
        creation_timestamp,
        name,
        resource_version,
        uid,
    } = Lean::deserialize(deserializer)?;
    Ok(ObjectMeta {
        creation_timestamp,
        name,
        resource_version,
        uid,
        ..ObjectMeta::default()
    })
}

impl Resource for Node {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        api::Node::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        api::Node::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        api::Node::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        api::Node::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(status: &Value) -> Node {
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "worker-0", "uid": "n", "resourceVersion": "7", "creationTimestamp": "2026-11-01T00:00:00Z",
                "labels": {"a": "b"}, "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            },
            "spec": {"podCIDR": "10.0.0.0/24"},
            "status": status,
        });
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn it_is_ready_if_the_condition_says_so_and_else_not() {
        let ready = |status: &str| {
            let conditions = json!([
                {"type": "DiskPressure", "status": "True"},
                {"type": "Ready", "status": status, "lastHeartbeatTime": "2026-11-01T00:00:00Z"},
            ]);
            read(&json!({"conditions": conditions, "images": [{"names": ["a"]}]})).is_ready()
        };
        assert!(ready("True"));
        assert!(!ready("False") && !ready("Unknown"));
        for status in [json!({}), json!({"conditions": null})] {
            assert!(!read(&status).is_ready());
        }
    }

    #[test]
    fn of_the_metadata_only_what_is_needed_is_kept() {
        let metadata = read(&json!({})).metadata;
        assert_eq!(metadata.name.as_deref(), Some("worker-0"));
        assert_eq!(metadata.resource_version.as_deref(), Some("7"));
        assert!(metadata.uid.is_some() && metadata.creation_timestamp.is_some());
        assert_eq!((metadata.labels, metadata.managed_fields), (None, None));
    }
}
