//! The harness itself: does it run a real, closed control plane, and does it leave nothing behind?
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, Credentials, Options, machines};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// kube-controller-manager's approver approves the requests of those who may `create` this sub-resource.
const AUTOAPPROVE_ROLE: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";

#[tokio::test]
async fn only_the_administrator_decides_and_the_cluster_signs() {
    let control_plane = ControlPlane::start().await.unwrap();
    let admin = control_plane.admin();
    let kubeconfig = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&kubeconfig).await.unwrap();
    allow_autoapproval(&control_plane).await;

    let waits = NodeRequest::client("node-a")
        .unwrap()
        .submit(&bootstrapper)
        .await
        .unwrap();
    let approved = NodeRequest::client("node-b").unwrap();
    let name = approved.submit(&bootstrapper).await.unwrap();
    refused(&requests::approve(&bootstrapper, &name).await.unwrap_err());
    requests::approve(&admin, &name).await.unwrap();
    let certificate = requests::wait_certificate(&admin, &name, TIMEOUT)
        .await
        .unwrap();

    // The later request went all the way through kube-controller-manager, so it had its chance with the earlier one.
    let pending = requests::api(&admin).get(&waits).await.unwrap();
    assert!(requests::is_pending(&pending), "{pending:?}");
    assert_eq!(
        pending.spec.username.as_deref(),
        Some("system:serviceaccount:openshift-machine-config-operator:node-bootstrapper")
    );

    let identity = rollcall_e2e::IssuedCertificate {
        certificate_pem: certificate,
        key_pem: approved.key_pem().to_owned(),
    };
    let kubeconfig = control_plane
        .custom_kubeconfig(
            "node-b",
            &control_plane.server(),
            control_plane.ca_pem(),
            &Credentials::Certificate(identity),
        )
        .unwrap();
    let node = control_plane.client_from(&kubeconfig).await.unwrap();
    register_node(&node, "node-b").await.unwrap();
    refused(&register_node(&node, "node-c").await.unwrap_err());
    refused(
        &NodeRequest::client("node-c")
            .unwrap()
            .submit(&node)
            .await
            .unwrap_err(),
    );
    NodeRequest::client("node-b")
        .unwrap()
        .submit(&node)
        .await
        .unwrap();
}

#[tokio::test]
async fn with_its_own_approver_on_kubernetes_approves_what_the_binding_allows() {
    let options = Options::default()
        .csr_approving(true)
        .cluster_signing_duration(Duration::from_secs(3600));
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let kubeconfig = control_plane
        .bootstrap_token_kubeconfig(Duration::from_secs(600))
        .await
        .unwrap();
    let bootstrapper = control_plane.client_from(&kubeconfig).await.unwrap();
    allow_autoapproval(&control_plane).await;
    let name = NodeRequest::client("node-a")
        .unwrap()
        .submit(&bootstrapper)
        .await
        .unwrap();
    let request = requests::wait_approved(&control_plane.admin(), &name, TIMEOUT)
        .await
        .unwrap();
    assert!(
        request
            .spec
            .username
            .unwrap()
            .starts_with("system:bootstrap:")
    );
    let certificate = requests::wait_certificate(&control_plane.admin(), &name, TIMEOUT)
        .await
        .unwrap();
    let not_after = not_after(&certificate);
    assert!(
        not_after <= SystemTime::now() + Duration::from_secs(3600),
        "{not_after:?}"
    );
}

#[tokio::test]
async fn the_data_outlives_an_api_server_that_is_restarted_or_killed() {
    let control_plane = ControlPlane::start().await.unwrap();
    let server = control_plane.server();
    let config_maps: Api<ConfigMap> = Api::namespaced(control_plane.admin(), "default");
    control_plane
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\ndata: {a: b}\n")
        .await
        .unwrap();
    let uid = config_maps.get("kept").await.unwrap().uid();

    control_plane.restart_api_server().await.unwrap();
    assert_eq!(config_maps.get("kept").await.unwrap().uid(), uid);

    control_plane.kill_api_server();
    config_maps.get("kept").await.unwrap_err();
    control_plane.start_api_server().await.unwrap();
    assert_eq!(config_maps.get("kept").await.unwrap().uid(), uid);
    assert_eq!(control_plane.server(), server);
}

