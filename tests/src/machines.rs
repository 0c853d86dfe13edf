//! Machines of OpenShift's Machine API (`machine.openshift.io/v1beta1`), written as its controllers write them.

use anyhow::{Context as _, Result};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::ControlPlane;

/// The namespace that OpenShift keeps its Machines in.
pub const NAMESPACE: &str = "openshift-machine-api";

/// The finalizer that keeps a Machine until its instance is terminated (machine-api-operator).
pub const FINALIZER: &str = "machine.machine.openshift.io";

/// The annotation with the cloud's state of the instance (machine-api-operator).
const INSTANCE_STATE: &str = "machine.openshift.io/instance-state";

/// The definition of the kind.
const DEFINITION: &str = include_str!("../crds/machines.yaml");

/// The status to write to a Machine, and the provider id, which is in the spec.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MachineStatus {
    /// `Provisioning`, `Provisioned`, `Running`, `Deleting` or `Failed`.
    pub phase: String,
    /// `spec.providerID`, once the instance exists.
    pub provider_id: Option<String>,
    /// Type (`InternalDNS`, `Hostname`, `InternalIP`, ...) and address, in this order.
    pub addresses: Vec<(String, String)>,
}

impl MachineStatus {
    /// The instance is being created: no provider id, no addresses.
    pub fn provisioning() -> Self {
        Self {
            phase: "Provisioning".to_owned(),
            provider_id: None,
            addresses: Vec::new(),
        }
    }

    /// The instance exists and will name its node `node_name`: the approver waits for this.
    pub fn provisioned(node_name: &str, ip: &str) -> Self {
        let address = |kind: &str, address: &str| (kind.to_owned(), address.to_owned());
        Self {
            phase: "Provisioned".to_owned(),
            provider_id: Some(format!("aws:///us-east-1a/{node_name}")),
            addresses: vec![
                address("InternalDNS", node_name),
                address("Hostname", node_name),
                address("InternalIP", ip),
            ],
        }
    }

    fn addresses_json(&self) -> Vec<Value> {
        self.addresses
            .iter()
            .map(|(kind, address)| json!({"type": kind, "address": address}))
            .collect()
    }
}

/// Machines in [`NAMESPACE`].
pub fn api(client: kube::Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("machine.openshift.io", "v1beta1", "Machine");
    Api::namespaced_with(
        client,
        NAMESPACE,
        &ApiResource::from_gvk_with_plural(&kind, "machines"),
    )
}

/// Defines the kind and creates [`NAMESPACE`]. Idempotent. Call it early: the API server delays the first creation until
/// a new kind is two seconds old (apiextensions-apiserver, `pkg/apiserver/customresource_handler.go`).
/// back until a new kind is two seconds old (apiextensions-apiserver, `pkg/apiserver/customresource_handler.go`).
///
/// # Errors
/// If the API server refuses.
pub async fn install(control_plane: &ControlPlane) -> Result<()> {
    control_plane.apply(DEFINITION).await?;
    control_plane.ensure_namespace(NAMESPACE).await
}

/// Creates a Machine, then writes its provider id and status, in the steps of the real controllers.
///
/// # Errors
/// If the API server refuses.
pub async fn create_machine(
    client: &kube::Client,
    name: &str,
    status: &MachineStatus,
) -> Result<DynamicObject> {
    let machines = api(client.clone());
    let object = serde_json::from_value(json!({
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "Machine",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "finalizers": [FINALIZER],
            "labels": {"machine.openshift.io/cluster-api-machine-role": "worker"},
        },
        "spec": {"lifecycleHooks": {}, "metadata": {}, "providerSpec": {}},
    }))?;
    machines
        .create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("cannot create the Machine {name}"))?;
    set_status(client, name, status).await
}

