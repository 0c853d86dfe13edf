//! The command line of kube-controller-manager.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::assets::Assets;
use crate::command::clean_command;

/// The controllers that a join, and the clean-up after tests, depend on. No scheduler and no pods exist, so the workload
/// controllers would only take time (names: `cmd/kube-controller-manager/names/controller_names.go`).
const CONTROLLERS: [&str; 11] = [
    "bootstrap-signer-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "token-cleaner-controller",
];

/// The controller that approves node requests by itself; omitted by default.
const APPROVER: &str = "certificatesigningrequest-approving-controller";

/// Returns the command: signs with the cluster's authority; approves only if enabled.
pub(crate) fn command(
    assets: &Assets,
    pki: &Path,
    kubeconfig: &Path,
    signing_duration: Duration,
    approving: bool,
    more: &[String],
) -> Command {
    let file = |name: &str| pki.join(name).display().to_string();
    let controllers: Vec<_> = CONTROLLERS
        .into_iter()
        .chain(approving.then_some(APPROVER))
        .collect();
    let mut command = clean_command(&assets.kube_controller_manager());
    command.args([
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
        // 0 disables its own server: one port less to reserve.
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        format!("--controllers={}", controllers.join(",")),
        "--use-service-account-credentials=true".to_owned(),
        format!(
            "--service-account-private-key-file={}",
            file("service-account.key")
        ),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--cluster-signing-cert-file={}", file("ca.crt")),
        format!("--cluster-signing-key-file={}", file("ca.key")),
        format!("--cluster-signing-duration={}s", signing_duration.as_secs()),
        "--profiling=false".to_owned(),
    ]);
    command.args(more);
    command
}
