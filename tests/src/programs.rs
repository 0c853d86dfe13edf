//! Our own two programs, run as processes: their paths, their output, and their end.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::command::clean_command;
use crate::process::{self, Process};
use crate::{ControlPlane, wait};

/// The namespace and name of the approver's ServiceAccount in `deploy/base`.
pub const APPROVER: (&str, &str) = ("rollcall", "rollcall-approver");

/// The timeout for an approver to serve its metrics.
const SERVED: Duration = Duration::from_secs(30);

/// The key of the configuration in its ConfigMap, and the name of the file it is mounted as.
const CONFIG: &str = "approver.yaml";

/// The path of a binary of this workspace: beside the running one.
///
/// # Errors
/// If it is not built; the error names the command that builds it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find out where this program is")?;
    // Tests are one folder deeper than binaries.
    let found = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} has not been built; run: cargo build --workspace --bins"))
}

/// The folder `deploy/base` of this checkout.
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base")
}

/// One of our programs, running.
#[derive(Debug)]
pub struct Program {
    process: Process,
}

impl Program {
    /// Starts a binary of this workspace with these arguments; its output goes to a file in `directory`.
    ///
    /// # Errors
    /// If it has not been built or cannot be started.
    pub fn start(name: &str, directory: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_with(name, directory, arguments, &[])
    }

    /// As [`Program::start`], with environment variables.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_with(
        name: &str,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = clean_command(&binary(name)?);
        command.args(arguments).envs(environment.iter().copied());
        Self::run(name, &command, directory)
    }

    /// Starts any command; its output goes to `<name>.log` in `directory`, which is created if needed.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(name: &str, command: &Command, directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let log = directory.join(format!("{name}.log"));
        Ok(Self {
            process: Process::spawn(name, command, &log)?,
        })
    }

    /// Starts the approver with the manifests of `deploy/` and only the permissions of its own ServiceAccount.
    ///
    /// # Errors
    /// If the API server refuses a manifest, or the approver cannot be started.
    pub async fn approver(control_plane: &ControlPlane, arguments: &[&str]) -> Result<Self> {
        let kubeconfig = approver_kubeconfig(control_plane).await?;
        let config = deployed_config(control_plane).await?;
        let config = config
            .to_str()
            .context("the path of the configuration is not text")?;
        // A test's own --config replaces the deployed one.
        let own = arguments.contains(&"--config");
        let deployed = ["--config", config].into_iter().filter(|_| !own);
        let arguments: Vec<&str> = deployed.chain(arguments.iter().copied()).collect();
        Self::approver_as(control_plane, &kubeconfig, &arguments)
    }

    /// Starts the approver with a kubeconfig of any permissions.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn approver_as(
        control_plane: &ControlPlane,
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        // A container that restarts in its pod keeps the pod's uid, and with it its Lease.
        let pod = "approver-under-test";
        Self::approver_in(pod, &control_plane.logs_dir(), kubeconfig, arguments)
    }

    /// Starts the approver as the container of this pod, with its own log folder.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn approver_in(
        pod: &str,
        directory: &Path,
        kubeconfig: &Path,
        arguments: &[&str],
    ) -> Result<Self> {
        let kubeconfig = kubeconfig
            .to_str()
            .context("the path of the kubeconfig is not text")?;
        let all: Vec<&str> = ["run", "--kubeconfig", kubeconfig, "--namespace", APPROVER.0]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        Self::start_with("rollcall-approver", directory, &all, &[("POD_UID", pod)])
    }

    /// Returns all its output, including that before an earlier restart.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// The file with its output.
    pub fn log_file(&self) -> &Path {
        self.process.log()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has printed a line that contains all these texts, and returns the line.
    ///
    /// # Errors
    /// If that takes longer than `timeout`; the error includes the end of its output.
    pub async fn line(&self, texts: &[&str], timeout: Duration) -> Result<String> {
        let what = format!("a line of {} with {texts:?}", self.process.name());
        wait::poll(&what, timeout, || async {
            let log = self.log();
            match log
                .lines()
                .find(|line| texts.iter().all(|text| line.contains(text)))
            {
                Some(line) => Ok(line.to_owned()),
                None => bail!(
                    "it printed:\n{}",
                    process::tail(self.process.log(), process::TAIL_LINES)
                ),
            }
        })
        .await
    }

    /// Queries the metrics and health server of an approver that was started with `--metrics-addr 127.0.0.1:0`.
    ///
    /// # Errors
    /// If it does not serve, or answers with a status other than 200.
    pub async fn served(&self, path: &str) -> Result<String> {
        let line = self.line(&["serving /metrics"], SERVED).await?;
        let address = line
            .split_once("address=")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .context("the log names no address")?;
        let mut stream = TcpStream::connect(address).await?;
        // In HTTP/1.0, the end of the connection is the end of the response.
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("this is not HTTP")?;
        let good = head.split(' ').nth(1) == Some("200");
        anyhow::ensure!(good, "{path}: {answer}");
        Ok(body.to_owned())
    }

    /// Waits until `/metrics` has this line.
    ///
    /// # Errors
    /// If that takes longer than `timeout`; the error includes the last metrics.
    pub async fn metric(&self, line: &str, timeout: Duration) -> Result<()> {
        wait::poll(&format!("the metric {line}"), timeout, || async {
            let metrics = self.served("/metrics").await?;
            let found = metrics.lines().any(|one| one == line);
            anyhow::ensure!(found, "{metrics}");
            Ok(())
        })
        .await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// If that takes longer than `timeout`; the error includes the end of its output.
    pub async fn end(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.process.name());
        let log = self.process.log().to_owned();
        let process = std::sync::Mutex::new(&mut self.process);
        wait::poll(&what, timeout, || async {
            let ended = process.lock().ok().and_then(|mut process| process.exited());
            ended.with_context(|| {
                format!("it printed:\n{}", process::tail(&log, process::TAIL_LINES))
            })
        })
        .await
    }

    /// Returns the exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Pauses it, as when its machine freezes.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Resumes it.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    /// Signals it to end, waits, and kills it after a grace period.
    pub fn stop(mut self) {
        self.process.stop();
    }

    /// Kills it, as a crash does.
    pub fn kill(mut self) {
        self.process.kill();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.show_log_if_panicking();
    }
}

