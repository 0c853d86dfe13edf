//! One running control plane: how it starts, how parts of it are stopped and started again, and how it ends.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use crate::assets::Assets;
use crate::kubeconfig::{self, Credentials, write_private};
use crate::lease::Port;
use crate::node::Relay;
use crate::options::Options;
use crate::pki::{Authority, CertificateProfile, IssuedCertificate};
use crate::process::{self, Process};
use crate::scratch::Scratch;
use crate::{api_server, controller_manager, etcd, wait};

/// How long a component may take until it serves. Three seconds are usual; a machine that compiles as well is slow.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// How often an API server that starts is asked whether it is ready. There is nothing to watch yet.
const POLL: Duration = Duration::from_millis(20);

/// How often a start is tried when something else on the machine has taken a port in between.
const ATTEMPTS: usize = 3;

/// Set to anything: when a test panics, the end of each component's log goes to standard error.
pub(crate) const LOGS_VARIABLE: &str = "ROLLCALL_LOGS";

/// The names under which the API server's certificate is valid, as kubeadm has them.
const API_SERVER_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. All of it ends with this value.
pub struct ControlPlane {
    // Dropped in this order; `drop` has stopped them side by side before.
    controller_manager: Mutex<Option<Process>>,
    api_server: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
    relay: Option<Relay>,
    admin: kube::Client,
    authority: Authority,
    assets: Assets,
    options: Options,
    ports: Ports,
    scratch: Scratch,
}

/// The ports of one control plane, which nobody else gets while it lives.
#[derive(Debug)]
struct Ports {
    api_server: Port,
    etcd_client: Port,
    etcd_peer: Port,
}

