//! Cluster API: `cluster.x-k8s.io` Machines, in `v1beta2` or `v1beta1`. They are in the management cluster.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rollcall_approver_core::{Machine, Requirement, Source};
use serde::Deserialize;

use super::fields::{Address, NodeReference, NotARecord, take_addresses};
use super::health_checks::{
    HealthCheckApi, Terms, Unhealthy, conditions, limit, selector, startup_timeout,
};
use super::kubeadm_configs;
use super::machines::MachineApi;
use crate::condition::Condition;
use crate::node::NodeInfo;
use crate::rights::{READ, Right, Scope};

const GROUP: &str = "cluster.x-k8s.io";
/// Labels that name the group of a Machine, the most specific first (cluster-api, `api/core`).
const POOLS: [&str; 3] = [
    "cluster.x-k8s.io/deployment-name",
    "cluster.x-k8s.io/set-name",
    "cluster.x-k8s.io/control-plane-name",
];
/// The label that names the cluster of a Machine.
pub(super) const CLUSTER: &str = rollcall_approver_core::CLUSTER_LABEL;
/// The annotation by which a user has a Machine replaced (cluster-api, `api/core`).
const REMEDIATE: &str = "cluster.x-k8s.io/remediate-machine";
/// Labels that providers give Machines, as on Nodes (Kubernetes: well-known labels).
const REGION: &str = "topology.kubernetes.io/region";

/// The source.
pub(super) struct ClusterApi;

/// The fields of a Machine's spec that a decision needs, in the form of either version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    bootstrap: Option<Bootstrap>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    failure_domain: Option<String>,
}

/// The source of a machine's user-data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bootstrap {
    config_ref: Option<ConfigReference>,
}

/// The reference to its bootstrap object, in the Machine's namespace (cluster-api, webhook of Machines).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigReference {
    /// Since `v1beta2`.
    api_group: Option<String>,
    /// Until `v1beta1`.
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
}

impl ConfigReference {
    /// The name, if it refers to a KubeadmConfig: other bootstrap providers do not make a token for one Machine that could
    /// be found.
    fn kubeadm_config(self) -> Option<String> {
        let version = self.api_version.as_deref().unwrap_or_default();
        let group = version.split_once('/').map(|(group, _)| group);
        let group = self.api_group.as_deref().or(group);
        let is_one = group == Some(kubeadm_configs::GROUP)
            && self.kind.as_deref() == Some(kubeadm_configs::KIND);
        self.name.filter(|_| is_one)
    }
}

/// The fields of a Machine's status that a decision needs, in the form of either version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    addresses: Option<Vec<Address>>,
    conditions: Option<Vec<Condition>>,
    deprecated: Option<Deprecated>,
    failure_reason: Option<String>,
    infrastructure_ready: Option<bool>,
    #[serde(default)]
    initialization: Initialization,
    last_updated: Option<Time>,
    node_info: Option<NodeInfo>,
    node_ref: Option<NodeReference>,
    phase: Option<String>,
    v1beta2: Option<Conditions>,
}

/// The fields of `v1beta2` for the initialization of the Machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialization {
    infrastructure_provisioned: Option<bool>,
}

/// The place of the `v1beta2` conditions in `v1beta1`.
#[derive(Clone, Debug, Default, Deserialize)]
struct Conditions {
    conditions: Option<Vec<Condition>>,
}

/// The place of the `v1beta1` failures in `v1beta2`.
#[derive(Clone, Debug, Default, Deserialize)]
struct Deprecated {
    v1beta1: Option<DeprecatedStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeprecatedStatus {
    conditions: Option<Vec<Condition>>,
    failure_reason: Option<String>,
}

impl Status {
    /// The time since when the infrastructure of the machine is ready, from the condition in either form; without one, the
    /// time of the Machine's change to the phase that follows.
    fn ready_at(&self) -> Option<Timestamp> {
        let newer = self.v1beta2.as_ref();
        let newer = newer.and_then(|newer| newer.conditions.as_ref());
        let older = self.deprecated().and_then(|old| old.conditions.as_ref());
        let all = [self.conditions.as_ref(), newer, older];
        let conditions = all.into_iter().flatten().flatten();
        let since = conditions.filter_map(|condition| condition.true_since("InfrastructureReady"));
        since.min().or_else(|| self.provisioned_at())
    }

    fn provisioned_at(&self) -> Option<Timestamp> {
        let provisioned = self.initialization.infrastructure_provisioned;
        let ready = self.infrastructure_ready.or(provisioned) == Some(true);
        let changed = self.last_updated.as_ref();
        changed
            .filter(|_| ready && self.is_in("Provisioned"))
            .map(|time| time.0)
    }

    fn deprecated(&self) -> Option<&DeprecatedStatus> {
        self.deprecated.as_ref()?.v1beta1.as_ref()
    }