#[tokio::test]
async fn machines_go_through_the_phases_that_openshift_gives_them() {
    let control_plane = ControlPlane::start().await.unwrap();
    let admin = control_plane.admin();
    machines::install(&control_plane).await.unwrap();
    let created =
        machines::create_machine(&admin, "worker-0", &machines::MachineStatus::provisioning())
            .await
            .unwrap();
    assert_eq!(created.data["status"]["phase"], "Provisioning");
    let ready = machines::MachineStatus::provisioned("node-0.example.internal", "192.0.2.10");
    let machine = machines::set_status(&admin, "worker-0", &ready)
        .await
        .unwrap();
    assert_eq!(
        machine.data["status"]["addresses"][0]["address"],
        "node-0.example.internal"
    );
    assert!(
        machine.data["spec"]["providerID"]
            .as_str()
            .unwrap()
            .ends_with("node-0.example.internal")
    );
    machines::bind(&admin, "worker-0", "node-0.example.internal", "some-uid")
        .await
        .unwrap();
    let machine = machines::set_addresses(&admin, "worker-0", &[("InternalIP", "192.0.2.11")])
        .await
        .unwrap();
    assert_eq!(machine.data["status"]["nodeRef"]["uid"], "some-uid");
    assert_eq!(
        machine.data["status"]["addresses"],
        json!([{"type": "InternalIP", "address": "192.0.2.11"}])
    );

    let deleting = machines::delete(&admin, "worker-0").await.unwrap();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    machines::finish_deletion(&admin, "worker-0").await.unwrap();
    assert!(
        machines::api(admin)
            .get_opt("worker-0")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_panic_leaves_no_process_and_no_folder() {
    let control_plane = ControlPlane::start().await.unwrap();
    let processes: Vec<_> = control_plane
        .process_ids()
        .into_iter()
        .map(process_folder)
        .collect();
    let folder = control_plane.dir().to_owned();
    assert_eq!(processes.len(), 3);
    assert!(processes.iter().all(|process| process.exists()));
    // The panic below is the point of the test; its message would only alarm.
    let panicked = std::panic::AssertUnwindSafe(async move {
        let _control_plane = control_plane;
        std::panic::resume_unwind(Box::new("a test that fails"));
    })
    .catch_unwind()
    .await;
    assert!(panicked.is_err());
    assert!(
        processes.iter().all(|process| !process.exists()),
        "{processes:?}"
    );
    assert!(!folder.exists());
}

/// The variable that makes this test program the one that is killed.
const VICTIM: &str = "ROLLCALL_TEST_VICTIM";

#[tokio::test]
async fn a_killed_test_program_leaves_no_process() {
    if let Some(report) = std::env::var_os(VICTIM) {
        let control_plane = ControlPlane::start().await.unwrap();
        let temporary = PathBuf::from(&report).with_extension("tmp");
        std::fs::write(
            &temporary,
            serde_json::to_string(&control_plane.process_ids()).unwrap(),
        )
        .unwrap();
        std::fs::rename(&temporary, &report).unwrap();
        return std::future::pending().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("processes");
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_program_leaves_no_process"])
        .env(VICTIM, &report)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let processes: Vec<u32> =
        rollcall_e2e::wait::poll("the other program's control plane", 3 * TIMEOUT, || async {
            Ok(serde_json::from_str(&std::fs::read_to_string(&report)?)?)
        })
        .await
        .unwrap();
    assert_eq!(processes.len(), 3);
    victim.kill().await.unwrap();
    rollcall_e2e::wait::poll(
        "the processes of the killed program to end",
        TIMEOUT,
        || async {
            let left: Vec<_> = processes
                .iter()
                .copied()
                .map(process_folder)
                .filter(|path| is_running(path))
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                anyhow::bail!("{left:?} still run")
            }
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_component_that_does_not_start_shows_the_end_of_its_log() {
    let options = Options::default().api_server_flag("--no-such-flag");
    let error = ControlPlane::start_with(options)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("kube-apiserver ended") && error.contains("unknown flag: --no-such-flag"),
        "{error}"
    );
}

async fn allow_autoapproval(control_plane: &ControlPlane) {
    let everybody = json!({"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"});
    control_plane
        .bind_cluster_role("autoapprove", AUTOAPPROVE_ROLE, &everybody)
        .await
        .unwrap();
}

async fn register_node(client: &kube::Client, name: &str) -> anyhow::Result<()> {
    let node = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    Api::<Node>::all(client.clone())
        .create(&PostParams::default(), &node)
        .await?;
    Ok(())
}

/// Asserts that the API server knew who asked, and said no.
#[track_caller]
fn refused(error: &anyhow::Error) {
    let Some(kube::Error::Api(status)) = error.downcast_ref() else {
        panic!("{error:?}")
    };
    assert!(status.is_forbidden(), "{error:?}");
}

fn not_after(certificate_pem: &str) -> SystemTime {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()).unwrap();
    let seconds = pem.parse_x509().unwrap().validity().not_after.timestamp();
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(u64::try_from(seconds).unwrap()))
        .unwrap()
}

fn process_folder(id: u32) -> PathBuf {
    Path::new("/proc").join(id.to_string())
}

/// A process whose parent was killed may stay a zombie until init reaps it: it has ended all the same.
fn is_running(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
