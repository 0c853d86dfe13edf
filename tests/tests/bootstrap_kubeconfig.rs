//! The credential that `bootstrap-kubeconfig` makes and the user-data around it, on a real cluster: machines join with
//! it, for as long as it is valid, and nobody gets more rights than it takes.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::ListParams;
use rollcall_e2e::agent::{Host, issued_keys};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, binary};
use rollcall_e2e::requests::NodeRequest;
use rollcall_e2e::{ControlPlane, requests, wait};
use serde_json::Value;

/// Far more than anything here takes; only a failure waits that long. A refused token is believed after a minute.
const TIMEOUT: Duration = Duration::from_secs(90);

/// node-agent's exit code for a credential that is refused.
const REFUSED: i32 = 77;

/// A cluster, and a person who makes credentials for its machines.
struct Desk {
    control_plane: ControlPlane,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

impl Desk {
    async fn open() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        machines::install(&control_plane).await.unwrap();
        let kubeconfig = control_plane
            .kubeconfig_as("ada", &["system:masters"])
            .unwrap();
        let folder = control_plane.dir().join("made");
        std::fs::create_dir(&folder).unwrap();
        Self {
            control_plane,
            kubeconfig,
            folder,
        }
    }

    /// Makes a kubeconfig into a file of this name.
    async fn make(&self, name: &str, flags: &[&str]) -> (PathBuf, Output) {
        let path = self.folder.join(name);
        let done = command("bootstrap-kubeconfig")
            .args(flags)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--to")
            .arg(&path)
            .output()
            .await
            .unwrap();
        (path, done)
    }

    async fn machine(&self, name: &str) {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        machines::create_machine(&self.control_plane.admin(), name, &status)
            .await
            .unwrap();
    }

    /// Lets a host of this name join with a kubeconfig.
    async fn join(&self, name: &str, bootstrap: &Path) -> Host {
        let host = Host::create(&self.control_plane, name).unwrap();
        let mut agent = host.start(bootstrap, &[]).unwrap();
        let ended = agent.end(TIMEOUT).await.unwrap();
        assert_eq!(ended.code(), Some(0), "{}", agent.log());
        let keys = issued_keys(&self.control_plane.admin(), name)
            .await
            .unwrap();
        assert_eq!(keys, [host.public_key().unwrap()]);
        host
    }

    /// Who made the one request that there is.
    async fn requestor(&self) -> String {
        let list = requests::api(&self.control_plane.admin())
            .list(&ListParams::default())
            .await
            .unwrap();
        assert_eq!(list.items.len(), 1);
        list.items[0].spec.username.clone().unwrap()
    }
}

fn command(name: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(binary("rollcall-approver").unwrap());
    command.arg(name);
    command
}

#[track_caller]
fn assert_done(done: &Output) -> String {
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    said
}

fn secrets(desk: &Desk) -> Api<Secret> {
    Api::namespaced(desk.control_plane.admin(), "kube-system")
}