    fn has_failed(&self) -> bool {
        let reason = self
            .deprecated()
            .and_then(|status| status.failure_reason.as_ref());
        self.failure_reason.is_some() || reason.is_some() || self.is_in("Failed")
    }

    fn is_in(&self, phase: &str) -> bool {
        self.phase.as_deref() == Some(phase)
    }
}

impl MachineApi for ClusterApi {
    const SOURCE: Source = Source::ClusterApi;
    const GROUP: &'static str = GROUP;
    const VERSIONS: &'static [&'static str] = &["v1beta2", "v1beta1"];
    const KIND: &'static str = "Machine";
    const PLURAL: &'static str = "machines";
    const RIGHTS: &'static [Right] = &[
        Right::required(Scope::Machines, GROUP, "machines", READ),
        Right::optional(Scope::Machines, GROUP, "clusters", READ),
    ];
    type Spec = Spec;
    type Status = Status;

    fn fill(
        machine: &mut Machine,
        metadata: &ObjectMeta,
        spec: Spec,
        status: Status,
    ) -> Result<(), NotARecord> {
        let label = |name| metadata.labels.as_ref()?.get(name).cloned();
        // An unset text is absent in one version and may be empty in the other.
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        machine.failed = status.has_failed();
        // The latest of several times that a check considers; those of the whole cluster are long past when it scales.
        let created = Some(machine.created_at);
        machine.ready_at = status.ready_at();
        machine.startup_from = machine.ready_at.max(created);
        machine.deleting |= status.is_in("Deleting") || status.is_in("Deleted");
        machine.provider_id = set(spec.provider_id);
        let config = spec.bootstrap.and_then(|bootstrap| bootstrap.config_ref);
        machine.kubeadm_config = config.and_then(ConfigReference::kubeadm_config);
        machine.zone = set(spec.failure_domain);
        machine.region = label(REGION);
        machine.pool = POOLS.into_iter().find_map(label);
        let info = status.node_info.unwrap_or_default();
        (machine.system_uuid, machine.machine_id) = info.ids();
        take_addresses(machine, &status.addresses.unwrap_or_default())?;
        machine.node_reference = status
            .node_ref
            .map(|reference| reference.read("status.nodeRef"))
            .transpose()?;
        let annotations = metadata.annotations.as_ref();
        let remediated = annotations.is_some_and(|all| all.contains_key(REMEDIATE));
        machine.remediation = remediated.then(|| format!("the annotation {REMEDIATE}"));
        machine.labels = metadata.labels.clone().unwrap_or_default();
        machine.phase = status.phase;
        Ok(())
    }
}

