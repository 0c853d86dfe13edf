//! Whom nobody expected: each request is left alone or denied, never approved, and says why in the approver's log and
//! in an Event.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, config_with};
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is on the roll before the request is made. The node is called as the case is.
#[derive(Clone, Copy, Debug)]
enum Roll {
    /// One Machine owns the node name, and waits for its machine.
    Pending,
    /// No Machine owns the name; one of another name does wait.
    Nobody,
    /// The Machine has a node reference.
    Bound,
    /// The Machine has a deletion timestamp.
    Deleting,
    /// The Machine's phase is Failed.
    Failed,
    /// The Machine is pending, but the Node is there already.
    WithNode,
    /// Two Machines own the name.
    Twice,
    /// The Machine is pending, and its certificate has just been issued for another key.
    Issued,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Requestor {
    Bootstrapper,
    /// A user who may create requests, as a person may, but is no bootstrapper.
    Visitor,
    /// The node of that name.
    Itself,
}

/// What must become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Deny,
    Hold,
    Ignore,
}

struct Case {
    name: &'static str,
    roll: Roll,
    requestor: Requestor,
    change: fn(NodeRequest) -> NodeRequest,
    verdict: Verdict,
    reason: &'static str,
}

impl Case {
    /// Whether the request names a Machine's node, and is for the approver to decide.
    fn is_about_its_machine(&self) -> bool {
        let unreadable = ["RequestMalformed", "CommonNameNotANode"].contains(&self.reason);
        !matches!(self.roll, Roll::Nobody) && self.verdict != Verdict::Ignore && !unreadable
    }
}

/// Nothing speaks against this one but what a case changes.
const EXPECTED: Case = Case {
    name: "expected",
    roll: Roll::Pending,
    requestor: Requestor::Bootstrapper,
    change: |request| request,
    verdict: Verdict::Hold,
    reason: "",
};

const CASES: [Case; 16] = [
    Case {
        name: "wrong-name",
        roll: Roll::Nobody,
        reason: "MachineNotFound",
        ..EXPECTED
    },
    Case {
        name: "machine-bound",
        roll: Roll::Bound,
        reason: "MachineBound",
        ..EXPECTED
    },
    Case {
        name: "machine-deleting",
        roll: Roll::Deleting,
        reason: "MachineDeleting",
        ..EXPECTED
    },
    Case {
        name: "machine-failed",
        roll: Roll::Failed,
        reason: "MachineFailed",
        ..EXPECTED
    },
    Case {
        name: "node-exists",
        roll: Roll::WithNode,
        reason: "NodeExists",
        ..EXPECTED
    },
    Case {
        name: "two-machines",
        roll: Roll::Twice,
        reason: "MachineAmbiguous",
        ..EXPECTED
    },
    Case {
        name: "second-key",
        roll: Roll::Issued,
        reason: "AlreadyIssued",
        ..EXPECTED
    },
    Case {
        name: "wrong-requestor",
        requestor: Requestor::Visitor,
        verdict: Verdict::Ignore,
        reason: "RequestorNotAllowed",
        ..EXPECTED
    },
    Case {
        name: "node-itself",
        requestor: Requestor::Itself,
        reason: "NodeNotFound",
        ..EXPECTED
    },
    Case {
        name: "extra-usage",
        change: |request| request.usage("server auth"),
        verdict: Verdict::Deny,
        reason: "UsagesNotAllowed",
        ..EXPECTED
    },
    Case {
        name: "dns-name",
        change: |request| request.dns_name("api.example.com"),
        verdict: Verdict::Deny,
        reason: "NamesNotAllowed",
        ..EXPECTED
    },
    Case {
        name: "ip-address",
        change: |request| request.ip_address([192, 0, 2, 1].into()),
        verdict: Verdict::Deny,
        reason: "NamesNotAllowed",
        ..EXPECTED
    },
    Case {
        name: "two-organizations",
        change: |request| request.organization("system:masters"),
        verdict: Verdict::Deny,
        reason: "RequestMalformed",
        ..EXPECTED
    },
    Case {
        name: "not-a-node",
        change: |request| request.common_name("system:admin"),
        verdict: Verdict::Deny,
        reason: "CommonNameNotANode",
        ..EXPECTED
    },
    // What is wrong for ever is denied whoever else is in the way, and names more than one reason.
    Case {
        name: "wrong-twice",
        roll: Roll::Bound,
        change: |request| request.usage("code signing").dns_name("kubernetes"),
        verdict: Verdict::Deny,
        reason: "UsagesNotAllowed",
        ..EXPECTED
    },
    // Who is nobody's bootstrapper gets no verdict out of the approver, whatever the request holds.
    Case {
        name: "malformed-by-visitor",
        requestor: Requestor::Visitor,
        change: |request| request.organization("system:masters"),
        verdict: Verdict::Ignore,
        reason: "RequestorNotAllowed",
        ..EXPECTED
    },
];

