//! Instances that were nodes before their groups were mirrored: their records are bound to those Nodes at once, because
//! no first certificate will be approved for them any more.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;

use crate::expected_machine::{ExpectedMachine, LAUNCHED_AT, NodeReference};

/// The Node that an instance became before it had a record: it has the instance's provider ID, and registered after the
/// launch of the instance, so it does not belong to an earlier machine of the same name.
pub(super) fn reference(record: &ExpectedMachine, node: &Node) -> Option<NodeReference> {
    let launched_at: Timestamp = record.annotations().get(LAUNCHED_AT)?.parse().ok()?;
    let registered_at = node.creation_timestamp()?.0;
    let provider_id = node.spec.as_ref()?.provider_id.as_ref()?;
    let same = record.spec.provider_id.as_ref() == Some(provider_id)
        && record.spec.node_name == node.name_any();
    (same && registered_at >= launched_at).then_some(NodeReference {
        name: node.name_any(),
        uid: node.uid()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refers(node: &Value) -> bool {
        let record = json!({
            "metadata": {"name": "i-1", "annotations": {LAUNCHED_AT: "2026-11-24T18:00:00Z"}},
            "spec": {"nodeName": "i-1.internal", "providerID": "aws:///eu-west-1a/i-1"},
        });
        let record = serde_json::from_value(record).unwrap();
        let node = serde_json::from_value(node.clone()).unwrap();
        reference(&record, &node).is_some()
    }

    #[test]
    fn only_the_instance_s_own_node_is_adopted() {
        let node = |registered_at: &str, provider_id: &str| {
            json!({
                "metadata": {"name": "i-1.internal", "uid": "n", "creationTimestamp": registered_at},
                "spec": {"providerID": provider_id},
            })
        };
        let own = "aws:///eu-west-1a/i-1";
        assert!(refers(&node("2026-11-24T18:02:00Z", own)));
        // A Node that an earlier instance of that name left behind.
        assert!(!refers(&node("2026-11-24T17:59:59Z", own)));
        assert!(!refers(&node(
            "2026-11-24T18:02:00Z",
            "aws:///eu-west-1a/i-2"
        )));
        let mut nameless = node("2026-11-24T18:02:00Z", own);
        nameless["spec"] = json!({});
        assert!(!refers(&nameless));
        let mut other = node("2026-11-24T18:02:00Z", own);
        other["metadata"]["name"] = json!("i-2.internal");
        assert!(!refers(&other));
    }
}