/// Applies `deploy/base`, and returns a kubeconfig with a token of the approver's ServiceAccount.
///
/// # Errors
/// If the API server refuses.
pub async fn approver_kubeconfig(control_plane: &ControlPlane) -> Result<PathBuf> {
    apply_deploy(control_plane).await?;
    let (namespace, name) = APPROVER;
    control_plane
        .service_account_kubeconfig(namespace, name)
        .await
}

/// Applies every manifest in `deploy/base/kustomization.yaml`, after creating their prerequisites. The Deployment
/// creates no pod here, without a scheduler.
///
/// # Errors
/// If the API server refuses.
pub async fn apply_deploy(control_plane: &ControlPlane) -> Result<()> {
    crate::machines::install(control_plane).await?;
    apply_kustomization(control_plane, &deploy()).await
}

/// Applies every manifest of a component in `deploy/components`.
///
/// # Errors
/// If the API server refuses.
pub async fn apply_component(control_plane: &ControlPlane, component: &str) -> Result<()> {
    let folder = deploy().join("../components").join(component);
    apply_kustomization(control_plane, &folder).await
}

async fn apply_kustomization(control_plane: &ControlPlane, folder: &Path) -> Result<()> {
    for manifest in kustomization(folder)?.resources {
        control_plane.apply_file(&folder.join(manifest)).await?;
    }
    Ok(())
}

/// Writes the deployed configuration to a file, as the Deployment mounts it.
///
/// # Errors
/// If it has not been deployed ([`apply_deploy`]) or the file cannot be written.
pub async fn deployed_config(control_plane: &ControlPlane) -> Result<PathBuf> {
    let (namespace, name) = APPROVER;
    let maps: Api<ConfigMap> = Api::namespaced(control_plane.admin(), namespace);
    let map = maps
        .get(name)
        .await
        .context("the approver's configuration is not deployed")?;
    let text = map
        .data
        .unwrap_or_default()
        .remove(CONFIG)
        .context("the configuration is empty")?;
    let file = control_plane.dir().join(format!("deployed-{CONFIG}"));
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Writes a configuration of the approver that differs from the defaults by these fields, and returns its path for
/// `--config`.
///
/// # Errors
/// If the file cannot be written.
pub fn config_with(control_plane: &ControlPlane, fields: &str) -> Result<String> {
    let file = control_plane.dir().join("config-of-the-test.yaml");
    std::fs::write(&file, config_text(fields))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file.display().to_string())
}

/// The text of a configuration that differs from the defaults by these fields.
pub fn config_text(fields: &str) -> String {
    format!("apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n{fields}\n")
}

fn kustomization(folder: &Path) -> Result<Kustomization> {
    let path = folder.join("kustomization.yaml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} names no resources", path.display()))
}

/// The fields of a kustomization that are used here.
#[derive(Deserialize)]
struct Kustomization {
    resources: Vec<String>,
}
