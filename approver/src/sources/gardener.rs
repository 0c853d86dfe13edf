//! Gardener's machine-controller-manager: `machine.sapcloud.io/v1alpha1` Machines. The label `node` names the Node, before
//! and after it has joined.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rollcall_approver_core::{Address as Known, Machine, Source};
use serde::Deserialize;

use super::fields::{Address, NotARecord, node, take_addresses};
use super::machines::MachineApi;
use crate::rights::{READ, Right, Scope};

const GROUP: &str = "machine.sapcloud.io";
/// The label that names a Machine's Node (machine-controller-manager, `pkg/apis/machine/v1alpha1`).
const NODE: &str = "node";
/// The label that MachineDeployments give their Machines.
const DEPLOYMENT: &str = "name";

/// The source.
pub(super) struct Gardener;

/// The fields of a Machine's spec that a decision needs.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

/// The fields of a Machine's status that a decision needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    addresses: Option<Vec<Address>>,
    current_status: Option<CurrentStatus>,
    last_operation: Option<LastOperation>,
}

/// The last operation of machine-controller-manager.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastOperation {
    #[serde(rename = "type")]
    type_: Option<String>,
    last_update_time: Option<Time>,
}

impl LastOperation {
    /// The creation time of the instance, if that was the last operation. A failed creation leaves no providerID.
    fn created_at(self, provider_id: Option<&String>) -> Option<Timestamp> {
        let made = self.type_.as_deref() == Some("Create") && provider_id.is_some();
        self.last_update_time.filter(|_| made).map(|time| time.0)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CurrentStatus {
    phase: Option<String>,
}

impl MachineApi for Gardener {
    const SOURCE: Source = Source::Gardener;
    const GROUP: &'static str = GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const KIND: &'static str = "Machine";
    const PLURAL: &'static str = "machines";
    const RIGHTS: &'static [Right] = &[Right::required(Scope::Machines, GROUP, "machines", READ)];
    type Spec = Spec;
    type Status = Status;

    fn fill(
        machine: &mut Machine,
        metadata: &ObjectMeta,
        spec: Spec,
        status: Status,
    ) -> Result<(), NotARecord> {
        let label = |name| metadata.labels.as_ref()?.get(name).cloned();
        let phase = status.current_status.unwrap_or_default().phase;
        let phase = phase.filter(|phase| !phase.is_empty());
        let name = label(NODE).filter(|name| !name.is_empty());
        let name = name.map(|name| node(&name, "the label node")).transpose()?;
        take_addresses(machine, &status.addresses.unwrap_or_default())?;
        // The label exists once the machine is created; the phase shows if it has become that Node.
        machine.addresses.extend(name.clone().map(Known::Hostname));
        machine.node_reference = name.filter(|_| has_joined(phase.as_deref()));
        machine.provider_id = spec.provider_id.filter(|id| !id.is_empty());
        let last = status.last_operation.unwrap_or_default();
        machine.ready_at = last.created_at(machine.provider_id.as_ref());
        machine.deleting |= phase.as_deref() == Some("Terminating");
        machine.failed = phase.as_deref() == Some("Failed");
        machine.pool = label(DEPLOYMENT);
        machine
            .bootstrap_tokens
            .extend(token_id(&machine.reference.name));
        machine.phase = phase;
        Ok(())
    }
}

/// The id of the bootstrap token that is made for a Machine: the first six hexadecimal digits of the last five bytes of its
/// name (machine-controller-manager, `machine_bootstrap_token.go`).
fn token_id(name: &str) -> Option<String> {
    let last = name.as_bytes().last_chunk::<5>()?;
    let bytes = last.first_chunk::<3>()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns true if a Machine in this phase has had a Node. An unknown phase counts as one that has: no request is approved
/// for it.
fn has_joined(phase: Option<&str>) -> bool {
    !matches!(
        phase,
        None | Some("Available" | "CrashLoopBackOff" | "Failed" | "Pending" | "Terminating")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::machines::read_value;

    fn read(phase: &str, labels: &Value) -> Result<Machine, String> {
        read_value::<Gardener>(json!({
            "apiVersion": "machine.sapcloud.io/v1alpha1",
            "kind": "Machine",
            "metadata": {
                "name": "shoot--p--c-worker-z1-5d9f7-x7k2p", "namespace": "shoot--p--c", "uid": "u",
                "creationTimestamp": "2026-11-01T00:00:00Z", "labels": labels,
            },
            "spec": {"providerID": "aws:///eu-west-1/i-0123", "class": {"kind": "MachineClass", "name": "c"}},
            "status": {"currentStatus": {"phase": phase}, "lastOperation": {"type": "Create"}},
        }))
    }

    #[test]
    fn a_machine_owns_its_node_label_and_is_bound_once_it_runs() {
        let labels =
            json!({NODE: "ip-10-0-0-1.eu-west-1.compute.internal", DEPLOYMENT: "worker-z1"});
        let name: rollcall_csr::NodeName =
            "ip-10-0-0-1.eu-west-1.compute.internal".parse().unwrap();
        for phase in ["Pending", "Available", "", "CrashLoopBackOff"] {
            let machine = read(phase, &labels).unwrap();
            assert_eq!(machine.addresses, [Known::Hostname(name.clone())]);
            assert_eq!(machine.node_reference, None, "{phase}");
            assert_eq!(machine.pool.as_deref(), Some("worker-z1"));
        }
        for phase in ["Running", "Unknown", "InPlaceUpdating", "Whatever"] {
            let machine = read(phase, &labels).unwrap();
            assert_eq!(machine.node_reference, Some(name.clone()), "{phase}");
        }
        assert!(read("Terminating", &labels).unwrap().deleting);
        assert!(read("Failed", &labels).unwrap().failed);
    }

    #[test]
    fn a_machine_has_the_bootstrap_token_that_is_made_for_it() {
        let machine = read("Pending", &json!({})).unwrap();
        // The hexadecimal digits of `x7k`.
        assert_eq!(machine.bootstrap_tokens, ["78376b".to_owned()].into());
        assert_eq!(token_id("abcd"), None);
    }

    #[test]
    fn a_machine_without_its_label_owns_nothing_yet_and_a_broken_one_is_no_record() {
        let machine = read("Pending", &json!({})).unwrap();
        assert!(machine.addresses.is_empty());
        assert!(read("Pending", &json!({NODE: "a b"})).is_err());
        assert!(read("Pending", &json!([])).is_err());
    }
}
