//! Auto Scaling Groups on a pretended AWS: what is launched joins, what is terminated renews nothing.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use rollcall_csr::NODES_GROUP;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::expected::{self, wait_stage};
use rollcall_e2e::moto::Moto;
use rollcall_e2e::programs::{APPROVER, Program, apply_component, approver_kubeconfig};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::wait::poll;
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
const TAG: &str = "kubernetes.io/cluster/test";

const CONFIG: &str = "\
apiVersion: rollcall.dev/v1alpha1
kind: ApproverConfig
machines:
- awsAutoScaling: {clusterTag: kubernetes.io/cluster/test, pollInterval: 1s}
";

#[tokio::test]
async fn what_a_group_launches_joins_and_what_it_terminates_renews_nothing() {
    if let Err(missing) = Moto::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let scene = Scene::start().await;
    let admin = scene.control_plane.admin();
    // Neither a group without the tag nor a record that a person made is any business of the mirror's.
    scene.moto.create_group("others", "Name", 1).await.unwrap();
    let by_hand = json!({"nodeName": "by-hand"});
    expected::create(&admin, "by-hand", &by_hand).await.unwrap();
    scene.moto.create_group("workers", TAG, 1).await.unwrap();
    let approver = scene.approver();

    let first = wait_records(&admin, 1).await;
    let (id, name) = first.first_key_value().unwrap();
    let record = expected::api(&admin).get(id).await.unwrap();
    let spec = record.data.get("spec").unwrap();
    assert_eq!(spec.get("pool"), Some(&json!("workers")));
    assert_eq!(
        spec.get("providerID"),
        Some(&json!(format!("aws:///eu-west-1a/{id}")))
    );
    assert!(spec.get("joinBy").is_some(), "{spec}");
    let mut kubelets = BTreeMap::from([(id.clone(), scene.join(id, name).await)]);

    scene.moto.scale("workers", 4).await.unwrap();
    let four = wait_records(&admin, 4).await;
    for (id, name) in four.iter().filter(|(id, _)| !first.contains_key(*id)) {
        kubelets.insert(id.clone(), scene.join(id, name).await);
    }
    assert_eq!(kubelets.len(), 4);

    scene.moto.scale("workers", 2).await.unwrap();
    let two = wait_records(&admin, 2).await;
    // A spot instance is reclaimed behind the group's back; its group has not replaced it yet.
    let (reclaimed, _) = two.first_key_value().unwrap();
    scene.moto.terminate(reclaimed).await.unwrap();
    let one = wait_gone(&admin, reclaimed).await;
    for (id, kubelet) in &kubelets {
        let name = four.get(id).unwrap();
        let renewal = NodeRequest::client(name)
            .unwrap()
            .submit(kubelet)
            .await
            .unwrap();
        if one.contains_key(id) {
            let approved = requests::wait_approved(&admin, &renewal, TIMEOUT)
                .await
                .unwrap();
            assert_eq!(
                requests::condition(&approved, "Approved").unwrap().0,
                "Renewal"
            );
        } else {
            let held = requests::wait_event(&admin, &renewal, "MachineNotFound", TIMEOUT);
            held.await.unwrap();
            let request = requests::api(&admin).get(&renewal).await.unwrap();
            assert!(requests::is_pending(&request), "{request:?}");
        }
    }
    expected::api(&admin).get("by-hand").await.unwrap();
    let log = approver.log();
    for trouble in ["forbidden", "right is missing", "ERROR"] {
        assert!(!log.contains(trouble), "{trouble} in:\n{log}");
    }
}