impl ControlPlane {
    /// Starts a control plane with the default [`Options`], and returns once it serves and its controllers work.
    ///
    /// # Errors
    /// If the programs cannot be found or built, or if one of them does not start: then with the end of its log.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts a control plane.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_with(options: Options) -> Result<Self> {
        let assets = match options.assets.clone() {
            Some(assets) => assets,
            None => tokio::task::spawn_blocking(|| Assets::locate(progress_on_standard_error))
                .await
                .context("the search for the Kubernetes programs panicked")??,
        };
        for _ in 1..ATTEMPTS {
            match Self::attempt(assets.clone(), options.clone()).await {
                Err(error) if port_was_taken(&error) => {
                    tracing::warn!("a port was taken meanwhile; starting again")
                }
                result => return result,
            }
        }
        Self::attempt(assets, options).await
    }

    async fn attempt(assets: Assets, options: Options) -> Result<Self> {
        let begin = Instant::now();
        let scratch = Scratch::create()?;
        for directory in ["logs", "pki", "kubeconfigs"] {
            let directory = scratch.path().join(directory);
            std::fs::create_dir(&directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let ports = Ports {
            api_server: Port::take()?,
            etcd_client: Port::take()?,
            etcd_peer: Port::take()?,
        };
        let authority = Authority::generate("kubernetes")?;
        write_pki(&scratch.path().join("pki"), &authority, &options)?;
        let administrator = Credentials::Certificate(authority.issue(
            &CertificateProfile::client("kubernetes-admin", &["system:masters"]),
        )?);
        let server = loopback_url(&ports);
        let admin_config =
            kubeconfig::kubeconfig(&server, authority.certificate_pem(), &administrator);
        kubeconfig::write(
            &scratch.path().join("kubeconfigs").join("admin"),
            &admin_config,
        )?;
        let admin = kubeconfig::client(admin_config).await?;
        let relay = match options.node_address {
            Some(address) => Some(Relay::start(address, ports.api_server.number()).await?),
            None => None,
        };
        let control_plane = Self {
            controller_manager: Mutex::new(None),
            api_server: Mutex::new(None),
            etcd: Mutex::new(None),
            relay,
            admin,
            authority,
            assets,
            options,
            ports,
            scratch,
        };
        control_plane.start_etcd()?;
        control_plane.start_api_server().await?;
        control_plane.start_controller_manager()?;
        control_plane.wait_for_controllers().await?;
        tracing::info!(elapsed = ?begin.elapsed(), server = control_plane.server(), "the control plane serves");
        Ok(control_plane)
    }

    /// The URL of the API server on loopback.
    pub fn server(&self) -> String {
        loopback_url(&self.ports)
    }

    /// The URL that machines use: reachable from a node's network if there is one ([`Options::reachable_at`]), the one
    /// on loopback otherwise. It works on the host in both cases.
    pub fn machine_server(&self) -> String {
        self.relay
            .as_ref()
            .map_or_else(|| self.server(), Relay::url)
    }

    /// The folder that everything of this control plane lives in. It is removed at the end.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// The folder with one log file per program.
    pub fn logs_dir(&self) -> PathBuf {
        self.dir().join("logs")
    }

    /// The certificate of the cluster's authority, PEM.
    pub fn ca_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// The file with the certificate of the cluster's authority.
    pub fn ca_file(&self) -> PathBuf {
        self.dir().join("pki").join("ca.crt")
    }

    /// The programs that this control plane runs.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// A client that may do everything.
    pub fn admin(&self) -> kube::Client {
        self.admin.clone()
    }

    /// The kubeconfig of a user who may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfigs").join("admin")
    }

    /// A certificate of the cluster's authority: any name, any group, any validity.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_certificate(&self, profile: &CertificateProfile) -> Result<IssuedCertificate> {
        self.authority.issue(profile)
    }

    /// The process numbers of what runs now: etcd, kube-apiserver, kube-controller-manager.
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.etcd, &self.api_server, &self.controller_manager]
            .into_iter()
            .filter_map(|slot| hold(slot).as_ref().map(Process::id))
            .collect()
    }

    /// Stops kube-apiserver, politely for two seconds. Its port stays reserved and its data stays in etcd.
    ///
    /// # Errors
    /// If the thread that waits for its end panics.
    pub async fn stop_api_server(&self) -> Result<()> {
        stop(&self.api_server).await
    }

    /// Ends kube-apiserver at once, as a crash does. Its port stays reserved and its data stays in etcd.
    pub fn kill_api_server(&self) {
        if let Some(mut process) = hold(&self.api_server).take() {
            process.kill();
        }
    }

    /// Starts kube-apiserver, on the same port and with the same data, and returns once it is ready. Does nothing more
    /// than wait for that if it runs.
    ///
    /// # Errors
    /// If it ends early or is not ready in time, with the end of its log.
    pub async fn start_api_server(&self) -> Result<()> {
        {
            let mut slot = hold(&self.api_server);
            if slot.is_none() {
                let pki = self.dir().join("pki");
                let etcd = self.ports.etcd_client.number();
                let port = self.ports.api_server.number();
                let command = api_server::command(
                    &self.assets,
                    &pki,
                    etcd,
                    port,
                    &self.options.api_server_flags,
                );
                *slot = Some(self.spawn("kube-apiserver", &command)?);
            }
        }
        let deadline = Instant::now().checked_add(START_DEADLINE);
        while !self.is_ready().await {
            self.check(&self.etcd)?;
            self.check(&self.api_server)?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(failure(
                    &self.api_server,
                    &format!("was not ready after {START_DEADLINE:?}"),
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops kube-apiserver and starts it again.
    ///
    /// # Errors
    /// As [`ControlPlane::start_api_server`].
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server().await?;
        self.start_api_server().await
    }

    /// Stops kube-controller-manager: nothing is signed until it is started again.
    ///
    /// # Errors
    /// If the thread that waits for its end panics.
    pub async fn stop_controller_manager(&self) -> Result<()> {
        stop(&self.controller_manager).await
    }

    /// Starts kube-controller-manager if it does not run, and does not wait for it.
    ///
    /// # Errors
    /// If its identity cannot be made, or the program cannot be started.
    pub fn start_controller_manager(&self) -> Result<()> {
        let mut slot = hold(&self.controller_manager);
        if slot.is_some() {
            return Ok(());
        }
        let name = "system:kube-controller-manager";
        let kubeconfig = self.kubeconfig_as(name, &[])?;
        let command = controller_manager::command(
            &self.assets,
            &self.dir().join("pki"),
            &kubeconfig,
            self.options.cluster_signing_duration,
            self.options.csr_approving,
        );
        *slot = Some(self.spawn("kube-controller-manager", &command)?);
        Ok(())
    }

    /// Ends the control plane now rather than when the value goes out of scope, without blocking the runtime.
    ///
    /// # Errors
    /// If the thread that waits for the end panics.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || drop(self))
            .await
            .context("the end of the control plane panicked")
    }

    fn start_etcd(&self) -> Result<()> {
        let data = self.dir().join("etcd");
        let (client, peer) = (
            self.ports.etcd_client.number(),
            self.ports.etcd_peer.number(),
        );
        let command = etcd::command(&self.assets, &data, client, peer);
        *hold(&self.etcd) = Some(self.spawn("etcd", &command)?);
        Ok(())
    }

    fn spawn(&self, name: &str, command: &std::process::Command) -> Result<Process> {
        Process::spawn(name, command, &self.logs_dir().join(format!("{name}.log")))
    }

    async fn is_ready(&self) -> bool {
        let Ok(request) = http_readyz() else {
            return false;
        };
        self.admin.request_text(request).await.is_ok()
    }

    /// The first thing the controllers do by themselves is a ServiceAccount in each namespace: then they work.
    async fn wait_for_controllers(&self) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), "default");
        let works = wait::until(
            &accounts,
            "default",
            "its creation",
            START_DEADLINE,
            |found| found.is_some(),
        );
        tokio::pin!(works);
        loop {
            tokio::select! {
                result = &mut works => return result.map(drop),
                () = tokio::time::sleep(POLL) => self.check(&self.controller_manager)?,
            }
        }
    }

    /// An error if the process in `slot` has ended.
    fn check(&self, slot: &Mutex<Option<Process>>) -> Result<()> {
        let ended = match hold(slot).as_mut() {
            Some(process) => process.exited().is_some(),
            None => bail!(
                "a component of the control plane in {} was stopped meanwhile",
                self.dir().display()
            ),
        };
        if ended {
            return Err(failure(slot, "ended while it was being started"));
        }
        Ok(())
    }

    fn print_logs(&self) {
        use std::io::Write as _;
        let mut out = std::io::stderr().lock();
        for slot in [&self.etcd, &self.api_server, &self.controller_manager] {
            let guard = hold(slot);
            let Some(process) = guard.as_ref() else {
                continue;
            };
            let tail = process::tail(process.log(), process::TAIL_LINES);
            // Nothing is left to do if standard error is closed.
            drop(writeln!(
                out,
                "--- {} ({}):\n{tail}",
                process.name(),
                process.log().display()
            ));
        }
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ControlPlane")
            .field("server", &self.server())
            .field("dir", &self.dir())
            .finish()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(LOGS_VARIABLE).is_some() {
            self.print_logs();
        }
        // etcd is killed after those that talk to it: without it they would spend their grace retrying.
        let mut first = [
            hold(&self.controller_manager).take(),
            hold(&self.api_server).take(),
        ];
        process::stop_all(first.iter_mut().flatten());
        if let Some(mut etcd) = hold(&self.etcd).take() {
            etcd.kill();
        }
    }
}

