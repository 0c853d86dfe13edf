//! ExpectedMachine: the Machine records of clusters that have no Machine API.
//!
//! The CustomResourceDefinition in `deploy/components/expected-machines/definition.yaml` is generated from the types here; a
//! test compares them, and rewrites the file if `ROLLCALL_REWRITE` is set.

mod condition;

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub(crate) use self::condition::{Condition, Status};

/// The most addresses that a record may hold.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// The annotation with the launch time of the instance behind a record (RFC 3339): requests are accepted from then on,
/// although the record was created a little later.
pub(crate) const LAUNCHED_AT: &str = "rollcall.dev/launched-at";

/// The annotation with the Node that a record was made for: the uid of an already existing Node. The record is bound to that
/// Node and to no other.
pub(crate) const ADOPTED_NODE: &str = "rollcall.dev/adopted-node";

/// A machine that is expected to join the cluster as a node. A request for its node's certificate is approved only while
/// the record is here; deleting it ends that, and the renewals.
#[expect(
    clippy::duplicated_attributes,
    reason = "each column has a type, and several have the same"
)]
#[derive(
    Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Eq, Serialize,
)]
#[kube(
    group = "rollcall.dev",
    version = "v1alpha1",
    kind = "ExpectedMachine",
    plural = "expectedmachines",
    singular = "expectedmachine",
    shortname = "em",
    status = "ExpectedMachineStatus",
    derive = "PartialEq",
    doc = "A machine that is expected to join the cluster as a node.",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(
        name = "Stage",
        type_ = "string",
        json_path = ".status.stage",
        description = "How far the machine has come on its way into the cluster."
    ),
    printcolumn(
        name = "Expired",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Expired\")].status",
        description = "Whether the machine has not joined in time."
    ),
    // A column of type date shows the time since a moment, and this one is usually in the future.
    printcolumn(
        name = "Join By",
        type_ = "string",
        json_path = ".spec.joinBy",
        description = "Until when the machine may ask for its first certificate."
    ),
    printcolumn(name = "Provider ID", type_ = "string", json_path = ".spec.providerID", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("!has(oldSelf.providerID) || (has(self.providerID) && self.providerID == oldSelf.providerID)")
        .message("providerID cannot be changed: another instance is another ExpectedMachine"),
    validation = Rule::new("!has(oldSelf.joinKey) || (has(self.joinKey) && self.joinKey == oldSelf.joinKey)")
        .message("joinKey cannot be changed: delete this ExpectedMachine and create another one")
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpectedMachineSpec {
    /// The name of the Node that the machine becomes: a lower-case RFC 1123 subdomain. It cannot be changed.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("nodeName cannot be changed: delete this ExpectedMachine and create another one")
    )]
    pub(crate) node_name: String,

    /// What else the machine is reached by: IP addresses and DNS names that may stand in its serving certificate. No
    /// loopback addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ADDRESSES), inner(length(min = 1, max = 253)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(r"self.all(a, isIP(a) || (a.matches('^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*$') && !a.matches('(^|[.])[0-9]+$')))")
            .message("each address is an IP address or a DNS name"),
        validation = Rule::new("self.all(a, !isIP(a) || !(ip(a).isLoopback() || ip(a).isUnspecified()))")
            .message("no machine is reached by a loopback or unspecified address")
    )]
    pub(crate) addresses: Vec<String>,

    /// The cloud's name for the instance, as its Node will have it in `spec.providerID`, such as
    /// `aws:///eu-west-1a/i-0123456789abcdef0`. It cannot be changed once it is set.
    #[serde(
        rename = "providerID",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(max = 1024), regex(pattern = r"^[a-z][-+.a-z0-9]*://.+$"))]
    pub(crate) provider_id: Option<String>,

    /// Until when the machine may ask for its first certificate. Without it, the join window of the approver's
    /// configuration counts, from the creation of this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "date_time")]
    pub(crate) join_by: Option<Timestamp>,

    /// The public key that whoever joins as this machine has to prove to hold: base64 of the DER of its
    /// SubjectPublicKeyInfo. It cannot be changed once it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 2048),
        regex(pattern = r"^[A-Za-z0-9+/]+={0,2}$")
    )]
    pub(crate) join_key: Option<String>,

    /// The id of the machine's installation, as its Node will have it in `status.nodeInfo.machineID` (`/etc/machine-id`): where
    /// both are known, a Node that is there already is told from another machine's by it.
    #[serde(rename = "machineID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 32, max = 32), regex(pattern = r"^[0-9a-f]{32}$"))]
    pub(crate) machine_id: Option<String>,

    /// The UUID of the machine's hardware, as its Node will have it in `status.nodeInfo.systemUUID`. It is used like
    /// `machineID`, and goes before it.
    #[serde(
        rename = "systemUUID",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
    )]
    pub(crate) system_uuid: Option<String>,

    /// The set of like machines that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$")
    )]
    pub(crate) pool: Option<String>,
}

/// How far the machine has come. The approver writes it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpectedMachineStatus {
    /// How far the machine has come: Provisioned, Requested, Approved, Issued, Registered, Serving,
    /// Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub(crate) stage: Option<String>,

    /// The last request for the machine's first certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub(crate) request: Option<String>,

    /// The Node that the machine has become. Renewals are approved for this Node only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node_ref: Option<NodeReference>,

    /// What is to be known besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), schema_with = "condition::list")]
    pub(crate) conditions: Vec<Condition>,
}

/// A reference to a Node.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub(crate) struct NodeReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub(crate) uid: String,
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kube::CustomResourceExt as _;

    use super::*;

    /// The variable that, set to any value, makes the test rewrite the manifest.
    const REWRITE: &str = "ROLLCALL_REWRITE";
    const HEAD: &str = "# Generated from approver/src/expected_machine.rs; a test compares them. To write it anew:\n\
                        #   ROLLCALL_REWRITE=1 cargo test -p rollcall-approver expected_machine\n";

    #[test]
    fn the_manifest_is_generated_from_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../deploy/components/expected-machines/definition.yaml");
        let definition = serde_saphyr::to_string(&ExpectedMachine::crd()).unwrap();
        let generated = format!("{HEAD}{}\n", definition.trim_end());
        if std::env::var_os(REWRITE).is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let manifest = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            manifest, generated,
            "set {REWRITE}=1 to write deploy/components/expected-machines/definition.yaml anew"
        );
    }

    #[test]
    fn what_is_not_set_is_not_written() {
        let spec = ExpectedMachineSpec {
            node_name: "worker-0".to_owned(),
            ..ExpectedMachineSpec::default()
        };
        let object = serde_json::to_value(ExpectedMachine::new("worker-0", spec)).unwrap();
        assert_eq!(
            object,
            serde_json::json!({
                "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
                "metadata": {"name": "worker-0"}, "spec": {"nodeName": "worker-0"},
            })
        );
    }
}