/// The fields of a MachineHealthCheck's spec that are used, in the form of either version.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckSpec {
    #[serde(default)]
    checks: Checks,
    cluster_name: String,
    max_unhealthy: Option<IntOrString>,
    node_startup_timeout: Option<String>,
    #[serde(default)]
    remediation: Remediation,
    selector: LabelSelector,
    unhealthy_conditions: Option<Vec<Unhealthy>>,
    unhealthy_range: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checks {
    node_startup_timeout_seconds: Option<u32>,
    unhealthy_node_conditions: Option<Vec<Unhealthy>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remediation {
    #[serde(default)]
    trigger_if: Trigger,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    unhealthy_in_range: Option<String>,
    unhealthy_less_than_or_equal_to: Option<IntOrString>,
}

impl HealthCheckApi for ClusterApi {
    type CheckSpec = CheckSpec;

    fn terms(spec: CheckSpec) -> Result<Terms, NotARecord> {
        let Trigger {
            unhealthy_in_range,
            unhealthy_less_than_or_equal_to,
        } = spec.remediation.trigger_if;
        // A range overrides a limit, as there (cluster-api, `reconcilers/machinehealthcheck`).
        let range = spec.unhealthy_range.or(unhealthy_in_range);
        let range = range.filter(|range| !range.is_empty());
        let most = spec.max_unhealthy.or(unhealthy_less_than_or_equal_to);
        let seconds = spec.checks.node_startup_timeout_seconds;
        let timeout = spec.node_startup_timeout;
        let timeout = timeout.or_else(|| seconds.map(|seconds| format!("{seconds}s")));
        let mut selector = selector(spec.selector)?;
        let own = Requirement::In(CLUSTER.to_owned(), vec![spec.cluster_name]);
        selector.0.push(own);
        Ok(Terms {
            selector,
            startup_timeout: startup_timeout(timeout.as_deref())?,
            conditions: conditions(
                spec.unhealthy_conditions
                    .or(spec.checks.unhealthy_node_conditions),
            )?,
            limit: limit(range.map(IntOrString::String).or(most))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rollcall_approver_core::Address as Known;
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::machines::read_value;

    fn read(version: &str, status: &Value) -> Result<Machine, String> {
        read_value::<ClusterApi>(json!({
            "apiVersion": format!("cluster.x-k8s.io/{version}"),
            "kind": "Machine",
            "metadata": {
                "name": "md-0-x7k2p", "namespace": "fleet", "uid": "u",
                "creationTimestamp": "2026-11-01T00:00:00Z",
                "labels": {
                    "cluster.x-k8s.io/cluster-name": "c", "cluster.x-k8s.io/set-name": "md-0-x",
                    "cluster.x-k8s.io/deployment-name": "md-0",
                },
            },
            "spec": {
                "clusterName": "c", "bootstrap": {"dataSecretName": "s"},
                "providerID": "docker:////md-0-x7k2p", "failureDomain": "fd-1",
            },
            "status": status,
        }))
    }

    #[test]
    fn both_versions_become_the_same_record() {
        let addresses = json!([{"type": "InternalIP", "address": "10.0.0.1"}]);
        let old = json!({
            "phase": "Provisioned", "addresses": addresses, "bootstrapReady": true, "infrastructureReady": true,
            "conditions": [{"type": "Ready", "status": "False", "severity": "Info"}],
        });
        let new = json!({
            "phase": "Provisioned", "addresses": addresses,
            "initialization": {"bootstrapDataSecretCreated": true, "infrastructureProvisioned": true},
            "conditions": [{"type": "Ready", "status": "False", "reason": "NotReady"}],
        });
        let machine = read("v1beta1", &old).unwrap();
        assert_eq!(Ok(&machine), read("v1beta2", &new).as_ref());
        assert_eq!(machine.reference.to_string(), "fleet/md-0-x7k2p");
        assert_eq!(machine.pool.as_deref(), Some("md-0"));
        assert_eq!(machine.zone.as_deref(), Some("fd-1"));
        assert_eq!(machine.instance(), Some("md-0-x7k2p"));
        let ip = Known::InternalIp("10.0.0.1".parse().unwrap());
        assert_eq!(machine.addresses, [ip]);
        assert!(!machine.failed && !machine.deleting && machine.node_reference.is_none());
    }

    #[test]
    fn the_kubeadm_config_is_found_in_either_version() {
        let read = |config: Value| {
            let spec = json!({"clusterName": "c", "bootstrap": {"configRef": config}});
            let object = json!({
                "metadata": {
                    "name": "md-0-x7k2p", "namespace": "fleet", "uid": "u",
                    "creationTimestamp": "2026-11-01T00:00:00Z",
                },
                "spec": spec,
            });
            read_value::<ClusterApi>(object).unwrap().kubeadm_config
        };
        let group = "bootstrap.cluster.x-k8s.io";
        let own = Some("md-0-c".to_owned());
        let old = json!({
            "apiVersion": format!("{group}/v1beta1"), "kind": "KubeadmConfig", "name": "md-0-c", "namespace": "fleet",
        });
        assert_eq!(read(old), own);
        let new = json!({"apiGroup": group, "kind": "KubeadmConfig", "name": "md-0-c"});
        assert_eq!(read(new), own);
        for other in [
            json!({"apiGroup": group, "kind": "RKE2Config", "name": "md-0-c"}),
            json!({"apiGroup": "example.com", "kind": "KubeadmConfig", "name": "md-0-c"}),
            json!({"kind": "KubeadmConfig", "name": "md-0-c"}),
            json!(null),
        ] {
            assert_eq!(read(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn failures_deletions_and_nodes_are_seen_in_either_version() {
        for (version, status) in [
            ("v1beta1", json!({"failureReason": "CreateError"})),
            (
                "v1beta2",
                json!({"deprecated": {"v1beta1": {"failureReason": "CreateError"}}}),
            ),
            ("v1beta2", json!({"phase": "Failed"})),
        ] {
            assert!(read(version, &status).unwrap().failed, "{status}");
        }
        assert!(
            !read("v1beta2", &json!({"deprecated": {"v1beta1": {}}}))
                .unwrap()
                .failed
        );
        for phase in ["Deleting", "Deleted"] {
            assert!(read("v1beta2", &json!({"phase": phase})).unwrap().deleting);
        }
        for (version, reference) in [
            (
                "v1beta1",
                json!({"kind": "Node", "name": "worker-0", "uid": "n"}),
            ),
            ("v1beta2", json!({"name": "worker-0"})),
        ] {
            let bound = read(version, &json!({"nodeRef": reference})).unwrap();
            assert_eq!(bound.node_reference, Some("worker-0".parse().unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_believed_is_no_record() {
        let many = vec![json!({"type": "InternalIP", "address": "10.0.0.1"}); 2000];
        for (status, words) in [
            (
                json!({"nodeRef": {"name": ""}}),
                "status.nodeRef names no node",
            ),
            (json!({"nodeRef": []}), "a field is not what its kind says"),
            (json!({"phase": 1}), "a field is not what its kind says"),
            (json!({"addresses": many}), "2000 entries"),
        ] {
            let error = read("v1beta2", &status).unwrap_err();
            assert!(error.contains(words), "{status}: {error}");
        }
    }
}
