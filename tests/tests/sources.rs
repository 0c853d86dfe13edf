//! One way to a certificate for each source of Machines, from scale-up to issued, through the public API objects only, with
//! the kinds as their projects publish them; and what happens while a source is not there.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, apply_deploy, approver_kubeconfig, deploy};
use rollcall_e2e::published::{CLUSTER_API_MACHINES, GARDENER_MACHINES, KARPENTER_NODE_CLAIMS};
use rollcall_e2e::records::Records;
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, wait};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "fleet";

/// A cluster that nodes join, with the manifests of the approver, and a machine that holds the bootstrap credential.
struct Site {
    control_plane: ControlPlane,
    admin: Client,
    bootstrapper: Client,
    kubeconfig: PathBuf,
}

impl Site {
    async fn open(component: &str) -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
        give_rights(&control_plane, component).await;
        control_plane.ensure_namespace(NAMESPACE).await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            kubeconfig,
            control_plane,
        }
    }

    /// Starts the approver with these sources.
    fn approver(&self, machines: &str, more: &[&str]) -> Program {
        let file = self.control_plane.dir().join("sources.yaml");
        let text = format!(
            "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nmaxStaleness: 3s\nmachines:\n{machines}"
        );
        std::fs::write(&file, text).unwrap();
        let config = file.to_str().unwrap();
        let arguments: Vec<&str> = ["--config", config].iter().chain(more).copied().collect();
        Program::approver_as(&self.control_plane, &self.kubeconfig, &arguments).unwrap()
    }

    async fn ask(&self, node: &str) -> String {
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }

    async fn wait_issued(&self, request: &str) {
        requests::wait_certificate(&self.admin, request, TIMEOUT)
            .await
            .unwrap();
        let request = requests::api(&self.admin).get(request).await.unwrap();
        let (reason, _) = requests::condition(&request, "Approved").unwrap();
        assert_eq!(reason, "FirstCertificate");
    }

    async fn wait_held(&self, request: &str, reason: &str) -> String {
        let event = requests::wait_event(&self.admin, request, reason, TIMEOUT)
            .await
            .unwrap();
        let held = requests::api(&self.admin).get(request).await.unwrap();
        assert!(requests::is_pending(&held), "{held:?}");
        event.message.unwrap_or_default()
    }
}

/// Applies a component of `deploy/`, so that the approver has the rights that it gives and no other.
async fn give_rights(control_plane: &ControlPlane, component: &str) {
    let folder = deploy().join("../components").join(component);
    for file in ["cluster-role.yaml", "cluster-role-binding.yaml"] {
        control_plane.apply_file(&folder.join(file)).await.unwrap();
    }
}

fn cluster_api(client: Client) -> Records {
    let version = "cluster.x-k8s.io/v1beta2";
    Records::new(client, version, "Machine", "machines", Some(NAMESPACE)).unwrap()
}

