//! The main way: a pending Machine, a bootstrap kubeconfig, and at the end an identity that works.

use std::time::{Duration, Instant};

use rollcall_e2e::ControlPlane;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests::{self, NodeRequest};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_expected_machine_is_approved_and_nothing_is_forbidden() {
    let control_plane = ControlPlane::start().await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    machines::create_machine(
        &admin,
        "worker-0",
        &MachineStatus::provisioned("worker-0", "10.0.0.10"),
    )
    .await
    .unwrap();
    let kubeconfig = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&kubeconfig).await.unwrap();
    let begin = Instant::now();
    let name = NodeRequest::client("worker-0")
        .unwrap()
        .submit(&bootstrapper)
        .await
        .unwrap();
    let approved = requests::wait_approved(&admin, &name, TIMEOUT)
        .await
        .unwrap();
    let (reason, message) = requests::condition(&approved, "Approved").unwrap();
    assert_eq!(reason, "FirstCertificate");
    assert!(
        message.contains("openshift-machine-api/worker-0"),
        "{message}"
    );
    requests::wait_certificate(&admin, &name, TIMEOUT)
        .await
        .unwrap();
    println!("issued {:?} after the request", begin.elapsed());
    let log = approver.log();
    assert!(
        !log.contains("forbidden") && !log.contains("right is missing"),
        "{log}"
    );
}