#[tokio::test]
async fn a_machine_joins_with_the_token_and_the_user_data_that_were_made_for_it() {
    let desk = Desk::open().await;
    let approver = Program::approver(&desk.control_plane, &[]).await.unwrap();
    desk.machine("worker-0").await;

    // Nobody may ask with a bootstrap token yet, so there is no token either.
    let (path, refused) = desk.make("kubeconfig", &["--machine=worker-0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("--create-rights") && said.contains("system:bootstrappers"),
        "{said}"
    );
    let tokens = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
    assert_eq!(secrets(&desk).list(&tokens).await.unwrap().items.len(), 0);
    assert!(!path.exists());

    let flags = [
        "--machine=worker-0",
        "--create-rights",
        "--ttl=1h",
        "--description=first",
    ];
    let (path, done) = desk.make("kubeconfig", &flags).await;
    let said = assert_done(&done);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_token_of_worker_0(&desk, &said).await;
    assert_least_rights(&desk).await;

    let bootstrap = write_as_cloud_init_does(&desk, &path).await;
    let host = desk.join("worker-0", &bootstrap).await;
    assert!(desk.requestor().await.starts_with("system:bootstrap:"));
    assert_eq!(host.exposed().unwrap(), Vec::<String>::new());
    let log = approver.log();
    assert!(log.contains("worker-0"), "{log}");
    assert_for_no_other_machine(&desk, &bootstrap).await;
}

/// Another Machine is expected too, but not by this token.
async fn assert_for_no_other_machine(desk: &Desk, bootstrap: &Path) {
    desk.machine("worker-1").await;
    let thief = desk.control_plane.client_from(bootstrap).await.unwrap();
    let request = NodeRequest::client("worker-1").unwrap();
    let name = request.submit(&thief).await.unwrap();
    let admin = desk.control_plane.admin();
    requests::wait_event(&admin, &name, "TokenOfAnotherMachine", TIMEOUT)
        .await
        .unwrap();
    let held = requests::api(&admin).get(&name).await.unwrap();
    assert!(requests::is_pending(&held), "{held:?}");
}

async fn assert_token_of_worker_0(desk: &Desk, said: &str) {
    let tokens = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
    let list = secrets(desk).list(&tokens).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let metadata = &list.items[0].metadata;
    let annotations = metadata.annotations.as_ref().unwrap();
    assert_eq!(
        annotations["rollcall.dev/machine"],
        "openshift-machine-api/worker-0"
    );
    let data = list.items[0].data.as_ref().unwrap();
    let field = |name: &str| String::from_utf8(data[name].0.clone()).unwrap();
    assert!(field("description").contains("openshift-machine-api/worker-0"));
    assert!(
        said.contains(&format!("the bootstrap token {}", field("token-id"))),
        "{said}"
    );
    assert!(!said.contains(&field("token-secret")), "{said}");
}

async fn assert_least_rights(desk: &Desk) {
    let bindings: Api<ClusterRoleBinding> = Api::all(desk.control_plane.admin());
    let list = bindings.list(&ListParams::default()).await.unwrap();
    let of_group = list.items.iter().filter(|binding| {
        let subjects = binding.subjects.iter().flatten();
        subjects
            .into_iter()
            .any(|subject| subject.name == "system:bootstrappers")
    });
    let roles: Vec<&str> = of_group
        .map(|binding| binding.role_ref.name.as_str())
        .collect();
    assert_eq!(roles, ["system:node-bootstrapper"]);
}

/// Renders user-data around a kubeconfig, and writes the file that a machine would find at boot.
async fn write_as_cloud_init_does(desk: &Desk, kubeconfig: &Path) -> PathBuf {
    let done = command("user-data")
        .arg("--bootstrap-kubeconfig")
        .arg(kubeconfig)
        .output()
        .await
        .unwrap();
    assert_done(&done);
    let document: Value = serde_saphyr::from_slice(&done.stdout).unwrap();
    let files = document["write_files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|file| file["path"] == "/etc/kubernetes/bootstrap-kubelet.conf")
        .unwrap();
    assert_eq!(file["permissions"], "0600");
    let content = STANDARD.decode(file["content"].as_str().unwrap()).unwrap();
    let path = desk.folder.join("bootstrap-kubelet.conf");
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn a_machine_joins_with_a_service_accounts_token() {
    let desk = Desk::open().await;
    let approver = Program::approver(&desk.control_plane, &[]).await.unwrap();
    desk.machine("worker-0").await;
    let account = "--service-account=openshift-infra/node-bootstrapper";

    let (_, refused) = desk.make("none", &[account, "--create-rights"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("create serviceaccount node-bootstrapper"),
        "{said}"
    );

    desk.control_plane
        .service_account_token("openshift-infra", "node-bootstrapper")
        .await
        .unwrap();
    let (path, done) = desk
        .make("kubeconfig", &[account, "--create-rights", "--output=json"])
        .await;
    let said = assert_done(&done);
    assert!(
        said.contains("the ServiceAccount openshift-infra/node-bootstrapper, valid until"),
        "{said}"
    );
    desk.join("worker-0", &path).await;
    let requestor = desk.requestor().await;
    assert_eq!(
        requestor,
        "system:serviceaccount:openshift-infra:node-bootstrapper"
    );
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

#[tokio::test]
async fn a_token_that_expired_is_refused_and_node_agent_says_so() {
    let desk = Desk::open().await;
    let (path, done) = desk
        .make("kubeconfig", &["--create-rights", "--ttl=1s"])
        .await;
    assert_done(&done);
    let client = desk.control_plane.client_from(&path).await.unwrap();
    let asks = requests::api(&client);
    wait::poll("the token to expire", TIMEOUT, || async {
        match asks.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(()),
            answer => bail!("it is still answered: {answer:?}"),
        }
    })
    .await
    .unwrap();
    let host = Host::create(&desk.control_plane, "worker-0").unwrap();
    let mut agent = host.start(&path, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    let log = agent.log();
    assert_eq!(ended.code(), Some(REFUSED), "{log}");
    let last = log.lines().last().unwrap();
    for word in [
        "does not accept the token in",
        "401",
        &path.display().to_string(),
    ] {
        assert!(last.contains(word), "{word:?}: {log}");
    }
}

#[tokio::test]
async fn whoever_would_be_approved_by_kube_controller_manager_is_told() {
    let desk = Desk::open().await;
    let group = serde_json::json!({
        "kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io",
    });
    let role = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    desk.control_plane
        .bind_cluster_role("kubeadm:node-autoapprove-bootstrap", role, &group)
        .await
        .unwrap();
    // The API server needs a moment to know of a new binding.
    wait::poll("the warning", TIMEOUT, || async {
        let (path, done) = desk.make("kubeconfig", &["--create-rights"]).await;
        let said = assert_done(&done);
        std::fs::remove_file(path)?;
        ensure!(
            said.contains("kube-controller-manager approves every request"),
            "{said}"
        );
        Ok(())
    })
    .await
    .unwrap();
}