#[tokio::test]
async fn while_aws_is_down_records_stay_and_what_went_meanwhile_is_cleaned_up() {
    if let Err(missing) = Moto::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let scene = Scene::start().await;
    let admin = scene.control_plane.admin();
    scene.moto.create_group("workers", TAG, 2).await.unwrap();
    let approver = scene.approver();
    let two = wait_records(&admin, 2).await;

    // The approver is down while the group shrinks.
    approver.kill();
    scene.moto.scale("workers", 1).await.unwrap();
    let approver = scene.approver();
    let one = wait_records(&admin, 1).await;
    let (id, name) = one.first_key_value().unwrap();
    assert_eq!(two.get(id), Some(name));

    // A record that is made when its instance is a node already is bound to that.
    approver.kill();
    expected::delete(&admin, id).await.unwrap();
    let node = json!({"metadata": {"name": name}, "spec": {"providerID": format!("aws:///eu-west-1a/{id}")}});
    let node: Node = serde_json::from_value(node).unwrap();
    let nodes: Api<Node> = Api::all(admin.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let approver = scene.approver();
    assert_eq!(wait_records(&admin, 1).await, one);
    wait_stage(&admin, id, "Registered", TIMEOUT).await.unwrap();

    // Then AWS is.
    scene.moto.kill();
    approver
        .line(
            &["ERROR", "cannot be mirrored", "cannot be reached"],
            TIMEOUT,
        )
        .await
        .unwrap();
    assert_eq!(records(&admin).await.unwrap(), one);
}

struct Scene {
    control_plane: ControlPlane,
    moto: Moto,
    kubeconfig: PathBuf,
    config: PathBuf,
    bootstrapper: Client,
}

impl Scene {
    async fn start() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
        for component in ["expected-machines", "aws-auto-scaling"] {
            apply_component(&control_plane, component).await.unwrap();
        }
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
        let config = control_plane.dir().join("approver.yaml");
        std::fs::write(&config, CONFIG).unwrap();
        let moto = Moto::start(&control_plane).await.unwrap();
        Self {
            moto,
            control_plane,
            kubeconfig,
            config,
            bootstrapper,
        }
    }

    /// The approver, with AWS where moto is.
    fn approver(&self) -> Program {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (kubeconfig, config) = (text(&self.kubeconfig), text(&self.config));
        let arguments = [
            "run",
            "--kubeconfig",
            &kubeconfig,
            "--namespace",
            APPROVER.0,
            "--config",
            &config,
        ];
        let mut environment = vec![("POD_UID", "approver-under-test")];
        environment.extend(self.moto.environment());
        let logs = self.control_plane.logs_dir();
        Program::start_with("rollcall-approver", &logs, &arguments, &environment).unwrap()
    }

    /// An instance boots: it asks for its first certificate, and registers. Returns a client that is its kubelet.
    async fn join(&self, id: &str, node: &str) -> Client {
        let admin = self.control_plane.admin();
        let request = NodeRequest::client(node).unwrap();
        let request = request.submit(&self.bootstrapper).await.unwrap();
        requests::wait_certificate(&admin, &request, TIMEOUT)
            .await
            .unwrap();
        let user = format!("system:node:{node}");
        let kubelet = self
            .control_plane
            .client_as(&user, &[NODES_GROUP])
            .await
            .unwrap();
        let nodes: Api<Node> = Api::all(kubelet.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": node}})).unwrap();
        let registered = nodes.create(&PostParams::default(), &object).await.unwrap();
        let status = wait_stage(&admin, id, "Registered", TIMEOUT).await.unwrap();
        let reference = json!({"name": node, "uid": registered.uid().unwrap()});
        assert_eq!(status.get("nodeRef"), Some(&reference));
        kubelet
    }
}

/// The instances that are expected, with the names of their nodes.
type Records = BTreeMap<String, String>;

async fn records(admin: &Client) -> Result<Records> {
    let ours =
        ListParams::default().labels("app.kubernetes.io/managed-by=rollcall-aws-auto-scaling");
    let list = expected::api(admin).list(&ours).await?;
    let record = |object: kube::api::DynamicObject| {
        let spec = object
            .data
            .get("spec")
            .and_then(|spec| spec.get("nodeName"));
        let name = spec
            .and_then(Value::as_str)
            .context("a record names no node")?;
        Ok((object.name_any(), name.to_owned()))
    };
    list.items.into_iter().map(record).collect()
}

async fn wait_records(admin: &Client, number: usize) -> Records {
    let what = format!("{number} records of instances");
    let found = poll(&what, TIMEOUT, || async {
        let records = records(admin).await?;
        ensure!(records.len() == number, "there are {records:?}");
        Ok(records)
    });
    found.await.unwrap()
}

async fn wait_gone(admin: &Client, id: &str) -> Records {
    let found = poll("a record to go", TIMEOUT, || async {
        let records = records(admin).await?;
        ensure!(!records.contains_key(id), "there are {records:?}");
        Ok(records)
    });
    found.await.unwrap()
}