/// Makes a Machine as a MachineSet and its infrastructure provider do, up to the point where it has an instance.
async fn scale_up(machines: &Records, name: &str, node: &str) {
    let spec = json!({
        "clusterName": "c",
        "bootstrap": {"configRef": {"apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "KubeadmConfig", "name": name}},
        "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "DockerMachine", "name": name},
    });
    let labels =
        json!({"cluster.x-k8s.io/cluster-name": "c", "cluster.x-k8s.io/deployment-name": "md-0"});
    machines.create(name, &labels, &spec).await.unwrap();
    let id = json!({"spec": {"providerID": format!("docker:////{node}")}});
    machines.change(name, &id).await.unwrap();
    let status = json!({
        "phase": "Provisioned",
        "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}, {"type": "Hostname", "address": node}],
        "initialization": {"infrastructureProvisioned": true, "bootstrapDataSecretCreated": true},
    });
    machines.set_status(name, &status).await.unwrap();
}

#[tokio::test]
async fn cluster_api_is_found_when_it_is_installed_and_the_other_source_works_until_then() {
    let site = Site::open("cluster-api").await;
    let approver = site.approver("- openshift: {}\n- clusterAPI: {}\n", &[]);
    // Nobody waits for the kind that is not there.
    let status = MachineStatus::provisioned("worker-0", "192.0.2.9");
    machines::create_machine(&site.admin, "worker-0", &status)
        .await
        .unwrap();
    let other = site.ask("worker-0").await;
    site.wait_issued(&other).await;
    let request = site.ask("worker-1").await;
    let message = site.wait_held(&request, "FactsStale").await;
    assert!(message.contains("machines (clusterAPI)"), "{message}");

    let definition = CLUSTER_API_MACHINES.text().unwrap();
    site.control_plane.apply(&definition).await.unwrap();
    let machines = cluster_api(site.admin.clone());
    scale_up(&machines, "md-0-x7k2p", "worker-1").await;
    site.wait_issued(&request).await;
    // The Machine of either source is spent.
    let again = site.ask("worker-1").await;
    site.wait_held(&again, "AlreadyIssued").await;
    approver
        .line(&["the watch is back", "clusterAPI"], TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_management_cluster_vouches_for_machines_of_another_and_nothing_is_approved_without_it() {
    let site = Site::open("cluster-api").await;
    let management = ControlPlane::start().await.unwrap();
    apply_deploy(&management).await.unwrap();
    give_rights(&management, "cluster-api").await;
    management.ensure_namespace(NAMESPACE).await.unwrap();
    management
        .apply(&CLUSTER_API_MACHINES.text().unwrap())
        .await
        .unwrap();
    let (namespace, name) = rollcall_e2e::programs::APPROVER;
    let reader = management
        .service_account_kubeconfig(namespace, name)
        .await
        .unwrap();
    let reader = reader.to_str().unwrap();
    let source = format!("- clusterAPI: {{namespace: {NAMESPACE}}}\n");
    let approver = site.approver(&source, &["--management-kubeconfig", reader]);

    let machines = cluster_api(management.admin());
    scale_up(&machines, "md-0-a", "worker-0").await;
    let request = site.ask("worker-0").await;
    site.wait_issued(&request).await;

    // A Machine that was known before the management cluster went vouches for nobody any more.
    scale_up(&machines, "md-0-b", "worker-1").await;
    let preview = || async {
        let config = site.control_plane.dir().join("sources.yaml");
        let output =
            tokio::process::Command::new(rollcall_e2e::programs::binary("rollcall-approver")?)
                .args([
                    "list",
                    "--all",
                    "--management-kubeconfig",
                    reader,
                    "--config",
                ])
                .arg(&config)
                .arg("--kubeconfig")
                .arg(site.control_plane.admin_kubeconfig())
                .output()
                .await?;
        anyhow::ensure!(output.status.success(), "{output:?}");
        Ok(())
    };
    wait::poll("the commands to read both clusters", TIMEOUT, preview)
        .await
        .unwrap();
    management.stop().await.unwrap();
    approver
        .line(&["the watch broke", "clusterAPI"], TIMEOUT)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let late = site.ask("worker-1").await;
    let message = site.wait_held(&late, "FactsStale").await;
    assert!(message.contains("clusterAPI in fleet"), "{message}");
}

#[tokio::test]
async fn a_node_claim_of_karpenter_lets_its_instance_in() {
    let site = Site::open("karpenter").await;
    site.control_plane
        .apply(&KARPENTER_NODE_CLAIMS.text().unwrap())
        .await
        .unwrap();
    let approver = site.approver(
        "- karpenter: {nodeNameTemplate: '{{ instance }}.{{ region }}.compute.internal', nameStrategies: [nodeReference, template]}\n",
        &[],
    );
    let request = site.ask("i-0123.eu-west-1.compute.internal").await;
    site.wait_held(&request, "MachineNotFound").await;
    let claims = Records::new(
        site.admin.clone(),
        "karpenter.sh/v1",
        "NodeClaim",
        "nodeclaims",
        None,
    )
    .unwrap();
    let labels =
        json!({"karpenter.sh/nodepool": "default", "topology.kubernetes.io/region": "eu-west-1"});
    let spec = json!({
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
        "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}],
    });
    claims
        .create("default-x7k2p", &labels, &spec)
        .await
        .unwrap();
    let condition = |kind: &str, status: &str| {
        let now = jiff::Timestamp::now().to_string();
        json!({"type": kind, "status": status, "reason": kind, "message": "", "lastTransitionTime": now})
    };
    let launched = json!({
        "providerID": "aws:///eu-west-1a/i-0123",
        "conditions": [condition("Launched", "True"), condition("Registered", "Unknown")],
    });
    claims.set_status("default-x7k2p", &launched).await.unwrap();
    site.wait_issued(&request).await;

    let registered = json!({
        "nodeName": "i-0123.eu-west-1.compute.internal",
        "conditions": [condition("Launched", "True"), condition("Registered", "True")],
    });
    claims
        .set_status("default-x7k2p", &registered)
        .await
        .unwrap();
    let again = site.ask("i-0123.eu-west-1.compute.internal").await;
    site.wait_held(&again, "MachineBound").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

#[tokio::test]
async fn a_machine_of_gardener_lets_the_node_in_that_its_label_names() {
    let site = Site::open("gardener").await;
    site.control_plane
        .apply(&GARDENER_MACHINES.text().unwrap())
        .await
        .unwrap();
    let approver = site.approver(&format!("- gardener: {{namespace: {NAMESPACE}}}\n"), &[]);
    let request = site.ask("ip-10-0-0-1.eu-west-1.compute.internal").await;
    site.wait_held(&request, "MachineNotFound").await;
    let version = "machine.sapcloud.io/v1alpha1";
    let records = Records::new(
        site.admin.clone(),
        version,
        "Machine",
        "machines",
        Some(NAMESPACE),
    )
    .unwrap();
    let machine = "shoot--p--c-worker-z1-5d9f7-x7k2p";
    let spec = json!({"class": {"kind": "MachineClass", "name": "shoot--p--c-worker-z1"}});
    records
        .create(machine, &json!({"name": "shoot--p--c-worker-z1"}), &spec)
        .await
        .unwrap();
    let made = json!({
        "metadata": {"labels": {"node": "ip-10-0-0-1.eu-west-1.compute.internal"}},
        "spec": {"providerID": "aws:///eu-west-1/i-0123"},
    });
    records.change(machine, &made).await.unwrap();
    let status = |phase: &str| json!({"currentStatus": {"phase": phase}});
    records
        .set_status(machine, &status("Pending"))
        .await
        .unwrap();
    site.wait_issued(&request).await;

    records
        .set_status(machine, &status("Running"))
        .await
        .unwrap();
    let again = site.ask("ip-10-0-0-1.eu-west-1.compute.internal").await;
    site.wait_held(&again, "MachineBound").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}
