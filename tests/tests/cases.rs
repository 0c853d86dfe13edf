//! Decisions of `tests/cases/explain` on the real control plane: the running approver comes to the same verdict as
//! `explain` on the dump, and to the same first reason.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::cases::{self, Answer, Case, text};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::wait;
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The group that every requestor is in, by the API server.
const EVERYBODY: &str = "system:authenticated";

#[tokio::test]
async fn the_running_approver_decides_as_explain_does() {
    let cases: Vec<Case> = cases::load()
        .unwrap()
        .into_iter()
        .filter(|case| case.live)
        .collect();
    assert!(cases.len() >= 20, "{} live cases", cases.len());
    let control_plane = ControlPlane::start().await.unwrap();
    // The addresses in the cases are made up: nobody dials them.
    let config = control_plane.dir().join("nobody-is-dialled.yaml");
    let settings =
        "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nserving:\n  kubeletCA: []\n";
    std::fs::write(&config, settings).unwrap();
    let config = config.display().to_string();
    let arguments = ["--config", config.as_str()];
    let approver = Program::approver(&control_plane, &arguments);
    let _approver = approver.await.unwrap();
    let mut clients = Clients::new(&control_plane).await;

    // Nodes first: they come over a watch of their own.
    for case in &cases {
        for node in case.of_kind("Node") {
            create_node(&clients.admin, text(node, "/metadata/name")).await;
        }
    }
    for case in &cases {
        for machine in case.of_kind("Machine") {
            let created = machines::create_like(&clients.admin, machine).await;
            created.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        }
    }
    // Machines come over one watch, in order: when this one's request is approved, all the others are known.
    assert_still_works(&clients, "last").await;
    let mut asked = Vec::new();
    for case in &cases {
        for answer in &case.answers {
            let name = clients.submit(case, answer).await;
            asked.push((case, answer, name));
        }
    }
    for (case, answer, name) in &asked {
        assert_decided(&clients.admin, case, answer, name).await;
    }
    // Whatever was not approved had its chance before this one was.
    assert_still_works(&clients, "good").await;
    for (case, answer, name) in &asked {
        assert_conditions(&clients.admin, case, answer, name).await;
    }
}

/// Who talks to the API server here.
struct Clients<'c> {
    control_plane: &'c ControlPlane,
    admin: Client,
    known: HashMap<(String, Vec<String>), Client>,
}

impl<'c> Clients<'c> {
    async fn new(control_plane: &'c ControlPlane) -> Self {
        let group =
            json!({"kind": "Group", "name": EVERYBODY, "apiGroup": "rbac.authorization.k8s.io"});
        control_plane
            .bind_cluster_role("everybody-asks", "system:node-bootstrapper", &group)
            .await
            .unwrap();
        Self {
            control_plane,
            admin: control_plane.admin(),
            known: HashMap::new(),
        }
    }

    /// Creates a request of a case as its requestor. The API server takes name and groups from who asks.
    async fn submit(&mut self, case: &Case, answer: &Answer) -> String {
        let object = case.request(answer).unwrap();
        let groups: Vec<String> = serde_json::from_value(cases::spec(object, "groups")).unwrap();
        let groups: Vec<String> = groups
            .into_iter()
            .filter(|name| name != EVERYBODY)
            .collect();
        let user = text(object, "/spec/username").to_owned();
        let requestor = (user.clone(), groups.clone());
        if !self.known.contains_key(&requestor) {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let client = self.control_plane.client_as(&user, &groups).await.unwrap();
            self.known.insert(requestor.clone(), client);
        }
        let spec =
            ["request", "signerName", "usages"].map(|field| (field, cases::spec(object, field)));
        let spec: HashMap<&str, Value> = spec.into_iter().collect();
        let name = format!("{}-{}", case.name, answer.csr);
        let request: CertificateSigningRequest =
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        let client = self.known.get(&requestor).unwrap();
        let created = requests::api(client)
            .create(&PostParams::default(), &request)
            .await;
        created.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        name
    }
}

async fn create_node(admin: &Client, name: &str) {
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let nodes: Api<Node> = Api::all(admin.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

/// A machine that is expected gets its certificate.
async fn assert_still_works(clients: &Clients<'_>, name: &str) {
    let status = MachineStatus::provisioned(name, "192.0.2.10");
    machines::create_machine(&clients.admin, name, &status)
        .await
        .unwrap();
    let bootstrap = clients.control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = clients.control_plane.client_from(&bootstrap).await.unwrap();
    let request = NodeRequest::client(name).unwrap();
    let request = request.submit(&bootstrapper).await.unwrap();
    requests::wait_approved(&clients.admin, &request, TIMEOUT)
        .await
        .unwrap();
}

/// The condition that a verdict writes; without one, the reason stands in an Event.
fn condition(answer: &Answer) -> Option<&'static str> {
    match answer.verdict.as_str() {
        "approve" => Some("Approved"),
        "deny" => Some("Denied"),
        _ => None,
    }
}

async fn assert_decided(admin: &Client, case: &Case, answer: &Answer, name: &str) {
    let seen = match condition(answer) {
        Some(kind) => {
            let decided =
                |request: &CertificateSigningRequest| requests::condition(request, kind).is_some();
            wait::object(&requests::api(admin), name, kind, TIMEOUT, decided)
                .await
                .map(drop)
        }
        None => requests::wait_event(admin, name, &answer.reason, TIMEOUT)
            .await
            .map(drop),
    };
    seen.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
}

async fn assert_conditions(admin: &Client, case: &Case, answer: &Answer, name: &str) {
    let request = requests::api(admin).get(name).await.unwrap();
    for kind in ["Approved", "Denied"] {
        let reason = requests::condition(&request, kind).map(|(reason, _)| reason);
        let expected = (condition(answer) == Some(kind)).then_some(answer.reason.as_str());
        assert_eq!(reason, expected, "{}: {:?}", case.name, request.status);
    }
}
