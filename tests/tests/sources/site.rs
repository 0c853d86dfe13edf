//! What all these tests begin with: a cluster that nodes join, and an approver with the rights of its components only.

use std::path::PathBuf;

use kube::Client;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::programs::{
    APPROVER, Program, apply_component, approver_kubeconfig, config_with,
};
use rollcall_e2e::records::Records;
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::{Value, json};

use crate::{NAMESPACE, TIMEOUT};

/// A cluster that nodes join, with the manifests of the approver, and a machine that holds the bootstrap credential.
pub(crate) struct Site {
    pub(crate) control_plane: ControlPlane,
    pub(crate) admin: Client,
    bootstrapper: Client,
    kubeconfig: PathBuf,
}

impl Site {
    /// Opens one in which the approver may read the Machines of OpenShift, and those that a component is about.
    pub(crate) async fn open(component: &str) -> Self {
        let site = Self::open_without().await;
        site.give_rights(component).await;
        site
    }

    /// Opens one in which the approver may read the Machines of OpenShift only.
    pub(crate) async fn open_without() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
        control_plane.ensure_namespace(NAMESPACE).await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            kubeconfig,
            control_plane,
        }
    }

    /// Gives the approver the rights of a component of `deploy/`, so that it has these and no other.
    pub(crate) async fn give_rights(&self, component: &str) {
        apply_component(&self.control_plane, component)
            .await
            .unwrap();
    }

    /// Writes a configuration with these sources. Returns its path.
    pub(crate) fn config(&self, machines: &str) -> String {
        self.config_with_window(machines, "2h")
    }

    /// The same, with another join window.
    pub(crate) fn config_with_window(&self, machines: &str, window: &str) -> String {
        self.config_with_bootstrap(machines, &format!("joinWindow: {window}"))
    }

    /// The same, with this line about machines that are no nodes yet.
    pub(crate) fn config_with_bootstrap(&self, machines: &str, line: &str) -> String {
        // By default, OpenShift's own names are those of bootstrappers on OpenShift only.
        let requestors = "bootstrap:\n  requestors:\n  - username: \
                          system:serviceaccount:openshift-machine-config-operator:node-bootstrapper\n  \
                          - group: system:bootstrappers\n";
        let fields = format!("{requestors}  {line}\nmaxStaleness: 3s\nmachines:\n{machines}");
        config_with(&self.control_plane, &fields).unwrap()
    }

    /// Starts the approver with these sources.
    pub(crate) fn approver(&self, machines: &str, more: &[&str]) -> Program {
        self.approver_with(machines, more, &[])
    }

    /// The same, with environment variables.
    pub(crate) fn approver_with(
        &self,
        machines: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Program {
        self.start(&self.config(machines), more, environment)
    }

    /// Starts the approver with this configuration.
    pub(crate) fn start(
        &self,
        config: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Program {
        let kubeconfig = self.kubeconfig.to_str().unwrap();
        let arguments = ["run", "--kubeconfig", kubeconfig, "--namespace", APPROVER.0];
        let arguments = [&arguments, &["--config", config][..], more].concat();
        let environment = [&[("POD_UID", "approver-under-test")], environment].concat();
        let logs = self.control_plane.logs_dir();
        Program::start_with("rollcall-approver", &logs, &arguments, &environment).unwrap()
    }

    /// A client that is the approver.
    pub(crate) async fn approver_client(&self) -> Client {
        let client = self.control_plane.client_from(&self.kubeconfig);
        client.await.unwrap()
    }

    /// A machine asks for its first certificate. Returns the name of its request.
    pub(crate) async fn ask(&self, node: &str) -> String {
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }

    /// Waits until the machine has its certificate.
    pub(crate) async fn wait_issued(&self, request: &str) {
        requests::wait_certificate(&self.admin, request, TIMEOUT)
            .await
            .unwrap();
        let request = requests::api(&self.admin).get(request).await.unwrap();
        let (reason, _) = requests::condition(&request, "Approved").unwrap();
        assert_eq!(reason, "FirstCertificate");
    }

    /// Waits until a request is held for this reason. Returns the sentence.
    pub(crate) async fn wait_held(&self, request: &str, reason: &str) -> String {
        let event = requests::wait_event(&self.admin, request, reason, TIMEOUT)
            .await
            .unwrap();
        let held = requests::api(&self.admin).get(request).await.unwrap();
        assert!(requests::is_pending(&held), "{held:?}");
        event.message.unwrap_or_default()
    }
}

/// Karpenter's NodeClaims.
pub(crate) struct NodeClaims(Records);

impl NodeClaims {
    /// Those of a cluster.
    pub(crate) fn of(client: &Client) -> Self {
        let records = Records::new(
            client.clone(),
            "karpenter.sh/v1",
            "NodeClaim",
            "nodeclaims",
            None,
        );
        Self(records.unwrap())
    }

    /// Makes one, as the provisioner does.
    pub(crate) async fn create(&self, name: &str) {
        let labels = json!({"karpenter.sh/nodepool": "default", "topology.kubernetes.io/region": "eu-west-1"});
        let spec = json!({
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
            "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}],
        });
        self.0.create(name, &labels, &spec).await.unwrap();
    }

    /// Writes the status of one.
    pub(crate) async fn set_status(&self, name: &str, status: &Value) {
        self.0.set_status(name, status).await.unwrap();
    }
}

fn condition(kind: &str, status: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({"type": kind, "status": status, "reason": kind, "message": "", "lastTransitionTime": now})
}

/// The status of a NodeClaim that has been launched, as this instance if it is known yet.
pub(crate) fn launched(provider_id: Option<&str>) -> Value {
    json!({
        "providerID": provider_id,
        "conditions": [condition("Launched", "True"), condition("Registered", "Unknown")],
    })
}

/// The status of a NodeClaim that has become this Node.
pub(crate) fn registered(node: &str) -> Value {
    json!({
        "nodeName": node,
        "conditions": [condition("Launched", "True"), condition("Registered", "True")],
    })
}
