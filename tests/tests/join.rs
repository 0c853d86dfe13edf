//! The main way: a pending Machine, a bootstrap kubeconfig, and at the end an identity that works.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, PostParams};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::{Host, issued_keys};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::Program;
use rollcall_e2e::requests;
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_expected_machine_joins_with_an_identity_that_works() {
    let control_plane = ControlPlane::start().await.unwrap();
    let mut approver = Program::approver(&control_plane, &[]).await.unwrap();
    let admin = control_plane.admin();
    let status = MachineStatus::provisioned("worker-0", "192.0.2.10");
    machines::create_machine(&admin, "machine-0", &status)
        .await
        .unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let host = Host::create(&control_plane, "worker-0").unwrap();

    let begin = Instant::now();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    println!("joined in {:?}:\n{}", begin.elapsed(), agent.log());
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    assert_approved(&admin).await;
    assert_installed(&host);
    assert_eq!(
        issued_keys(&admin, "worker-0").await.unwrap(),
        [host.public_key().unwrap()]
    );
    assert_is_worker_0(&control_plane, &host).await;

    assert_second_run_does_nothing(&control_plane, &host, &bootstrap).await;

    let log = approver.log();
    assert_eq!(approver.ended(), None, "{log}");
    for trouble in ["forbidden", "right is missing", "ERROR", "WARN"] {
        assert!(!log.contains(trouble), "{trouble} in:\n{log}");
    }
}

/// The one request there is carries the approver's reason.
async fn assert_approved(admin: &kube::Client) {
    let all = requests::api(admin)
        .list(&ListParams::default())
        .await
        .unwrap();
    let [request] = all.items.as_slice() else {
        panic!("one request was expected: {:?}", all.items)
    };
    let (reason, message) = requests::condition(request, "Approved").unwrap();
    assert_eq!(reason, "FirstCertificate");
    assert!(
        message.contains("openshift-machine-api/machine-0"),
        "{message}"
    );
}

/// The files are those that a kubelet would have made, and nobody else may read them.
#[track_caller]
fn assert_installed(host: &Host) {
    let link = std::fs::read_link(host.current()).unwrap();
    let certificate = link.file_name().unwrap().to_str().unwrap();
    assert!(certificate.starts_with("kubelet-client-20"), "{link:?}");
    assert_eq!(
        host.files().unwrap(),
        [
            "kubelet.conf".to_owned(),
            format!("pki/{certificate}"),
            "pki/kubelet-client-current.pem".to_owned(),
        ]
    );
    assert_eq!(host.exposed().unwrap(), Vec::<String>::new());
    let kubeconfig = std::fs::read_to_string(host.kubeconfig()).unwrap();
    let current = host.current().display().to_string();
    assert!(kubeconfig.contains(&current), "{kubeconfig}");
    assert!(!kubeconfig.contains("token"), "{kubeconfig}");
}

/// With the installed kubeconfig one can be this node and no other.
async fn assert_is_worker_0(control_plane: &ControlPlane, host: &Host) {
    let kubelet = control_plane.client_from(&host.kubeconfig()).await.unwrap();
    let nodes: Api<Node> = Api::all(kubelet);
    let node =
        |name: &str| serde_json::from_value::<Node>(json!({"metadata": {"name": name}})).unwrap();
    let params = PostParams::default();
    nodes.create(&params, &node("worker-0")).await.unwrap();
    let read = nodes.get("worker-0").await.unwrap();
    assert_eq!(read.metadata.name.as_deref(), Some("worker-0"));
    let other = nodes.create(&params, &node("worker-1")).await.unwrap_err();
    let kube::Error::Api(status) = &other else {
        panic!("{other:?}")
    };
    assert!(status.is_forbidden(), "{other:?}");
}

async fn assert_second_run_does_nothing(
    control_plane: &ControlPlane,
    host: &Host,
    bootstrap: &std::path::Path,
) {
    let before = (host.files().unwrap(), host.public_key().unwrap());
    let begin = Instant::now();
    let mut agent = host.start(bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    let log = agent.log();
    assert_eq!(ended.code(), Some(0), "{log}");
    // Not even the bootstrap kubeconfig is read, so the API server cannot have been asked for anything.
    assert!(
        log.contains("is the identity of worker-0 already") && !log.contains("asking"),
        "{log}"
    );
    assert!(begin.elapsed() < Duration::from_secs(2), "{log}");
    assert_eq!((host.files().unwrap(), host.public_key().unwrap()), before);
    assert_approved(&control_plane.admin()).await;
}
