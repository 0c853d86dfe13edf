//! Machines that are late: their requests wait, say so, and are approved within a second of the Machine's appearing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and show the times they measured"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::{Host, issued_keys};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, approver_kubeconfig, config_with};
use rollcall_e2e::requests::{self, NodeRequest};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How late a Machine is.
const LATE: Duration = Duration::from_secs(20);

/// How soon a request must be approved once its Machine is known.
const SOON: Duration = Duration::from_secs(1);

/// Who watches and who asks.
struct Clients {
    admin: Client,
    bootstrapper: Client,
    bootstrap: std::path::PathBuf,
}

impl Clients {
    async fn new(control_plane: &ControlPlane) -> Self {
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            bootstrap,
        }
    }

    async fn submit(&self, node: &str) -> String {
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }
}

#[tokio::test]
async fn a_late_machine_is_approved_within_a_second_of_appearing() {
    let control_plane = ControlPlane::start().await.unwrap();
    let clients = Clients::new(&control_plane).await;
    let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
    let early = a_request_before_the_approver(&control_plane, &clients, &kubeconfig).await;
    tokio::join!(
        addresses_that_come_late(&clients, "slow-0", Duration::from_secs(1)),
        addresses_that_come_late(&clients, "slow-1", Duration::from_secs(30)),
        a_machine_after_its_request_within_the_clock_skew(&clients),
        a_machine_long_after_its_request_heals_by_a_new_request(&control_plane, &clients),
    );
    assert!(!early.log().contains("ERROR"), "{}", early.log());
}

/// The Machine and its request are there before the approver is started. Returns the approver.
async fn a_request_before_the_approver(
    control_plane: &ControlPlane,
    clients: &Clients,
    kubeconfig: &Path,
) -> Program {
    let status = MachineStatus::provisioned("early", "192.0.2.10");
    machines::create_machine(&clients.admin, "early", &status)
        .await
        .unwrap();
    let name = clients.submit("early").await;
    let approver = Program::approver_as(control_plane, kubeconfig, &[]).unwrap();
    requests::wait_approved(&clients.admin, &name, TIMEOUT)
        .await
        .unwrap();
    approver
}

/// The Machine object is there in time, in phase Provisioning; what its machine is called is not known before.
async fn addresses_that_come_late(clients: &Clients, node: &str, late: Duration) {
    let admin = &clients.admin;
    machines::create_machine(admin, node, &MachineStatus::provisioning())
        .await
        .unwrap();
    let name = clients.submit(node).await;
    assert_held(admin, &name, "MachineNotFound").await;
    tokio::time::sleep(late).await;
    let status = MachineStatus::provisioned(node, "192.0.2.11");
    let (seen, begin) = while_watched(admin, &name, async {
        // The addresses are the second of two writes; what counts is the time from its begin.
        machines::set_status(admin, node, &status).await.unwrap();
    })
    .await;
    assert_soon(&format!("addresses {late:?} late"), begin, seen);
}

/// The whole Machine object is a little late, as it is when the clocks of two API servers differ.
async fn a_machine_after_its_request_within_the_clock_skew(clients: &Clients) {
    /// Within the default `clockSkew` of 10 s.
    const A_LITTLE: Duration = Duration::from_secs(5);
    let name = clients.submit("skewed").await;
    assert_held(&clients.admin, &name, "MachineNotFound").await;
    tokio::time::sleep(A_LITTLE).await;
    approved_soon_after_creation(&clients.admin, &name, "skewed").await;
}

/// The Machine object is so late that the request was made outside the join window: that one waits for good, and the
/// next one of the agent is approved.
async fn a_machine_long_after_its_request_heals_by_a_new_request(
    control_plane: &ControlPlane,
    clients: &Clients,
) {
    let admin = &clients.admin;
    let host = Host::create(control_plane, "healed").unwrap();
    let mut agent = host
        .start(&clients.bootstrap, &["--resubmit-after", "15s"])
        .unwrap();
    let line = agent.line(&["submitted as"], TIMEOUT).await.unwrap();
    let first = line.rsplit(' ').next().unwrap().to_owned();
    tokio::time::sleep(LATE).await;
    let status = MachineStatus::provisioned("healed", "192.0.2.12");
    machines::create_machine(admin, "healed", &status)
        .await
        .unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    let log = agent.log();
    assert_eq!(ended.code(), Some(0), "{log}");
    assert!(
        log.contains(&format!("filing {first}-1")),
        "no second request: {log}"
    );
    assert_held(admin, &first, "OutsideJoinWindow").await;
    let request = requests::api(admin).get(&first).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
    assert_eq!(
        issued_keys(admin, "healed").await.unwrap(),
        [host.public_key().unwrap()]
    );
}

#[tokio::test]
async fn with_a_clock_skew_of_a_minute_a_machine_may_be_created_20_s_after_its_request() {
    let control_plane = ControlPlane::start().await.unwrap();
    let config = config_with(&control_plane, "bootstrap: {clockSkew: 1m}").unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    let clients = Clients::new(&control_plane).await;
    let name = clients.submit("appearing").await;
    assert_held(&clients.admin, &name, "MachineNotFound").await;
    tokio::time::sleep(LATE).await;
    approved_soon_after_creation(&clients.admin, &name, "appearing").await;
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

async fn approved_soon_after_creation(admin: &Client, request: &str, machine: &str) {
    let status = MachineStatus::provisioned(machine, "192.0.2.13");
    let (seen, begin) = while_watched(admin, request, async {
        machines::create_machine(admin, machine, &status)
            .await
            .unwrap();
    })
    .await;
    assert_soon(machine, begin, seen);
}

/// The request waits, and an Event says what for.
async fn assert_held(admin: &Client, name: &str, reason: &str) {
    requests::wait_event(admin, name, reason, TIMEOUT)
        .await
        .unwrap();
    let request = requests::api(admin).get(name).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
}

/// Watches a request for its approval while something is done. Returns when the approval was seen, and when that
/// something began.
async fn while_watched(
    admin: &Client,
    name: &str,
    act: impl Future<Output = ()>,
) -> (Instant, Instant) {
    let watch = async {
        let approved = |request: &CertificateSigningRequest| {
            requests::condition(request, "Approved").is_some()
        };
        let api = requests::api(admin);
        let request = rollcall_e2e::wait::object(&api, name, "the approval", TIMEOUT, approved)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        (Instant::now(), request)
    };
    let act = async {
        let begin = Instant::now();
        act.await;
        begin
    };
    let ((seen, request), begin) = tokio::join!(watch, act);
    let (reason, _) = requests::condition(&request, "Approved").unwrap();
    assert_eq!(reason, "FirstCertificate");
    (seen, begin)
}

#[track_caller]
fn assert_soon(what: &str, begin: Instant, seen: Instant) {
    let took = seen.duration_since(begin);
    println!("{what}: approved {took:?} after the Machine was known");
    assert!(took < SOON, "{what}: approved only after {took:?}");
}