#[tokio::test]
async fn what_nobody_expected_is_never_approved_and_says_why() {
    let control_plane = ControlPlane::start().await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let clients = Clients::new(&control_plane).await;
    // Nodes come over another watch than Machines: with this one well before its request, no watch can be behind.
    create_node(&clients.admin, "node-exists").await;
    for case in &CASES {
        prepare(&clients, case).await;
    }
    // The Machines come over one watch, in order: when the last one is approved, all the others are known.
    let last = expect_machine(&clients, "last").await;
    requests::wait_approved(&clients.admin, &last, TIMEOUT)
        .await
        .unwrap();

    let mut names = Vec::new();
    for case in &CASES {
        let request = (case.change)(NodeRequest::client(case.name).unwrap());
        let name = request.submit(&clients.requestor(case).await).await;
        names.push(name.unwrap_or_else(|error| panic!("{}: {error:?}", case.name)));
    }
    for (case, name) in CASES.iter().zip(&names) {
        assert_event(&clients.admin, case, name).await;
        assert_log(&approver, case, name).await;
        if case.is_about_its_machine() {
            assert_machine_event(&clients.admin, case, name).await;
        }
    }
    // A good request after all of these: the approver works, and had its chance with each of them.
    let good = expect_machine(&clients, "good").await;
    requests::wait_approved(&clients.admin, &good, TIMEOUT)
        .await
        .unwrap();
    for (case, name) in CASES.iter().zip(&names) {
        assert_conditions(&clients.admin, case, name).await;
    }
}

/// Who talks to the API server here.
struct Clients<'c> {
    control_plane: &'c ControlPlane,
    admin: Client,
    bootstrapper: Client,
    visitor: Client,
}

impl<'c> Clients<'c> {
    async fn new(control_plane: &'c ControlPlane) -> Self {
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        let visitor =
            json!({"kind": "User", "name": "visitor", "apiGroup": "rbac.authorization.k8s.io"});
        control_plane
            .bind_cluster_role("visitor", "system:node-bootstrapper", &visitor)
            .await
            .unwrap();
        Self {
            control_plane,
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            visitor: control_plane.client_as("visitor", &[]).await.unwrap(),
        }
    }

    async fn requestor(&self, case: &Case) -> Client {
        match case.requestor {
            Requestor::Bootstrapper => self.bootstrapper.clone(),
            Requestor::Visitor => self.visitor.clone(),
            Requestor::Itself => {
                let user = format!("system:node:{}", case.name);
                self.control_plane
                    .client_as(&user, &["system:nodes"])
                    .await
                    .unwrap()
            }
        }
    }
}

async fn create_machine(admin: &Client, machine: &str, node: &str) {
    let status = MachineStatus::provisioned(node, "192.0.2.10");
    machines::create_machine(admin, machine, &status)
        .await
        .unwrap();
}

