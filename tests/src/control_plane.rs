//! A running control plane: its start, its end, and the stop and restart of its parts.

mod components;
mod files;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::assets::{self, Assets};
use crate::kubeconfig::{self, Credentials};
use crate::lease::Port;
use crate::node::Relay;
use crate::options::Options;
use crate::pki::{Authority, CertificateProfile, IssuedCertificate};
use crate::process::{self, Process};
use crate::scratch::Scratch;

/// The number of attempts to start if another process takes a port in between.
const ATTEMPTS: usize = 3;

/// A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. All processes end with this
/// value.
pub struct ControlPlane {
    // Dropped in this order; `drop` has stopped them in parallel before.
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

/// The ports of one control plane, reserved while it lives.
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
    /// If the programs cannot be found or built, or if one of them does not start; the error includes the end of its
    /// log.
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
            None => tokio::task::spawn_blocking(|| Assets::locate(assets::progress))
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
        files::write_pki(&scratch.path().join("pki"), &authority, &options)?;
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

    /// The URL that machines use: reachable from a node's network if there is one ([`Options::reachable_at`]),
    /// otherwise on loopback. It works on the host in both cases.
    pub fn machine_server(&self) -> String {
        self.relay
            .as_ref()
            .map_or_else(|| self.server(), Relay::url)
    }

    /// The folder of this control plane. It is removed at the end.
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

    /// A client with all permissions.
    pub fn admin(&self) -> kube::Client {
        self.admin.clone()
    }

    /// The kubeconfig of a user with all permissions.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir().join("kubeconfigs").join("admin")
    }

    /// Issues a certificate of the cluster's authority, with any name, group and validity.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_certificate(&self, profile: &CertificateProfile) -> Result<IssuedCertificate> {
        self.authority.issue(profile)
    }

    /// Ends the control plane now instead of on drop, without blocking the runtime.
    ///
    /// # Errors
    /// If the thread that waits for the end panics.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || drop(self))
            .await
            .context("the end of the control plane panicked")
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
        for slot in [&self.etcd, &self.api_server, &self.controller_manager] {
            if let Some(process) = hold(slot).as_ref() {
                process.show_log_if_panicking();
            }
        }
        // etcd is killed after its clients: without it they would spend their grace period retrying.
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

/// Locks a slot. A panic elsewhere does not invalidate the process in it.
fn hold(slot: &Mutex<Option<Process>>) -> MutexGuard<'_, Option<Process>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns true if a port was in use: etcd and kube-apiserver then exit with this message (Go's `syscall.EADDRINUSE`).
fn port_was_taken(error: &anyhow::Error) -> bool {
    error.to_string().contains("address already in use")
}

fn loopback_url(ports: &Ports) -> String {
    format!("https://127.0.0.1:{}", ports.api_server.number())
}
