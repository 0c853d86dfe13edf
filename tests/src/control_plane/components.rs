//! The individual components: started, stopped, killed and restarted while the others run.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::{ControlPlane, hold};
use crate::process::Process;
use crate::{api_server, controller_manager, etcd, wait};

/// The timeout for a component to start. Three seconds are usual; a machine that compiles in parallel is slow.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// The interval of readiness checks of a starting API server. There is nothing to watch yet.
const POLL: Duration = Duration::from_millis(20);

impl ControlPlane {
    /// The process ids of the running etcd, kube-apiserver and kube-controller-manager.
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.etcd, &self.api_server, &self.controller_manager]
            .into_iter()
            .filter_map(|slot| hold(slot).as_ref().map(Process::id))
            .collect()
    }

    /// Stops kube-apiserver, with two seconds of grace. Its port stays reserved and its data stays in etcd.
    ///
    /// # Errors
    /// If the thread that waits for its end panics.
    pub async fn stop_api_server(&self) -> Result<()> {
        stop(&self.api_server).await
    }

    /// Kills kube-apiserver, as a crash does. Its port stays reserved and its data stays in etcd.
    pub fn kill_api_server(&self) {
        if let Some(mut process) = hold(&self.api_server).take() {
            process.kill();
        }
    }

    /// Pauses kube-apiserver, as when its machine freezes. Connections stay open.
    pub fn pause_api_server(&self) {
        if let Some(process) = hold(&self.api_server).as_mut() {
            process.pause();
        }
    }

    /// Resumes kube-apiserver.
    pub fn resume_api_server(&self) {
        if let Some(process) = hold(&self.api_server).as_mut() {
            process.resume();
        }
    }

    /// Starts kube-apiserver, on the same port and with the same data, and returns once it is ready. If it runs
    /// already, only waits for that.
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

    /// Stops kube-controller-manager: nothing is signed until it is restarted.
    ///
    /// # Errors
    /// If the thread that waits for its end panics.
    pub async fn stop_controller_manager(&self) -> Result<()> {
        stop(&self.controller_manager).await
    }

    /// Starts kube-controller-manager if it is not running; does not wait for it.
    ///
    /// # Errors
    /// If its identity cannot be created, or the program cannot be started.
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
            &self.options.controller_manager_flags,
        );
        *slot = Some(self.spawn("kube-controller-manager", &command)?);
        Ok(())
    }

    pub(super) fn start_etcd(&self) -> Result<()> {
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

    /// Waits for a ServiceAccount in each namespace, the first thing that the controllers create: then they work.
    pub(super) async fn wait_for_controllers(&self) -> Result<()> {
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

    /// Returns an error if the process in `slot` has ended.
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

fn http_readyz() -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get("/readyz").body(Vec::new())?)
}
