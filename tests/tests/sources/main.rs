//! One way to a certificate for each source of Machines, from scale-up to issued, through the public API objects only, with
//! the kinds as their projects publish them; and what happens while a source is not there.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod ec2;
mod site;
mod tokens;
mod unwell;
mod vouching;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{apply_component, apply_deploy};
use rollcall_e2e::published::{
    CLUSTER_API_MACHINES, CLUSTER_API_MACHINES_V1BETA1, GARDENER_MACHINES, KARPENTER_NODE_CLAIMS,
};
use rollcall_e2e::records::Records;
use rollcall_e2e::requests::NodeRequest;
use rollcall_e2e::{ControlPlane, wait};
use serde_json::json;

use self::site::{NodeClaims, Site, launched, registered};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "fleet";

fn cluster_api(client: Client) -> Records {
    cluster_api_in("v1beta2", client)
}

fn cluster_api_in(version: &str, client: Client) -> Records {
    let version = &format!("cluster.x-k8s.io/{version}");
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

/// Machines wait longer for their hosts than the window lasts: it begins when the host is there.
#[tokio::test]
async fn a_late_host_joins_and_one_whose_window_has_passed_does_not() {
    /// `joinWindow` of the configuration below, in seconds.
    const WINDOW: i64 = 20;
    let site = Site::open("cluster-api").await;
    let definition = CLUSTER_API_MACHINES.text().unwrap();
    site.control_plane.apply(&definition).await.unwrap();
    let machines = cluster_api(site.admin.clone());
    for name in ["late", "lost", "never"] {
        scale_up(&machines, name, name).await;
    }
    let created = Timestamp::now();
    let ready_at = |at: Timestamp| {
        json!({"conditions": [{
            "type": "InfrastructureReady", "status": "True", "reason": "Ready", "message": "",
            "lastTransitionTime": format!("{at:.0}"),
        }]})
    };
    // Of this one, the record says that its host was there at once.
    machines
        .set_status("lost", &ready_at(created))
        .await
        .unwrap();
    let sources = format!("- clusterAPI: {{namespace: {NAMESPACE}}}\n");
    let config = site.config_with_window(&sources, &format!("{WINDOW}s"));
    let _approver = site.start(&config, &[], &[]);
    // Times are whole seconds, so two more make the windows' ends certain.
    let ends = created
        .checked_add(SignedDuration::from_secs(WINDOW + 2))
        .unwrap();
    let rest = ends.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(rest).unwrap_or_default()).await;
    let [late, lost, never] = ["late", "lost", "never"];
    let (late, lost, never) = (
        site.ask(late).await,
        site.ask(lost).await,
        site.ask(never).await,
    );
    for request in [&late, &lost, &never] {
        site.wait_held(request, "OutsideJoinWindow").await;
    }
    // Its host is there only now. What has passed stays so, even when its host comes and goes.
    let now = Timestamp::now();
    machines.set_status("late", &ready_at(now)).await.unwrap();
    machines.set_status("lost", &ready_at(now)).await.unwrap();
    site.wait_issued(&late).await;
    for request in [&lost, &never] {
        let message = site.wait_held(request, "OutsideJoinWindow").await;
        assert!(message.contains("later than 20s after"), "{message}");
    }
}

#[tokio::test]
async fn a_machine_of_cluster_api_lets_its_node_in_where_only_v1beta1_is_served() {
    let site = Site::open("cluster-api").await;
    let definition = CLUSTER_API_MACHINES_V1BETA1.text().unwrap();
    site.control_plane.apply(&definition).await.unwrap();
    let approver = site.approver(&format!("- clusterAPI: {{namespace: {NAMESPACE}}}\n"), &[]);
    let request = site.ask("worker-0").await;
    site.wait_held(&request, "MachineNotFound").await;

    // As a MachineSet, the bootstrap provider and the infrastructure provider write it in that version.
    let machines = cluster_api_in("v1beta1", site.admin.clone());
    let reference = |group: &str, kind: &str| {
        let version = format!("{group}.cluster.x-k8s.io/v1beta1");
        json!({"apiVersion": version, "kind": kind, "name": "md-0-a", "namespace": NAMESPACE})
    };
    let spec = json!({
        "clusterName": "c",
        "bootstrap": {"configRef": reference("bootstrap", "KubeadmConfig"), "dataSecretName": "md-0-a"},
        "infrastructureRef": reference("infrastructure", "DockerMachine"),
        "version": "v1.36.3",
    });
    let labels =
        json!({"cluster.x-k8s.io/cluster-name": "c", "cluster.x-k8s.io/deployment-name": "md-0"});
    machines.create("md-0-a", &labels, &spec).await.unwrap();
    let id = json!({"spec": {"providerID": "docker:////worker-0"}});
    machines.change("md-0-a", &id).await.unwrap();
    let provisioned = json!({
        "phase": "Provisioned", "bootstrapReady": true, "infrastructureReady": true,
        "addresses": [{"type": "InternalIP", "address": "192.0.2.10"}, {"type": "Hostname", "address": "worker-0"}],
    });
    machines.set_status("md-0-a", &provisioned).await.unwrap();
    site.wait_issued(&request).await;

    // In this version the reference says what it refers to.
    let node = json!({"apiVersion": "v1", "kind": "Node", "name": "worker-0", "uid": "u"});
    let running = json!({"phase": "Running", "nodeRef": node});
    machines.set_status("md-0-a", &running).await.unwrap();
    let again = site.ask("worker-0").await;
    site.wait_held(&again, "MachineBound").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

#[tokio::test]
async fn a_management_cluster_vouches_for_machines_of_another_and_nothing_is_approved_without_it() {
    let site = Site::open("cluster-api").await;
    let management = ControlPlane::start().await.unwrap();
    apply_deploy(&management).await.unwrap();
    apply_component(&management, "cluster-api").await.unwrap();
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
    let config = site.config(&source);
    let preview = || async {
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
    let claims = NodeClaims::of(&site.admin);
    claims.create("default-x7k2p").await;
    let status = launched(Some("aws:///eu-west-1a/i-0123"));
    claims.set_status("default-x7k2p", &status).await;
    site.wait_issued(&request).await;

    let registered = registered("i-0123.eu-west-1.compute.internal");
    claims.set_status("default-x7k2p", &registered).await;
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
    // The token that machine-controller-manager makes for the Machine below has an id of the end of its name.
    let node = "ip-10-0-0-1.eu-west-1.compute.internal";
    let hour = Duration::from_secs(3600);
    let token = site
        .control_plane
        .bootstrap_token_kubeconfig_of("78376b", hour);
    let holder = token.await.unwrap();
    let holder = site.control_plane.client_from(&holder).await.unwrap();
    let ask = || NodeRequest::client(node).unwrap();
    let request = ask().submit(&holder).await.unwrap();
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
        "metadata": {"labels": {"node": node}},
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
    let again = ask().submit(&holder).await.unwrap();
    site.wait_held(&again, "MachineBound").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}