async fn create_node(admin: &Client, name: &str) -> Node {
    let node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let nodes: Api<Node> = Api::all(admin.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap()
}

/// Creates a Machine and the request it is there for. Returns the name of the request.
async fn expect_machine(clients: &Clients<'_>, name: &str) -> String {
    create_machine(&clients.admin, name, name).await;
    let request = NodeRequest::client(name).unwrap();
    request.submit(&clients.bootstrapper).await.unwrap()
}

async fn prepare(clients: &Clients<'_>, case: &Case) {
    let (admin, name) = (&clients.admin, case.name);
    match case.roll {
        Roll::Nobody => create_machine(admin, name, "somebody-else").await,
        Roll::Pending | Roll::WithNode => create_machine(admin, name, name).await,
        Roll::Bound => {
            create_machine(admin, name, name).await;
            machines::bind(admin, name, name, "some-uid").await.unwrap();
        }
        Roll::Deleting => {
            create_machine(admin, name, name).await;
            machines::delete(admin, name).await.unwrap();
        }
        Roll::Failed => {
            let mut status = MachineStatus::provisioned(name, "192.0.2.10");
            status.phase = "Failed".to_owned();
            machines::create_machine(admin, name, &status)
                .await
                .unwrap();
        }
        Roll::Twice => {
            create_machine(admin, name, name).await;
            create_machine(admin, &format!("{name}-again"), name).await;
        }
        Roll::Issued => {
            let first = expect_machine(clients, name).await;
            requests::wait_certificate(admin, &first, TIMEOUT)
                .await
                .unwrap();
        }
    }
}

async fn assert_event(admin: &Client, case: &Case, name: &str) {
    let event = requests::wait_event(admin, name, case.reason, TIMEOUT)
        .await
        .unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    let note = event.message.unwrap_or_default();
    assert!(!note.is_empty(), "{}: the Event says nothing", case.name);
    let kind = event.type_.unwrap_or_default();
    // Waiting for a Machine is how every join begins; everything else wants somebody's attention.
    let usual = case.reason == "MachineNotFound";
    assert_eq!(
        kind,
        if usual { "Normal" } else { "Warning" },
        "{}: {note}",
        case.name
    );
}

/// Whoever looks at the Machine sees the same reason.
async fn assert_machine_event(admin: &Client, case: &Case, request: &str) {
    let event = requests::wait_event_on(admin, "Machine", case.name, case.reason, TIMEOUT)
        .await
        .unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    let note = event.message.unwrap_or_default();
    assert!(note.contains(request), "{}: {note}", case.name);
    let about = event.involved_object;
    let machine = machines::api(admin.clone()).get(case.name).await.unwrap();
    assert_eq!(about.uid, Some(machines::uid(&machine)), "{}", case.name);
    assert_eq!(about.namespace.as_deref(), Some(machines::NAMESPACE));
    assert_eq!(
        about.api_version.as_deref(),
        Some("machine.openshift.io/v1beta1")
    );
}

async fn assert_log(approver: &Program, case: &Case, name: &str) {
    let verdict = match case.verdict {
        Verdict::Deny => "denied: ",
        Verdict::Hold => "hold: ",
        Verdict::Ignore => "ignore: ",
    };
    let reason = format!("reason=\"{}\"", case.reason);
    let line = approver.line(&[name, verdict, &reason], TIMEOUT).await;
    line.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
}

async fn assert_conditions(admin: &Client, case: &Case, name: &str) {
    let request: CertificateSigningRequest = requests::api(admin).get(name).await.unwrap();
    let status = format!("{}: {:?}", case.name, request.status);
    assert_eq!(requests::condition(&request, "Approved"), None, "{status}");
    let denied = requests::condition(&request, "Denied").map(|(reason, _)| reason);
    let expected = (case.verdict == Verdict::Deny).then_some(case.reason);
    assert_eq!(denied, expected, "{status}");
    let certificate = request.status.and_then(|status| status.certificate);
    assert!(certificate.is_none(), "{status}");
}

#[tokio::test]
async fn a_request_that_comes_after_the_join_window_waits() {
    /// `joinWindow` of the configuration below.
    const WINDOW: Duration = Duration::from_secs(3);
    let control_plane = ControlPlane::start().await.unwrap();
    let config = config_with(&control_plane, "bootstrap: {joinWindow: 3s}").unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    let clients = Clients::new(&control_plane).await;
    let case = Case {
        name: "too-late",
        reason: "OutsideJoinWindow",
        ..EXPECTED
    };
    prepare(&clients, &case).await;
    // Times of creation are whole seconds, so one more makes the window's end certain.
    tokio::time::sleep(WINDOW + Duration::from_secs(1)).await;
    let request = NodeRequest::client(case.name).unwrap();
    let name = request.submit(&clients.bootstrapper).await.unwrap();
    assert_event(&clients.admin, &case, &name).await;
    assert_log(&approver, &case, &name).await;
    let good = expect_machine(&clients, "good").await;
    requests::wait_approved(&clients.admin, &good, TIMEOUT)
        .await
        .unwrap();
    assert_conditions(&clients.admin, &case, &name).await;
}

#[tokio::test]
async fn a_node_cannot_even_ask_for_another() {
    let control_plane = ControlPlane::start().await.unwrap();
    let node = control_plane
        .client_as("system:node:worker-0", &["system:nodes"])
        .await
        .unwrap();
    let error = NodeRequest::client("worker-1")
        .unwrap()
        .submit(&node)
        .await
        .unwrap_err();
    let Some(kube::Error::Api(status)) = error.downcast_ref() else {
        panic!("{error:?}")
    };
    assert!(status.is_forbidden(), "{error:?}");
}
