//! A Node as adoption sees it: who it is, how it is, and who says by which addresses it is reached.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use rollcall_approver_core::SharedAddress;
use rollcall_csr::NodeName;

/// What the field managers of cloud controller managers have in their names: by default that is the name of the program
/// (Kubernetes: `k8s.io/cloud-provider`, and the providers outside of it).
const CLOUD: &str = "cloud-controller-manager";
/// Those that only hand on what the node says of itself, in annotations that its own agent writes (k3s and RKE2:
/// `pkg/cloudprovider/instances.go`).
const HANDED_ON: [&str; 2] = ["k3s", "rke2"];

/// An existing Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) name: NodeName,
    pub(super) uid: String,
    pub(super) created_at: Timestamp,
    pub(super) provider_id: Option<String>,
    pub(super) ready: bool,
    pub(super) deleting: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) addresses: Vec<Stated>,
}

/// One address in the status of a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) text: String,
    /// The cloud controller manager that wrote it; none for what may be the kubelet's own word.
    pub(super) cloud: Option<String>,
}

impl Running {
    /// Reads a Node.
    pub(super) fn read(node: Node) -> Result<Self, String> {
        let Node {
            metadata,
            spec,
            status,
        } = node;
        let missing = |field: &str| format!("metadata.{field} is missing");
        let name = metadata.name.ok_or_else(|| missing("name"))?;
        let created_at = metadata.creation_timestamp;
        let status = status.unwrap_or_default();
        let mut conditions = status.conditions.iter().flatten();
        let fields = metadata.managed_fields.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default().into_iter();
        Ok(Self {
            name: name
                .parse()
                .map_err(|error| format!("{name:?} is no name of a node: {error}"))?,
            uid: metadata.uid.ok_or_else(|| missing("uid"))?,
            created_at: created_at.ok_or_else(|| missing("creationTimestamp"))?.0,
            provider_id: spec
                .and_then(|spec| spec.provider_id)
                .filter(|id| !id.is_empty()),
            ready: conditions
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            deleting: metadata.deletion_timestamp.is_some(),
            labels: metadata.labels.unwrap_or_default(),
            addresses: addresses
                .map(|address| Stated {
                    cloud: cloud_writer(&fields, &address.type_),
                    text: address.address,
                })
                .collect(),
        })
    }

    /// Where it can be dialled, by its own word.
    pub(super) fn stated_ips(&self) -> Vec<IpAddr> {
        let ips = self
            .addresses
            .iter()
            .filter_map(|one| one.text.parse().ok());
        ips.filter(is_one_machines).collect()
    }
}

/// Whether an address can be that of one machine among others.
pub(super) fn is_one_machines(ip: &IpAddr) -> bool {
    SharedAddress::of(*ip).is_none()
}

/// The cloud controller manager that wrote the addresses of this type. A manager that changes what another one wrote takes the
/// field over; one that writes the same shares it.
fn cloud_writer(fields: &[ManagedFieldsEntry], type_: &str) -> Option<String> {
    let key = format!("k:{{\"type\":\"{type_}\"}}");
    let wrote = |entry: &&ManagedFieldsEntry| {
        let addresses = entry
            .fields_v1
            .as_ref()
            .and_then(|fields| fields.0.pointer("/f:status/f:addresses"))
            .and_then(|addresses| addresses.as_object());
        addresses.is_some_and(|addresses| {
            let of_type = addresses.get(&key);
            // A list that is written as a whole has no keys.
            addresses.is_empty() || of_type.is_some_and(|one| one.get("f:address").is_some())
        })
    };
    let mut managers = fields
        .iter()
        .filter(wrote)
        .filter_map(|entry| entry.manager.as_ref());
    managers.find(|manager| is_cloud(manager)).cloned()
}

