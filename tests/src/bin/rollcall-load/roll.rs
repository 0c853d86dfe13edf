//! The cost of the roll: for each source, the time until the approver knows a cluster's Machines and Nodes, and the
//! memory that this takes.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_e2e::assets::Assets;
use rollcall_e2e::programs::{Program, approver_kubeconfig, deploy};
use rollcall_e2e::published::{
    CLUSTER_API_MACHINES, GARDENER_MACHINES, KARPENTER_NODE_CLAIMS, Published,
};
use rollcall_e2e::records::Records;
use rollcall_e2e::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::usage::peak_memory_mib;

/// The number of concurrent calls while records and Nodes are created.
const CALLS: usize = 64;
/// The timeout for the approver to know everything.
const START: Duration = Duration::from_secs(120);
const NAMESPACE: &str = "openshift-machine-api";

/// A source of Machines, and a generator of its records.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    name: &'static str,
    config: &'static str,
    component: Option<&'static str>,
    definition: Option<Published>,
    kind: (
        &'static str,
        &'static str,
        &'static str,
        Option<&'static str>,
    ),
    spec: fn(u32) -> Value,
    /// By the number and the uid of the Node.
    status: fn(u32, &str) -> Value,
}

impl Source {
    /// Every source.
    pub(crate) const ALL: [Self; 5] = [
        Self {
            name: "openshift",
            config: "- openshift: {}",
            component: None,
            definition: None,
            kind: (
                "machine.openshift.io/v1beta1",
                "Machine",
                "machines",
                Some(NAMESPACE),
            ),
            spec: |index| json!({"providerID": id(index), "lifecycleHooks": {}, "metadata": {}, "providerSpec": {}}),
            status: |index, _| json!({"phase": "Running", "addresses": addresses(index), "nodeRef": {"kind": "Node", "name": node(index)}}),
        },
        Self {
            name: "clusterAPI",
            config: "- clusterAPI: {}",
            component: Some("cluster-api"),
            definition: Some(CLUSTER_API_MACHINES),
            kind: (
                "cluster.x-k8s.io/v1beta2",
                "Machine",
                "machines",
                Some(NAMESPACE),
            ),
            spec: |index| {
                json!({
                    "clusterName": "c", "providerID": id(index), "bootstrap": {"dataSecretName": "s"},
                    "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "DockerMachine", "name": "m"},
                })
            },
            status: |index, _| json!({"phase": "Running", "addresses": addresses(index), "nodeRef": {"name": node(index)}}),
        },
        Self {
            name: "karpenter",
            config: "- karpenter: {}",
            component: Some("karpenter"),
            definition: Some(KARPENTER_NODE_CLAIMS),
            kind: ("karpenter.sh/v1", "NodeClaim", "nodeclaims", None),
            spec: |_| {
                json!({
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                    "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}],
                })
            },
            status: |index, _| json!({"providerID": id(index), "nodeName": node(index)}),
        },
        Self {
            name: "gardener",
            config: "- gardener: {namespace: openshift-machine-api}",
            component: Some("gardener"),
            definition: Some(GARDENER_MACHINES),
            kind: (
                "machine.sapcloud.io/v1alpha1",
                "Machine",
                "machines",
                Some(NAMESPACE),
            ),
            spec: |index| json!({"providerID": id(index), "class": {"kind": "MachineClass", "name": "c"}}),
            status: |_, _| json!({"currentStatus": {"phase": "Running"}}),
        },
        Self {
            name: "expectedMachines",
            config: "- expectedMachines: {}",
            component: Some("expected-machines"),
            definition: None,
            kind: (
                "rollcall.dev/v1alpha1",
                "ExpectedMachine",
                "expectedmachines",
                None,
            ),
            spec: |index| {
                let addresses = json!([address(index), node(index)]);
                json!({"nodeName": node(index), "providerID": id(index), "addresses": addresses, "pool": "workers"})
            },
            status: |index, uid| json!({"stage": "Registered", "nodeRef": {"name": node(index), "uid": uid}}),
        },
    ];
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn node(index: u32) -> String {
    format!("worker-{index}.eu-west-1.compute.internal")
}

fn id(index: u32) -> String {
    format!("aws:///eu-west-1a/i-{index:017x}")
}

/// A private address, 10.0.0.1 and so on.
fn address(index: u32) -> Ipv4Addr {
    0x0A00_0001_u32.saturating_add(index).into()
}

fn addresses(index: u32) -> Value {
    let ip = address(index);
    json!([
        {"type": "InternalIP", "address": ip},
        {"type": "InternalDNS", "address": node(index)},
        {"type": "Hostname", "address": node(index)},
    ])
}

/// The cost of one source.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    source: &'static str,
    seconds: f64,
    peak_memory_mib: f64,
}

/// A row of the table in `docs/benchmarks.md`.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            seconds,
            peak_memory_mib,
        } = self;
        write!(f, "| {source} | {seconds:.2} | {peak_memory_mib:.1} |")
    }
}

/// Measures one source with this many records and Nodes, on its own control plane.
pub(crate) async fn measure(assets: &Assets, source: Source, count: u32) -> Result<Figures> {
    let options = Options::default().assets(assets.clone());
    let control_plane = ControlPlane::start_with(options).await?;
    let kubeconfig = approver_kubeconfig(&control_plane).await?;
    if let Some(component) = source.component {
        let folder = deploy().join("../components").join(component);
        for file in ["cluster-role.yaml", "cluster-role-binding.yaml"] {
            control_plane.apply_file(&folder.join(file)).await?;
        }
        // For Rollcall's own kinds.
        let definition = folder.join("definition.yaml");
        if definition.is_file() {
            control_plane.apply_file(&definition).await?;
        }
    }
    if let Some(definition) = source.definition {
        control_plane.apply(&definition.text()?).await?;
    }
    fill(&control_plane.admin(), source, count).await?;
    let config = control_plane.dir().join("sources.yaml");
    let head = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nmachines:\n";
    std::fs::write(&config, format!("{head}{}\n", source.config))?;
    let config = config.to_str().context("a path is not text")?;
    let begin = Instant::now();
    let approver = Program::approver_as(&control_plane, &kubeconfig, &["--config", config])?;
    let machines = format!("machines={count}");
    approver
        .line(&["every watch is complete", &machines], START)
        .await?;
    Ok(Figures {
        source: source.name,
        seconds: begin.elapsed().as_secs_f64(),
        peak_memory_mib: peak_memory_mib(approver.id())?,
    })
}

/// Creates the records, as their controllers do, and the Nodes.
async fn fill(client: &Client, source: Source, count: u32) -> Result<()> {
    let (version, kind, plural, namespace) = source.kind;
    let records = &Records::new(client.clone(), version, kind, plural, namespace)?;
    let nodes: &Api<Node> = &Api::all(client.clone());
    let make = |index: u32| async move {
        let object = serde_json::from_value(json!({"metadata": {"name": node(index)}}))?;
        let created = nodes.create(&PostParams::default(), &object).await;
        let uid = created.context("cannot create a Node")?.metadata.uid;
        let name = format!("machine-{index}");
        let labels = json!({"node": node(index), "pool": "workers", "role": "worker"});
        records
            .create(&name, &labels, &(source.spec)(index))
            .await?;
        let status = (source.status)(index, &uid.unwrap_or_default());
        records.set_status(&name, &status).await
    };
    futures::stream::iter(0..count)
        .map(make)
        .buffer_unordered(CALLS)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await
}
