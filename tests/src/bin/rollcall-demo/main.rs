//! The demo: expected machines join a real cluster, and an unexpected one does not.
//!
//! `cargo xtask demo` builds the programs and runs this. Everything is real: the control plane, the approver with the
//! permissions of its own ServiceAccount, node-agent with a bootstrap kubeconfig, the kubelet. Exit code 0 means that
//! all steps succeeded; all processes end with the demo.

mod join;
mod screen;
mod stranger;
mod timeline;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::node::{Network, Node};
use rollcall_e2e::programs::{self, Program};
use rollcall_e2e::{ControlPlane, Options, assets::Assets};

use crate::join::Join;
use crate::screen::Screen;
use crate::stranger::Stranger;

/// The Machines that a MachineSet of three replicas would create, and their addresses.
const MACHINES: [(&str, &str); 3] = [
    ("worker-0", "192.0.2.10"),
    ("worker-1", "192.0.2.11"),
    ("worker-2", "192.0.2.12"),
];

/// A name that no Machine has.
const STRANGER: &str = "stranger-0";

/// Texts that the approver's log must not contain if its own permissions suffice.
const MISSING_RIGHT: [&str; 2] = ["forbidden", "right is missing"];

#[tokio::main]
async fn main() -> ExitCode {
    let screen = Screen::new();
    let keep = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--keep" => true,
        other => {
            screen.line(&format!(
                "unknown arguments {other:?}; the only one is --keep"
            ));
            return ExitCode::from(64);
        }
    };
    let outcome = tokio::select! {
        outcome = demo(&screen, keep) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn demo(screen: &Screen, keep: bool) -> Result<()> {
    let assets =
        tokio::task::spawn_blocking(|| Assets::locate(|line| Screen::new().line(line))).await??;
    let begin = Instant::now();
    screen.title("A real control plane");
    let network = kubelet_network(screen).await?;
    let mut options = Options::default().assets(assets);
    if let Some(network) = &network {
        options = options.reachable_at(network.host_address());
    }
    let control_plane = ControlPlane::start_with(options).await?;
    screen.done(&format!(
        "etcd, kube-apiserver and kube-controller-manager serve at {} ({:.1} s)",
        control_plane.server(),
        begin.elapsed().as_secs_f64()
    ));
    screen
        .note("RBAC, Node authorizer and NodeRestriction are on; Kubernetes' own approver is off");

    screen.title("The approver, with the rights of its own ServiceAccount");
    let approver = Program::approver(&control_plane, &[]).await?;
    approver.line(&["deciding"], join::PATIENCE).await?;
    screen.done(&format!(
        "manifests of deploy/base applied; log: {}",
        approver.log_file().display()
    ));

    screen.title("A MachineSet scales up");
    let admin = control_plane.admin();
    for (name, ip) in MACHINES {
        machines::create_machine(&admin, name, &MachineStatus::provisioned(name, ip)).await?;
    }
    screen.done("3 Machines are Provisioned and have no Node yet: worker-0, worker-1, worker-2");

    screen.title("The machines boot and join; one that nobody asked for tries too");
    let bootstrap = control_plane.bootstrap_kubeconfig().await?;
    let stranger = Stranger::start(&control_plane, &bootstrap, STRANGER)?;
    let joined = join_all(screen, &control_plane, &bootstrap, network).await?;
    screen.title(&format!("The stranger: {STRANGER}"));
    stranger.show(screen, &control_plane).await?;
    check_log(&approver)?;
    screen.done("the approver's log holds no missing right");
    screen.summary(&joined, begin.elapsed());
    if keep {
        stay(screen, &control_plane, &bootstrap).await?;
    }
    Ok(())
}

/// Creates the namespaces for a real kubelet, if this machine can run one.
async fn kubelet_network(screen: &Screen) -> Result<Option<Network>> {
    match Node::prerequisites() {
        Ok(()) => Network::create().await.map(Some),
        Err(missing) => {
            screen.warn(&missing.to_string());
            screen.note("each identity is proved by registering the Node with it instead");
            Ok(None)
        }
    }
}

/// Makes every Machine join; the first one with a real kubelet, if there is a network for it.
async fn join_all(
    screen: &Screen,
    control_plane: &ControlPlane,
    bootstrap: &std::path::Path,
    mut network: Option<Network>,
) -> Result<Vec<Join>> {
    let joins = MACHINES.map(|(name, _)| Join::run(control_plane, bootstrap, name, network.take()));
    let joins = futures::future::try_join_all(joins).await?;
    for join in &joins {
        join.show(screen);
    }
    Ok(joins)
}

fn check_log(approver: &Program) -> Result<()> {
    let log = approver.log();
    match log
        .lines()
        .find(|line| MISSING_RIGHT.iter().any(|text| line.contains(text)))
    {
        Some(line) => bail!("the approver misses a right: {line}"),
        None => Ok(()),
    }
}

async fn stay(
    screen: &Screen,
    control_plane: &ControlPlane,
    bootstrap: &std::path::Path,
) -> Result<()> {
    screen.title("Kept: the cluster stays up until Ctrl-C");
    screen.line(&format!(
        "  export KUBECONFIG={}",
        control_plane.admin_kubeconfig().display()
    ));
    screen.line(&format!("  bootstrap kubeconfig: {}", bootstrap.display()));
    screen.line(&format!(
        "  node-agent:           {}",
        programs::binary("rollcall-node-agent")?.display()
    ));
    screen.line("  try: kubectl get csr,nodes; kubectl get machines -A; kubectl get events");
    tokio::signal::ctrl_c()
        .await
        .context("cannot listen for Ctrl-C")
}
