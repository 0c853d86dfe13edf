//! The approver with one right less than `deploy/base` gives it: it names the right, stays up, and recovers by itself
//! when the right is back.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, approver_kubeconfig, deploy};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, wait};
use serde_json::{Value, json};

/// A configuration that uses every right of `deploy/base`.
const REPLACE: &str = "apiVersion: rollcall.dev/v1alpha1
kind: ApproverConfig
bootstrap: {leftoverNodes: replace}
";

/// The namespace of the Leases of Nodes.
const NODE_LEASES: &str = "kube-node-lease";

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One verb of one rule of one role.
#[derive(Debug)]
struct Right {
    file: PathBuf,
    /// The whole role, as it is in the file.
    role: Value,
    rule: usize,
    verb: String,
}

impl Right {
    fn rule(&self) -> &Value {
        &self.role["rules"][self.rule]
    }

    fn text(&self, field: &str) -> &str {
        self.rule()[field][0].as_str().unwrap_or_default()
    }

    /// The role without this verb.
    fn without(&self) -> String {
        let mut role = self.role.clone();
        let rules = role["rules"].as_array_mut().unwrap();
        let verbs = rules[self.rule]["verbs"].as_array_mut().unwrap();
        verbs.retain(|verb| *verb != self.verb);
        if verbs.is_empty() {
            rules.remove(self.rule);
        }
        role.to_string()
    }

    /// Whether nothing is approved without it.
    fn is_needed_to_approve(&self) -> bool {
        let resource = self.text("resources");
        let verb = self.verb.as_str();
        let is_of_leftovers = self.role["metadata"]["namespace"] == NODE_LEASES;
        let is_spared = match resource {
            // Events are told besides.
            "events" => true,
            // The Lease and the record of claims are read before they are made, so that the right to make them is not
            // needed while they exist; whether the record can be written is tried at every start.
            "leases" => verb == "create",
            // Only what nodes serve is verified by the kubelet CA, and held against the addresses of the cluster.
            "configmaps" => ["create", "list", "watch"].contains(&verb),
            // These hold what the API server and Services are reached by. A first certificate holds no names.
            "endpointslices" | "infrastructures" | "networks" | "servicecidrs" | "services" => true,
            _ => false,
        };
        !is_spared && !is_of_leftovers
    }

    /// The question whether somebody has the right.
    fn question(&self) -> SelfSubjectAccessReviewSpec {
        let (resource, subresource) = match self.text("resources").split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource)),
            None => (self.text("resources"), None),
        };
        serde_json::from_value(json!({"resourceAttributes": {
            "group": self.text("apiGroups"),
            "resource": resource,
            "subresource": subresource,
            "name": self.rule()["resourceNames"][0].as_str(),
            "namespace": self.role["metadata"]["namespace"].as_str(),
            "verb": self.verb,
        }}))
        .unwrap()
    }
}

/// Every verb of every rule in `deploy/base`.
fn rights() -> Vec<Right> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(deploy())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    let mut rights = Vec::new();
    for file in files {
        let role: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for (rule, fields) in role["rules"].as_array().into_iter().flatten().enumerate() {
            for verb in fields["verbs"].as_array().unwrap() {
                rights.push(Right {
                    file: file.clone(),
                    role: role.clone(),
                    rule,
                    verb: verb.as_str().unwrap().to_owned(),
                });
            }
        }
    }
    rights
}

#[tokio::test]
async fn a_missing_right_is_named_and_nothing_is_approved_until_it_is_back() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let setting = Setting {
        kubeconfig: approver_kubeconfig(&control_plane).await.unwrap(),
        bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
        control_plane: &control_plane,
    };
    let rights = rights();
    assert!(rights.len() >= 10, "{rights:?}");
    for (number, right) in rights.iter().enumerate() {
        setting.without(right, number).await;
    }
}

/// One control plane with the approver's rights, and who asks.
struct Setting<'c> {
    control_plane: &'c ControlPlane,
    kubeconfig: PathBuf,
    bootstrapper: Client,
}

impl Setting<'_> {
    async fn without(&self, right: &Right, number: usize) {
        let title = format!(
            "without {} on {} ({})",
            right.verb,
            right.text("resources"),
            right.file.display()
        );
        self.control_plane.apply(&right.without()).await.unwrap();
        self.wait_for_rbac(right, false).await;
        let logs = self.control_plane.logs_dir().join(number.to_string());
        // The right on the Leases of Nodes is used with this setting only.
        let config = self.control_plane.logs_dir().join("replace.yaml");
        std::fs::write(&config, REPLACE).unwrap();
        let arguments = ["--config", config.to_str().unwrap()];
        let mut approver =
            Program::approver_in("approver-under-test", &logs, &self.kubeconfig, &arguments)
                .unwrap();
        let verb = format!("verb=\"{}\"", right.verb);
        let resource = format!("resource=\"{}\"", right.text("resources"));
        approver
            .line(&["a right is missing", &verb, &resource], TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{title}: {error:?}"));

        let name = self.submit_expected(&format!("worker-{number}")).await;
        if right.is_needed_to_approve() {
            self.assert_told_and_waiting(right, &approver, &name, &title)
                .await;
            self.restore(right).await;
        }
        requests::wait_approved(&self.control_plane.admin(), &name, TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{title}: {error:?}\n{}", approver.log()));
        assert_eq!(approver.ended(), None, "{title}:\n{}", approver.log());
        self.restore(right).await;
        approver.kill();
    }

    /// Besides the question at the start: the call that needed the right was refused, the line about it names the
    /// right, and the request waits.
    async fn assert_told_and_waiting(
        &self,
        right: &Right,
        approver: &Program,
        name: &str,
        title: &str,
    ) {
        let resource = right.text("resources");
        // The API server names the resource and its sub-resource each in their own way.
        let whole = resource.split('/').next().unwrap_or(resource);
        let words = ["a right is missing: ", &right.verb, whole];
        approver
            .line(&words, TIMEOUT)
            .await
            .unwrap_or_else(|error| panic!("{title}: {error:?}"));
        let request = requests::api(&self.control_plane.admin())
            .get(name)
            .await
            .unwrap();
        assert!(requests::is_pending(&request), "{title}: {request:?}");
    }

    async fn restore(&self, right: &Right) {
        self.control_plane.apply_file(&right.file).await.unwrap();
        self.wait_for_rbac(right, true).await;
    }

    /// The authorizer follows a changed role after a moment.
    async fn wait_for_rbac(&self, right: &Right, expected: bool) {
        let client = self
            .control_plane
            .client_from(&self.kubeconfig)
            .await
            .unwrap();
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
        let review = SelfSubjectAccessReview {
            spec: right.question(),
            ..SelfSubjectAccessReview::default()
        };
        wait::poll("RBAC to follow", TIMEOUT, || async {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            anyhow::ensure!(allowed == expected, "{right:?}: allowed is {allowed}");
            Ok(())
        })
        .await
        .unwrap();
    }

    async fn submit_expected(&self, node: &str) -> String {
        let status = MachineStatus::provisioned(node, "192.0.2.10");
        machines::create_machine(&self.control_plane.admin(), node, &status)
            .await
            .unwrap();
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }
}

#[test]
fn every_role_of_the_manifests_is_tried() {
    let kustomization = std::fs::read_to_string(deploy().join("kustomization.yaml")).unwrap();
    let tried: Vec<PathBuf> = rights().into_iter().map(|right| right.file).collect();
    let roles = kustomization
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .filter(|file| file.contains("role") && !file.contains("binding"));
    for file in roles {
        assert!(tried.contains(&deploy().join(Path::new(file))), "{file}");
    }
}
