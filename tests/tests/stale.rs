//! The connection to the Machines is cut: what was known is trusted for a while, then nothing is approved, and when the
//! connection is back, everything goes on by itself.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use rollcall_e2e::gate::Gate;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{APPROVER, Program, approver_kubeconfig, config_with};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, Credentials};

/// Longer than a watch may be silent; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn with_the_machine_watch_cut_nothing_is_approved_until_it_is_back() {
    let control_plane = ControlPlane::start().await.unwrap();
    let admin = control_plane.admin();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    let gate = Gate::start(&control_plane).await.unwrap();
    let approver = start_behind(&control_plane, &gate).await;
    for (name, ip) in [("worker-0", "192.0.2.10"), ("worker-1", "192.0.2.11")] {
        let status = MachineStatus::provisioned(name, ip);
        machines::create_machine(&admin, name, &status)
            .await
            .unwrap();
    }

    let request = NodeRequest::client("worker-0").unwrap();
    let through = request.submit(&bootstrapper).await.unwrap();
    requests::wait_approved(&admin, &through, TIMEOUT)
        .await
        .unwrap();

    // Nobody closes the connection: nothing comes through it any more.
    gate.block();
    approver
        .line(&["the watch broke", "machines"], TIMEOUT)
        .await
        .unwrap();
    // This Machine is known and expected, but may have gone meanwhile.
    let request = NodeRequest::client("worker-1").unwrap();
    let held = request.submit(&bootstrapper).await.unwrap();
    requests::wait_event(&admin, &held, "FactsStale", TIMEOUT)
        .await
        .unwrap();
    let object = requests::api(&admin).get(&held).await.unwrap();
    assert!(requests::is_pending(&object), "{object:?}");

    gate.unblock();
    requests::wait_approved(&admin, &held, TIMEOUT)
        .await
        .unwrap();
    approver
        .line(&["the watch is back", "machines"], TIMEOUT)
        .await
        .unwrap();
}

/// Starts an approver that reads Machines through the gate, and trusts them for 5 s once they cannot be read.
async fn start_behind(control_plane: &ControlPlane, gate: &Gate) -> Program {
    let kubeconfig = approver_kubeconfig(control_plane).await.unwrap();
    let (namespace, name) = APPROVER;
    let token = control_plane
        .service_account_token(namespace, name)
        .await
        .unwrap();
    let ca = control_plane.ca_pem();
    let behind = control_plane
        .custom_kubeconfig(
            "behind-the-gate",
            &gate.url(),
            ca,
            &Credentials::Token(token),
        )
        .unwrap();
    let config = config_with(control_plane, "maxStaleness: 5s").unwrap();
    let behind = behind.display().to_string();
    let flags = ["--config", &config, "--management-kubeconfig", &behind];
    Program::approver_as(control_plane, &kubeconfig, &flags).unwrap()
}
