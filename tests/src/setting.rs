//! The set-up of the tests of attacks and faults: a control plane, an approver with its own permissions, and a client with
//! a bootstrap credential.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only tests use this, and they fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::api::ListParams;

use crate::gate::Gate;
use crate::machines::{self, MachineStatus};
use crate::programs::{APPROVER, Program, approver_kubeconfig};
use crate::requests::{self, NodeRequest};
use crate::slow::{Rule, SlowApi};
use crate::{ControlPlane, Credentials};

/// The timeout of all waits, far longer than needed; reached only on failure.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A control plane with the approver's permissions, and a bootstrap credential. Every method panics if the API server refuses, or
/// if a wait times out.
pub struct Setting {
    /// The administrator.
    pub admin: Client,
    /// A client with a bootstrap credential.
    pub bootstrapper: Client,
    /// A kubeconfig of the approver's ServiceAccount.
    pub kubeconfig: PathBuf,
    /// The control plane.
    pub control_plane: ControlPlane,
}

impl Setting {
    /// Starts a control plane.
    pub async fn new() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            kubeconfig: approver_kubeconfig(&control_plane).await.unwrap(),
            control_plane,
        }
    }

    /// Starts the approver of a pod, with its own log folder.
    pub fn approver(&self, pod: &str) -> Program {
        self.approver_with(pod, &self.kubeconfig, &[])
    }

    /// The same, through another URL of the API server or with flags.
    pub fn approver_with(&self, pod: &str, kubeconfig: &Path, flags: &[&str]) -> Program {
        let logs = self.control_plane.logs_dir().join(pod);
        Program::approver_in(pod, &logs, kubeconfig, flags).unwrap()
    }

    /// Restarts the approver of a pod, with a new log.
    pub fn approver_again(&self, pod: &str, flags: &[&str]) -> Program {
        let logs = self.control_plane.logs_dir().join(format!("{pod}-again"));
        Program::approver_in(pod, &logs, &self.kubeconfig, flags).unwrap()
    }

    /// Starts a proxy to the API server that injects faults, and writes a kubeconfig that uses it.
    pub async fn slow(&self, name: &str, rules: Vec<Rule>) -> (SlowApi, PathBuf) {
        let client = self.control_plane.client_from(&self.kubeconfig).await;
        let slow = SlowApi::start_with(client.unwrap(), rules).await.unwrap();
        let nobody = Credentials::Token("none".to_owned());
        let ca = self.control_plane.ca_pem();
        let kubeconfig = self
            .control_plane
            .custom_kubeconfig(name, &slow.url(), ca, &nobody)
            .unwrap();
        (slow, kubeconfig)
    }

    /// Starts a proxy to the API server that can be blocked, and writes a kubeconfig that uses it.
    pub async fn gated(&self, name: &str) -> (Gate, PathBuf) {
        let gate = Gate::start(&self.control_plane).await.unwrap();
        let (namespace, account) = APPROVER;
        let token = self.control_plane.service_account_token(namespace, account);
        let credentials = Credentials::Token(token.await.unwrap());
        let ca = self.control_plane.ca_pem();
        let kubeconfig = self
            .control_plane
            .custom_kubeconfig(name, &gate.url(), ca, &credentials);
        (gate, kubeconfig.unwrap())
    }

    /// Creates an expected Machine. Returns its uid.
    pub async fn machine(&self, name: &str) -> String {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        let machine = machines::create_machine(&self.admin, name, &status).await;
        machines::uid(&machine.unwrap())
    }

    /// Makes a request for a node with a new key. Returns the name of the request.
    pub async fn ask(&self, node: &str) -> String {
        self.file(&NodeRequest::client(node).unwrap()).await
    }

    /// Files a request with the bootstrap credential. Returns its name.
    pub async fn file(&self, request: &NodeRequest) -> String {
        request.submit(&self.bootstrapper).await.unwrap()
    }

    /// Creates an expected Machine, and its request.
    pub async fn join(&self, node: &str) -> String {
        self.machine(node).await;
        self.ask(node).await
    }

    /// Waits until all of these requests are approved.
    pub async fn approved(&self, names: &[String]) {
        let waits = names
            .iter()
            .map(|name| requests::wait_approved(&self.admin, name, TIMEOUT));
        for outcome in join_all(waits).await {
            outcome.unwrap();
        }
    }

    /// Waits for an Event with this reason on a request, and checks that the request is pending. Returns the Event's message.
    pub async fn held(&self, name: &str, reason: &str) -> String {
        let event = requests::wait_event(&self.admin, name, reason, TIMEOUT).await;
        let request = self.request(name).await;
        assert!(requests::is_pending(&request), "{request:?}");
        event.unwrap().message.unwrap_or_default()
    }

    /// The current state of a request.
    pub async fn request(&self, name: &str) -> CertificateSigningRequest {
        requests::api(&self.admin).get(name).await.unwrap()
    }

    /// The names of all approved requests.
    pub async fn all_approved(&self) -> BTreeSet<String> {
        let all = requests::api(&self.admin)
            .list(&ListParams::default())
            .await;
        let all = all.unwrap().items.into_iter();
        all.filter(|request| requests::condition(request, "Approved").is_some())
            .filter_map(|request| request.metadata.name)
            .collect()
    }

    /// The number of these requests that are approved.
    pub async fn are_approved(&self, names: &[&String]) -> usize {
        let approved = self.all_approved().await;
        names
            .iter()
            .filter(|name| approved.contains(name.as_str()))
            .count()
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Setting")
            .field("control_plane", &self.control_plane)
            .finish_non_exhaustive()
    }
}

/// The number of runs of a test: one, or `ROLLCALL_RUNS`.
pub fn runs() -> usize {
    let asked = std::env::var("ROLLCALL_RUNS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1)
}
