//! Detection of a state that a restart would fix: the API server answers a new connection, but not the one in use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use kube::Client;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::connect;
use crate::health::Health;

/// The time without any answered call after which a new connection is tried.
const DOUBT: Duration = Duration::from_secs(60);
/// The pause between two such checks.
const LOOK: Duration = Duration::from_secs(15);
/// The time within which a new connection must be answered.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Checks if the API server answers. If it answers only a new connection, a restart helps: its CA, the credentials or the
/// address may have changed since the current connection was made. If it does not answer either, it is down, and the
/// approver can only wait.
///
/// # Errors
/// If a restart helps.
pub(crate) async fn watch_over(health: Health, kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    loop {
        sleep(LOOK).await;
        if health.silent() < DOUBT || !answers_anew(kubeconfig.as_deref()).await {
            continue;
        }
        // An API server that has just recovered soon answers the connection in use too.
        sleep(LOOK).await;
        let silent = health.silent();
        if silent >= DOUBT {
            bail!(
                "the API server answers a new connection, but has answered nothing here for {} s: ending, so that a new \
                 start reads its CA and the credentials anew",
                silent.as_secs()
            );
        }
    }
}

/// Returns true if the API server answers a connection made from the current files.
async fn answers_anew(kubeconfig: Option<&Path>) -> bool {
    let asked = async {
        let config = connect::load(kubeconfig).await.ok()?;
        let client = Client::try_from(config).ok()?;
        match client.apiserver_version().await {
            Ok(_) | Err(kube::Error::Api(_)) => Some(()),
            Err(_) => None,
        }
    };
    let answered = matches!(timeout(CALL_LIMIT, asked).await, Ok(Some(())));
    if !answered {
        warn!("the API server answers neither the connection in use nor a new one");
    }
    answered
}
