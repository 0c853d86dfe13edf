//! OpenShift's Machine API: `machine.openshift.io/v1beta1` Machines.

use kube::CustomResource;
use rollcall_approver_core as core;
use rollcall_csr::NodeName;
use serde::{Deserialize, Serialize};

/// The label that names the set a Machine belongs to (`machine.openshift.io/v1beta1`, MachineSet).
const MACHINE_SET_LABEL: &str = "machine.openshift.io/cluster-api-machineset";

/// More addresses than any machine has: a record with more is not believed.
const MAX_ADDRESSES: usize = 256;

/// The fields of a Machine's spec that a decision needs.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "machine.openshift.io",
    version = "v1beta1",
    kind = "Machine",
    namespaced,
    schema = "disabled"
)]
#[kube(status = "MachineStatus")]
#[serde(rename_all = "camelCase")]
pub(crate) struct MachineSpec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

/// The fields of a Machine's status that a decision needs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MachineStatus {
    addresses: Option<Vec<Address>>,
    error_reason: Option<String>,
    node_ref: Option<NodeReference>,
    phase: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Address {
    #[serde(rename = "type")]
    type_: String,
    address: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct NodeReference {
    name: Option<String>,
}

/// Why a Machine cannot be put on the roll.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotARecord {
    #[error("metadata.{0} is missing")]
    Missing(&'static str),
    #[error("status.nodeRef names no node: {0}")]
    NodeReference(String),
    #[error("status.addresses has {0} entries; more than {MAX_ADDRESSES} are not believed")]
    TooManyAddresses(usize),
}

/// The record that a Machine is. An address that is none is left out: the fewer there are, the less it can vouch for.
pub(crate) fn to_machine(machine: Machine) -> Result<core::Machine, NotARecord> {
    let Machine {
        metadata,
        spec,
        status,
    } = machine;
    let status = status.unwrap_or_default();
    let name = metadata.name.ok_or(NotARecord::Missing("name"))?;
    let node_reference = status.node_ref.map(|reference| {
        let name = reference.name.unwrap_or_default();
        NodeName::from_dns_name(&name).map_err(|error| NotARecord::NodeReference(error.to_string()))
    });
    let addresses = status.addresses.unwrap_or_default();
    if addresses.len() > MAX_ADDRESSES {
        return Err(NotARecord::TooManyAddresses(addresses.len()));
    }
    let failed = status.error_reason.is_some() || status.phase.as_deref() == Some("Failed");
    Ok(core::Machine {
        source: core::Source::OpenShift,
        uid: core::MachineUid(metadata.uid.ok_or(NotARecord::Missing("uid"))?),
        reference: core::MachineReference {
            namespace: metadata.namespace.unwrap_or_default(),
            name,
        },
        provider_id: spec.provider_id,
        addresses: addresses.iter().filter_map(to_address).collect(),
        created_at: metadata
            .creation_timestamp
            .ok_or(NotARecord::Missing("creationTimestamp"))?
            .0,
        deleting: metadata.deletion_timestamp.is_some()
            || status.phase.as_deref() == Some("Deleting"),
        failed,
        phase: status.phase,
        node_reference: node_reference.transpose()?,
        pool: metadata
            .labels
            .unwrap_or_default()
            .remove(MACHINE_SET_LABEL),
    })
}

fn to_address(address: &Address) -> Option<core::Address> {
    let Address { type_, address } = address;
    let name = || NodeName::from_dns_name(address);
    // What is neither a name nor an address can match nothing: leaving it out fails closed.
    match type_.as_str() {
        "ExternalDNS" => name().ok().map(core::Address::ExternalDns),
        "ExternalIP" => address.parse().ok().map(core::Address::ExternalIp),
        "Hostname" => name().ok().map(core::Address::Hostname),
        "InternalDNS" => name().ok().map(core::Address::InternalDns),
        "InternalIP" => address.parse().ok().map(core::Address::InternalIp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &serde_json::Value) -> Result<core::Machine, NotARecord> {
        let machine = json!({
            "apiVersion": "machine.openshift.io/v1beta1",
            "kind": "Machine",
            "metadata": {
                "name": "worker-0", "namespace": "openshift-machine-api", "uid": "u",
                "creationTimestamp": "2026-11-01T00:00:00Z",
                "labels": {MACHINE_SET_LABEL: "workers"},
            },
            "spec": {"providerID": "aws:///eu-west-1a/i-0", "providerSpec": {"value": {}}},
            "status": status,
        });
        to_machine(serde_json::from_value(machine).unwrap())
    }

    #[test]
    fn a_provisioned_machine_becomes_a_record() {
        let machine = read(&json!({
            "phase": "Provisioned",
            "addresses": [
                {"type": "InternalDNS", "address": "Worker-0.Example.com."},
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "not an address"},
                {"type": "Hostname", "address": "*"},
                {"type": "Carrier", "address": "pigeon"},
            ],
        }))
        .unwrap();
        let name = "worker-0.example.com".parse().unwrap();
        let ip = "10.0.0.1".parse().unwrap();
        assert_eq!(
            machine.addresses,
            [
                core::Address::InternalDns(name),
                core::Address::InternalIp(ip)
            ]
        );
        assert_eq!(
            machine.reference.to_string(),
            "openshift-machine-api/worker-0"
        );
        assert_eq!(machine.pool.as_deref(), Some("workers"));
        assert!(!machine.deleting && !machine.failed && machine.node_reference.is_none());
    }

    #[test]
    fn phases_and_references_are_read() {
        assert!(read(&json!({"phase": "Failed"})).unwrap().failed);
        assert!(
            read(&json!({"errorReason": "InvalidConfiguration"}))
                .unwrap()
                .failed
        );
        assert!(read(&json!({"phase": "Deleting"})).unwrap().deleting);
        let bound = read(&json!({"nodeRef": {"kind": "Node", "name": "worker-0"}})).unwrap();
        assert_eq!(bound.node_reference, Some("worker-0".parse().unwrap()));
        assert!(read(&json!({})).unwrap().addresses.is_empty());
    }

    #[test]
    fn what_cannot_be_believed_is_no_record() {
        // A Machine bound to something unreadable must not pass for an unbound one.
        assert!(matches!(
            read(&json!({"nodeRef": {"name": "a b"}})),
            Err(NotARecord::NodeReference(_))
        ));
        assert!(matches!(
            read(&json!({"nodeRef": {}})),
            Err(NotARecord::NodeReference(_))
        ));
        let many = vec![json!({"type": "InternalIP", "address": "10.0.0.1"}); 2000];
        assert_eq!(
            read(&json!({"addresses": many})),
            Err(NotARecord::TooManyAddresses(2000))
        );
    }
}