/// Creates a Machine like an object of a dump: with its status, and being deleted if that one is.
///
/// # Errors
/// If the API server refuses.
pub async fn create_like(client: &kube::Client, object: &Value) -> Result<()> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.context("the Machine has no name")?;
    let machine = serde_json::from_value(json!({
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "Machine",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "finalizers": [FINALIZER],
            "labels": object.pointer("/metadata/labels"),
        },
        "spec": object.get("spec"),
    }))?;
    api(client.clone())
        .create(&PostParams::default(), &machine)
        .await
        .with_context(|| format!("cannot create the Machine {name}"))?;
    let status = json!({"status": object.get("status")});
    patch(client, name, &status, Part::Status).await?;
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        delete(client, name).await?;
    }
    Ok(())
}

/// Writes provider id, phase and addresses: `Provisioning` becomes `Provisioned`, for example.
///
/// # Errors
/// If the API server refuses.
pub async fn set_status(
    client: &kube::Client,
    name: &str,
    status: &MachineStatus,
) -> Result<DynamicObject> {
    if let Some(provider_id) = &status.provider_id {
        let annotations = json!({(INSTANCE_STATE): "running"});
        let spec =
            json!({"metadata": {"annotations": annotations}, "spec": {"providerID": provider_id}});
        patch(client, name, &spec, Part::Object).await?;
    }
    let fields = json!({
        "phase": status.phase,
        "addresses": status.addresses_json(),
        "lastUpdated": jiff::Timestamp::now().to_string(),
    });
    patch(client, name, &json!({"status": fields}), Part::Status).await
}

/// Replaces only the addresses.
///
/// # Errors
/// If the API server refuses.
pub async fn set_addresses(
    client: &kube::Client,
    name: &str,
    addresses: &[(&str, &str)],
) -> Result<DynamicObject> {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|(kind, address)| json!({"type": kind, "address": address}))
        .collect();
    patch(
        client,
        name,
        &json!({"status": {"addresses": addresses}}),
        Part::Status,
    )
    .await
}

/// Binds a Machine to a Node, as the nodelink controller does once the Node exists (`kind`, `name` and `uid`).
///
/// # Errors
/// If the API server refuses.
pub async fn bind(
    client: &kube::Client,
    name: &str,
    node: &str,
    node_uid: &str,
) -> Result<DynamicObject> {
    let reference = json!({"kind": "Node", "name": node, "uid": node_uid});
    patch(
        client,
        name,
        &json!({"status": {"phase": "Running", "nodeRef": reference}}),
        Part::Status,
    )
    .await
}

/// Requests deletion of a Machine. Its finalizer keeps it, with a deletion timestamp, until [`finish_deletion`].
///
/// # Errors
/// If the API server refuses.
pub async fn delete(client: &kube::Client, name: &str) -> Result<DynamicObject> {
    api(client.clone())
        .delete(name, &DeleteParams::default())
        .await
        .with_context(|| format!("cannot delete the Machine {name}"))?;
    patch(
        client,
        name,
        &json!({"status": {"phase": "Deleting"}}),
        Part::Status,
    )
    .await
}

/// Removes the finalizer, which completes a deletion.
///
/// # Errors
/// If the API server refuses.
pub async fn finish_deletion(client: &kube::Client, name: &str) -> Result<()> {
    patch(
        client,
        name,
        &json!({"metadata": {"finalizers": null}}),
        Part::Object,
    )
    .await
    .map(drop)
}

/// The uid of a Machine, empty if it has none.
pub fn uid(machine: &DynamicObject) -> String {
    machine.uid().unwrap_or_default()
}

/// The target of a patch: the status is a subresource.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Status,
}

async fn patch(
    client: &kube::Client,
    name: &str,
    patch: &Value,
    part: Part,
) -> Result<DynamicObject> {
    let machines = api(client.clone());
    let params = PatchParams::default();
    match part {
        Part::Object => machines.patch(name, &params, &Patch::Merge(patch)).await,
        Part::Status => {
            machines
                .patch_status(name, &params, &Patch::Merge(patch))
                .await
        }
    }
    .with_context(|| format!("cannot change the Machine {name}"))
}
