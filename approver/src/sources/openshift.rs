//! OpenShift's Machine API: `machine.openshift.io/v1beta1` Machines.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rollcall_approver_core::{Machine, Source};
use serde::Deserialize;

use super::fields::{Address, NodeReference, NotARecord, take_addresses};
use super::health_checks::{
    HealthCheckApi, Terms, Unhealthy, conditions, limit, selector, startup_timeout,
};
use super::machines::MachineApi;
use crate::condition::Condition;
use crate::rights::{READ, Right, Scope};

const GROUP: &str = "machine.openshift.io";
/// Labels of a Machine (openshift/api, `machine/v1beta1`).
const MACHINE_SET: &str = "machine.openshift.io/cluster-api-machineset";
const REGION: &str = "machine.openshift.io/region";
const ZONE: &str = "machine.openshift.io/zone";
/// The annotation by which a MachineHealthCheck requests the repair of bare metal (machine-api-operator).
const REMEDIATION: &str = "host.metal3.io/external-remediation";

/// The source.
pub(super) struct OpenShift;

/// The fields of a Machine's spec that a decision needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
}

/// The fields of a Machine's status that a decision needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    addresses: Option<Vec<Address>>,
    error_reason: Option<String>,
    last_updated: Option<Time>,
    node_ref: Option<NodeReference>,
    phase: Option<String>,
    #[serde(default)]
    provider_status: ProviderStatus,
}

/// The fields read from the status of any provider.
#[derive(Clone, Debug, Default, Deserialize)]
struct ProviderStatus {
    conditions: Option<Vec<Condition>>,
}

impl Status {
    /// The time since when there is an instance: the phase is written together with its time. A provider without phases may
    /// report it by a condition (openshift/api, `machine/v1beta1`: `MachineCreation` of AWS and Azure, `MachineCreated` of
    /// GCP).
    fn ready_at(&self) -> Option<Timestamp> {
        let phase = self.phase.as_deref();
        let changed = self.last_updated.as_ref();
        let provisioned = changed.filter(|_| phase == Some("Provisioned"));
        let created = || {
            let conditions = self.provider_status.conditions.iter().flatten();
            let since = conditions.filter_map(|condition| {
                let since = |type_| condition.true_since(type_);
                since("MachineCreation").or_else(|| since("MachineCreated"))
            });
            since.min()
        };
        provisioned.map(|time| time.0).or_else(created)
    }
}

impl MachineApi for OpenShift {
    const SOURCE: Source = Source::OpenShift;
    const GROUP: &'static str = GROUP;
    const VERSIONS: &'static [&'static str] = &["v1beta1"];
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
        machine.provider_id = spec.provider_id;
        machine.ready_at = status.ready_at();
        take_addresses(machine, &status.addresses.unwrap_or_default())?;
        machine.node_reference = status
            .node_ref
            .map(|reference| reference.read("status.nodeRef"))
            .transpose()?;
        machine.deleting |= status.phase.as_deref() == Some("Deleting");
        machine.failed = status.error_reason.is_some() || status.phase.as_deref() == Some("Failed");
        let annotations = metadata.annotations.as_ref();
        let remediated = annotations.is_some_and(|all| all.contains_key(REMEDIATION));
        machine.remediation = remediated.then(|| format!("the annotation {REMEDIATION}"));
        machine.startup_from = status.last_updated.map(|time| time.0);
        machine.labels = metadata.labels.clone().unwrap_or_default();
        machine.phase = status.phase;
        machine.pool = label(MACHINE_SET);
        machine.region = label(REGION);
        machine.zone = label(ZONE);
        Ok(())
    }
}

/// The fields of a MachineHealthCheck's spec that are used.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckSpec {
    max_unhealthy: Option<IntOrString>,
    node_startup_timeout: Option<String>,
    selector: LabelSelector,
    unhealthy_conditions: Option<Vec<Unhealthy>>,
}

impl HealthCheckApi for OpenShift {
    type CheckSpec = CheckSpec;

    fn terms(spec: CheckSpec) -> Result<Terms, NotARecord> {
        Ok(Terms {
            selector: selector(spec.selector)?,
            startup_timeout: startup_timeout(spec.node_startup_timeout.as_deref())?,
            conditions: conditions(spec.unhealthy_conditions)?,
            limit: limit(spec.max_unhealthy)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use rollcall_approver_core as core;

    use super::*;
    use crate::sources::machines::read_value;

    fn read(status: &serde_json::Value) -> Result<Machine, String> {
        let machine = json!({
            "apiVersion": "machine.openshift.io/v1beta1",
            "kind": "Machine",
            "metadata": {
                "name": "worker-0", "namespace": "openshift-machine-api", "uid": "u",
                "creationTimestamp": "2026-11-01T00:00:00Z",
                "labels": {MACHINE_SET: "workers", REGION: "eu-west-1", ZONE: "eu-west-1a"},
            },
            "spec": {"providerID": "aws:///eu-west-1a/i-0", "providerSpec": {"value": {}}},
            "status": status,
        });
        read_value::<OpenShift>(machine)
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
        let places = [&machine.pool, &machine.region, &machine.zone].map(Option::as_deref);
        assert_eq!(places, ["workers", "eu-west-1", "eu-west-1a"].map(Some));
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
        // A Machine bound to an unreadable name must not count as unbound.
        for (status, words) in [
            (
                json!({"nodeRef": {"name": "a b"}}),
                "status.nodeRef names no node",
            ),
            (json!({"nodeRef": {}}), "status.nodeRef names no node"),
            (
                json!({"nodeRef": "worker-0"}),
                "a field is not what its kind says",
            ),
            (
                json!({"addresses": "10.0.0.1"}),
                "a field is not what its kind says",
            ),
            (json!({"addresses": [{"type": "InternalIP"}]}), "address"),
            (json!({"addresses": many()}), "2000 entries"),
        ] {
            let error = read(&status).unwrap_err();
            assert!(error.contains(words), "{status}: {error}");
        }
    }

    fn many() -> Vec<serde_json::Value> {
        vec![json!({"type": "InternalIP", "address": "10.0.0.1"}); 2000]
    }
}
