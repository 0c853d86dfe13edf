//! The fields that are read of a Node. Most of a Node is skipped while it is parsed: its images, and its managed fields. So
//! a whole Node costs no more to read than its complete metadata (`docs/benchmarks.md`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::ClusterResourceScope;
use rollcall_approver_core as core;
use serde::{Deserialize, Deserializer};

use crate::condition::Condition;

/// Labels of control-plane nodes (kubeadm; until Kubernetes 1.24 and in OpenShift, `master`).
const CONTROL_PLANE: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];
/// The number of addresses kept of one Node.
const MAX_ADDRESSES: usize = 64;

/// A Node (Kubernetes: `core/v1`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    /// The part of its metadata that identifies it.
    #[serde(deserialize_with = "lean_metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    conditions: Option<Vec<Condition>>,
    addresses: Option<Vec<Address>>,
    node_info: Option<NodeInfo>,
}

/// One address (Kubernetes: `core/v1` `NodeAddress`).
#[derive(Clone, Debug, Deserialize)]
struct Address {
    address: String,
}

/// The kubelet's description of its machine (Kubernetes: `core/v1` `NodeSystemInfo`).
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct NodeInfo {
    #[serde(rename = "machineID")]
    machine_id: Option<String>,
    #[serde(rename = "systemUUID")]
    system_uuid: Option<String>,
}

impl NodeInfo {
    /// The UUID of its hardware and the id of its installation, where they are known.
    pub(crate) fn ids(self) -> (Option<String>, Option<String>) {
        (set(self.system_uuid), set(self.machine_id))
    }
}

/// Treats an empty text as absent.
fn set(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

impl Node {
    /// Takes its identity and signs of life, moved out of this value, but not its conditions.
    pub(crate) fn take(&mut self, uid: String, created_at: Timestamp) -> core::Node {
        let conditions = || self.status.conditions.iter().flatten();
        let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
        let ready = conditions().find(|condition| condition.type_ == "Ready");
        let heartbeats = conditions().filter_map(|condition| time(&condition.last_heartbeat_time));
        let (system_uuid, machine_id) = self.status.node_info.take().unwrap_or_default().ids();
        core::Node {
            ready: ready.is_some_and(|condition| condition.is_true("Ready")),
            ready_since: ready.and_then(|condition| time(&condition.last_transition_time)),
            last_heartbeat: heartbeats.max(),
            provider_id: set(self.spec.provider_id.take()),
            system_uuid,
            machine_id,
            addresses: self.addresses(),
            ..core::Node::new(uid, created_at)
        }
    }

    /// Its IP addresses in comparable form, without duplicates.
    fn addresses(&self) -> Vec<IpAddr> {
        let all = self.status.addresses.iter().flatten();
        let ips = all.filter_map(|address| address.address.parse().ok());
        let ips: BTreeSet<IpAddr> = ips
            .map(|ip: IpAddr| ip.to_canonical())
            .take(MAX_ADDRESSES)
            .collect();
        ips.into_iter().collect()
    }

    /// Takes out its conditions. A condition without a transition time is not used by any caller.
    pub(crate) fn take_conditions(&mut self) -> Vec<core::NodeCondition> {
        let conditions = self.status.conditions.take().unwrap_or_default();
        let dated = conditions.into_iter().filter_map(|condition| {
            Some(core::NodeCondition {
                kind: condition.type_,
                status: condition.status,
                since: condition.last_transition_time?.0,
            })
        });
        dated.collect()
    }
}

/// Reads only the used fields of an object's metadata.
fn lean_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lean {
        creation_timestamp: Option<Time>,
        labels: Option<BTreeMap<String, String>>,
        name: Option<String>,
        resource_version: Option<String>,
        uid: Option<String>,
    }
    let Lean {
        creation_timestamp,
        labels,
        name,
        resource_version,
        uid,
    } = Lean::deserialize(deserializer)?;
    let labels = labels.map(|mut labels| {
        labels.retain(|label, _| CONTROL_PLANE.contains(&label.as_str()));
        labels
    });
    Ok(ObjectMeta {
        creation_timestamp,
        labels: labels.filter(|labels| !labels.is_empty()),
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

    fn ready_of(status: &Value) -> bool {
        read(status)
            .take("n".to_owned(), Timestamp::UNIX_EPOCH)
            .ready
    }

    #[test]
    fn it_is_ready_if_the_condition_says_so_and_else_not() {
        let ready = |status: &str| {
            let conditions = json!([
                {"type": "DiskPressure", "status": "True"},
                {"type": "Ready", "status": status, "lastHeartbeatTime": "2026-11-01T00:00:00Z"},
            ]);
            ready_of(&json!({"conditions": conditions, "images": [{"names": ["a"]}]}))
        };
        assert!(ready("True"));
        assert!(!ready("False") && !ready("Unknown"));
        for status in [json!({}), json!({"conditions": null})] {
            assert!(!ready_of(&status));
        }
    }

    #[test]
    fn its_conditions_are_taken_with_since_when_they_hold() {
        let since = "2026-11-01T00:00:00Z";
        let conditions = json!([
            {"type": "Ready", "status": "Unknown", "lastTransitionTime": since},
            {"type": "DiskPressure", "status": "True"},
        ]);
        let taken = read(&json!({"conditions": conditions})).take_conditions();
        let expected = core::NodeCondition {
            kind: "Ready".to_owned(),
            status: "Unknown".to_owned(),
            since: since.parse().unwrap(),
        };
        assert_eq!(taken, [expected]);
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