fn is_cloud(manager: &str) -> bool {
    let hands_on = HANDED_ON.into_iter().any(|one| manager.starts_with(one));
    manager.contains(CLOUD) && !hands_on
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A Node as the API gives it: Ready, with an InternalIP of its kubelet's.
    pub(in crate::cli::expect::nodes) fn object(name: &str, ip: &str) -> Value {
        json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-01T00:00:00Z"},
            "spec": {"providerID": format!("metal://{name}")},
            "status": {
                "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    /// What a manager wrote into the status, by types of addresses.
    pub(in crate::cli::expect::nodes) fn wrote(manager: &str, types: &[&str]) -> Value {
        let addresses: serde_json::Map<String, Value> = types
            .iter()
            .map(|type_| {
                let key = format!("k:{{\"type\":\"{type_}\"}}");
                (key, json!({".": {}, "f:address": {}, "f:type": {}}))
            })
            .collect();
        json!({
            "manager": manager, "operation": "Update", "subresource": "status", "fieldsType": "FieldsV1",
            "apiVersion": "v1", "fieldsV1": {"f:status": {"f:addresses": addresses}},
        })
    }

    pub(in crate::cli::expect::nodes) fn read(object: &Value) -> Running {
        Running::read(serde_json::from_value(object.clone()).unwrap()).unwrap()
    }

    #[test]
    fn managed_fields_say_which_addresses_a_cloud_wrote() {
        for (fields, expected) in [
            (json!([]), [false, false]),
            (
                json!([wrote("kubelet", &["InternalIP", "Hostname"])]),
                [false, false],
            ),
            (
                json!([
                    wrote("kubelet", &["Hostname"]),
                    wrote("aws-cloud-controller-manager", &["InternalIP"])
                ]),
                [true, false],
            ),
            // Both wrote the same.
            (
                json!([
                    wrote("kubelet", &["InternalIP"]),
                    wrote("cloud-controller-manager", &["InternalIP", "Hostname"])
                ]),
                [true, true],
            ),
            // These run on the node, or hand on what it says.
            (
                json!([wrote("cloud-node-manager", &["InternalIP"])]),
                [false, false],
            ),
            (
                json!([wrote("k3s-cloud-controller-manager", &["InternalIP"])]),
                [false, false],
            ),
            // Another list of the same manager, and one that is written as a whole.
            (
                json!([{"manager": "cloud-controller-manager", "fieldsV1": {"f:status": {"f:conditions": {}}}}]),
                [false, false],
            ),
            (
                json!([{"manager": "cloud-controller-manager", "fieldsV1": {"f:status": {"f:addresses": {}}}}]),
                [true, true],
            ),
            // It only said of which type an address is.
            (
                json!([{"manager": "cloud-controller-manager",
                        "fieldsV1": {"f:status": {"f:addresses": {"k:{\"type\":\"InternalIP\"}": {".": {}}}}}}]),
                [false, false],
            ),
        ] {
            let mut node = object("worker-0", "10.0.0.1");
            node["metadata"]["managedFields"] = fields.clone();
            let seen: Vec<bool> = read(&node)
                .addresses
                .iter()
                .map(|one| one.cloud.is_some())
                .collect();
            assert_eq!(seen, expected, "{fields}");
        }
    }

    #[test]
    fn what_is_no_node_is_said() {
        for (node, word) in [
            (json!({"metadata": {}}), "metadata.name"),
            (
                json!({"metadata": {"name": "worker 0", "uid": "u"}}),
                "\"worker 0\"",
            ),
            (json!({"metadata": {"name": "worker-0"}}), "metadata.uid"),
            (
                json!({"metadata": {"name": "worker-0", "uid": "u"}}),
                "creationTimestamp",
            ),
        ] {
            let error = Running::read(serde_json::from_value(node).unwrap()).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn only_addresses_of_one_machine_are_dialled() {
        let mut node = object("worker-0", "10.0.0.1");
        let texts = [
            "127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "::",
            "224.0.0.1",
            "2001:db8::1",
            "worker-0",
        ];
        let more = texts.map(|text| json!({"type": "InternalIP", "address": text}));
        node["status"]["addresses"] = json!(more);
        assert_eq!(
            read(&node).stated_ips(),
            ["2001:db8::1".parse::<IpAddr>().unwrap()]
        );
    }
}
