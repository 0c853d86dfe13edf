//! A real kubelet with a certificate of the cluster: does it register, get Ready, and leave nothing behind?
//!
//! Where a machine cannot run one, each test says what is missing and ends.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_e2e::node::{Network, Node, NodeSettings, is_ready};
use rollcall_e2e::wait::poll;
use rollcall_e2e::{CertificateProfile, ControlPlane, Credentials, Options};

/// Far more than a kubelet takes (some seconds); only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The variable that makes this test program the one that is killed.
const VICTIM: &str = "ROLLCALL_TEST_VICTIM";

#[tokio::test]
async fn a_real_kubelet_registers_and_gets_ready_and_leaves_nothing() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let tunables = tunables();
    let network = Network::create().await.unwrap();
    let folder = network.dir().to_owned();
    let options = Options::default().reachable_at(network.host_address());
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let settings = settings(&control_plane, &network);

    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let registered = node.wait_registered(&control_plane, TIMEOUT).await.unwrap();
    eprintln!(
        "registered {:?} after the kubelet was started",
        node.started().elapsed()
    );
    let status = registered.status.unwrap();
    assert_eq!(status.node_info.unwrap().kubelet_version, "v1.36.3");
    assert!(
        status
            .addresses
            .unwrap()
            .iter()
            .any(|address| address.address == node.network().node_address().to_string())
    );
    let ready = node.wait_ready(&control_plane, TIMEOUT).await.unwrap();
    eprintln!(
        "ready {:?} after the kubelet was started",
        node.started().elapsed()
    );
    assert!(is_ready(&ready));

    let marker = folder.to_string_lossy().into_owned();
    assert!(processes_with(&marker).len() >= 2, "kubelet and containerd");
    drop(node);
    assert_eq!(processes_with(&marker), BTreeSet::new());
    assert!(!folder.exists());
    assert_eq!(
        self::tunables(),
        tunables,
        "the kernel settings of this machine were changed"
    );
}

#[tokio::test]
async fn a_kubelet_that_ends_early_shows_the_end_of_its_log() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let network = Network::create().await.unwrap();
    let options = Options::default().reachable_at(network.host_address());
    let control_plane = ControlPlane::start_with(options).await.unwrap();
    let mut settings = settings(&control_plane, &network);
    settings.kubeconfig = PathBuf::from("/no/such/kubeconfig");
    let mut node = Node::start(&control_plane, network, &settings)
        .await
        .unwrap();
    let error = node
        .wait_registered(&control_plane, TIMEOUT)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("kubelet ended") && error.contains("/no/such/kubeconfig"),
        "{error}"
    );
}

#[tokio::test]
async fn a_killed_test_program_takes_its_namespaces_along() {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    if let Some(report) = std::env::var_os(VICTIM) {
        let network = Network::create().await.unwrap();
        let mut inside = network.command(Path::new("/bin/sh")).unwrap();
        let marker = network.dir().to_string_lossy().into_owned();
        inside.args(["-c", "while :; do sleep 1; done", &marker]);
        let mut child = inside.spawn().unwrap();
        let temporary = PathBuf::from(&report).with_extension("tmp");
        std::fs::write(&temporary, &marker).unwrap();
        std::fs::rename(&temporary, &report).unwrap();
        tokio::task::spawn_blocking(move || child.wait())
            .await
            .unwrap()
            .unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("folder");
    let mut victim = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_test_program_takes_its_namespaces_along",
        ])
        .env(VICTIM, &report)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let marker = poll("the other program's network", TIMEOUT, || async {
        Ok(std::fs::read_to_string(&report)?)
    })
    .await
    .unwrap();
    poll("the shell inside", TIMEOUT, || async {
        // The first process, and nsenter with its child.
        anyhow::ensure!(processes_with(&marker).len() >= 3);
        Ok(())
    })
    .await
    .unwrap();
    victim.kill().await.unwrap();
    poll("the namespaces to end", TIMEOUT, || async {
        let left = processes_with(&marker);
        anyhow::ensure!(left.is_empty(), "{left:?} still run");
        Ok(())
    })
    .await
    .unwrap();
}

/// A node's certificate where a kubelet looks for it, issued by the cluster's authority directly.
fn settings(control_plane: &ControlPlane, network: &Network) -> NodeSettings {
    let write = || -> anyhow::Result<NodeSettings> {
        let name = "node-0.example.internal";
        let pki_dir = network.dir().join("pki");
        std::fs::create_dir(&pki_dir)?;
        let certificate = control_plane.issue_certificate(&CertificateProfile::node(name))?;
        std::fs::write(
            pki_dir.join("kubelet-client-current.pem"),
            certificate.bundle(),
        )?;
        let kubeconfig = control_plane.custom_kubeconfig(
            "kubelet",
            &control_plane.machine_server(),
            control_plane.ca_pem(),
            &Credentials::Certificate(certificate),
        )?;
        Ok(NodeSettings {
            name: name.to_owned(),
            kubeconfig,
            pki_dir,
            serving_certificate: false,
        })
    };
    write().unwrap()
}

/// The numbers of all processes of this machine whose command line names `marker`, and that have not ended.
fn processes_with(marker: &str) -> BTreeSet<u32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| {
            std::fs::read(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
        })
        .collect()
}

/// What the kernel of this machine is set to, where kubelet would change it.
fn tunables() -> Vec<String> {
    [
        "vm/overcommit_memory",
        "kernel/panic",
        "kernel/panic_on_oops",
    ]
    .into_iter()
    .map(|name| std::fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap())
    .collect()
}
