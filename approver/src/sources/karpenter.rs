//! Karpenter: `karpenter.sh/v1` NodeClaims. They have no addresses; until a node has registered, its name is derived from
//! the providerID.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rollcall_approver_core::{Machine, Source};
use serde::Deserialize;

use super::fields::{NotARecord, node};
use super::machines::MachineApi;
use crate::condition::Condition;
use crate::rights::{READ, Right, Scope};

const GROUP: &str = "karpenter.sh";
/// The label that names the NodePool of a NodeClaim (karpenter, `pkg/apis/v1`).
const NODE_POOL: &str = "karpenter.sh/nodepool";
/// Labels that Karpenter sets on NodeClaims, as on Nodes (Kubernetes: well-known labels).
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The source.
pub(super) struct Karpenter;

/// No field of a NodeClaim's spec identifies the machine.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Spec {}

/// The fields of a NodeClaim's status that a decision needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    conditions: Option<Vec<Condition>>,
    node_name: Option<String>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

impl Status {
    fn has(&self, condition: &str) -> bool {
        let conditions = self.conditions.as_deref().unwrap_or_default();
        conditions.iter().any(|one| one.is_true(condition))
    }

    /// The time since when there is an instance.
    fn launched_at(&self) -> Option<Timestamp> {
        let mut conditions = self.conditions.iter().flatten();
        conditions.find_map(|condition| condition.true_since("Launched"))
    }

    /// The progress of the NodeClaim, in the words of its conditions.
    fn stage(&self) -> Option<&'static str> {
        [
            "InstanceTerminating",
            "Initialized",
            "Registered",
            "Launched",
        ]
        .into_iter()
        .find(|condition| self.has(condition))
    }
}

impl MachineApi for Karpenter {
    const SOURCE: Source = Source::Karpenter;
    const GROUP: &'static str = GROUP;
    const VERSIONS: &'static [&'static str] = &["v1"];
    const KIND: &'static str = "NodeClaim";
    const PLURAL: &'static str = "nodeclaims";
    const NAMESPACED: bool = false;
    const RIGHTS: &'static [Right] = &[Right::required(Scope::Cluster, GROUP, "nodeclaims", READ)];
    type Spec = Spec;
    type Status = Status;

    fn fill(
        machine: &mut Machine,
        metadata: &ObjectMeta,
        Spec {}: Spec,
        status: Status,
    ) -> Result<(), NotARecord> {
        let label = |name| metadata.labels.as_ref()?.get(name).cloned();
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        machine.phase = status.stage().map(str::to_owned);
        machine.ready_at = status.launched_at();
        machine.deleting |= status.has("InstanceTerminating");
        machine.provider_id = set(&status.provider_id);
        machine.node_reference = set(&status.node_name)
            .map(|name| node(&name, "status.nodeName"))
            .transpose()?;
        machine.pool = label(NODE_POOL);
        machine.region = label(REGION);
        machine.zone = label(ZONE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::machines::read_value;

    fn read(status: &Value) -> Result<Machine, String> {
        read_value::<Karpenter>(json!({
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodeClaim",
            "metadata": {
                "name": "default-x7k2p", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z",
                "labels": {NODE_POOL: "default", ZONE: "eu-west-1a", REGION: "eu-west-1"},
            },
            "spec": {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": []},
            "status": status,
        }))
    }

    fn conditions(conditions: &[&str]) -> Value {
        let each = |type_: &&str| json!({"type": type_, "status": "True", "reason": type_});
        Value::Array(conditions.iter().map(each).collect())
    }

    #[test]
    fn a_launched_claim_is_expected_and_a_registered_one_is_a_node() {
        let launched = read(&json!({
            "providerID": "aws:///eu-west-1a/i-0123", "conditions": conditions(&["Launched"]),
        }))
        .unwrap();
        assert_eq!(launched.reference.to_string(), "default-x7k2p");
        assert_eq!(launched.phase.as_deref(), Some("Launched"));
        assert_eq!(launched.instance(), Some("i-0123"));
        assert_eq!(launched.pool.as_deref(), Some("default"));
        assert!(launched.node_reference.is_none() && !launched.deleting);
        let registered = read(&json!({
            "nodeName": "ip-10-0-0-1.eu-west-1.compute.internal", "providerID": "aws:///eu-west-1a/i-0123",
            "conditions": conditions(&["Launched", "Registered"]),
        }))
        .unwrap();
        let name = "ip-10-0-0-1.eu-west-1.compute.internal".parse().unwrap();
        assert_eq!(registered.node_reference, Some(name));
        assert_eq!(registered.phase.as_deref(), Some("Registered"));
    }

    #[test]
    fn a_terminating_claim_is_going_and_a_broken_one_is_no_record() {
        let going = json!({"conditions": conditions(&["Launched", "InstanceTerminating"])});
        assert!(read(&going).unwrap().deleting);
        assert!(read(&json!({})).unwrap().provider_id.is_none());
        for status in [
            json!({"nodeName": "a b"}),
            json!({"conditions": {}}),
            json!("up"),
        ] {
            assert!(read(&status).is_err(), "{status}");
        }
    }
}