/// The lock on a slot. A panic elsewhere leaves the process in it as usable as before.
fn hold(slot: &Mutex<Option<Process>>) -> MutexGuard<'_, Option<Process>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn stop(slot: &Mutex<Option<Process>>) -> Result<()> {
    let Some(process) = hold(slot).take() else {
        return Ok(());
    };
    tokio::task::spawn_blocking(move || drop(process))
        .await
        .context("the end of a component panicked")
}

fn failure(slot: &Mutex<Option<Process>>, what: &str) -> anyhow::Error {
    match hold(slot).as_mut() {
        Some(process) => process.failure(what),
        None => anyhow::anyhow!("a component of the control plane {what}"),
    }
}

/// etcd and kube-apiserver end at once with this message (Go's `syscall.EADDRINUSE`) if a port is taken.
fn port_was_taken(error: &anyhow::Error) -> bool {
    error.to_string().contains("address already in use")
}

fn loopback_url(ports: &Ports) -> String {
    format!("https://127.0.0.1:{}", ports.api_server.number())
}

fn http_readyz() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}

fn write_pki(directory: &Path, authority: &Authority, options: &Options) -> Result<()> {
    let addresses: Vec<IpAddr> = [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        .into_iter()
        .chain(options.node_address)
        .chain(options.san_ips.iter().copied())
        .collect();
    let server = CertificateProfile::server("kube-apiserver", &API_SERVER_NAMES, &addresses);
    let kubelet_client =
        CertificateProfile::client("kube-apiserver-kubelet-client", &["system:masters"]);
    let service_account =
        rcgen::KeyPair::generate().context("cannot generate the ServiceAccount key")?;
    authority.certificate().write(directory, "ca")?;
    authority.issue(&server)?.write(directory, "api-server")?;
    authority
        .issue(&kubelet_client)?
        .write(directory, "api-server-kubelet-client")?;
    write_private(
        &directory.join("service-account.pub"),
        &service_account.public_key_pem(),
    )?;
    write_private(
        &directory.join("service-account.key"),
        &service_account.serialize_pem(),
    )
}

/// A build takes minutes, and a test that is silent that long looks stuck.
fn progress_on_standard_error(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{line}"));
}
