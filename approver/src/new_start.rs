//! Whether a new start would help: the API server answers a new connection, and not the one in use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use kube::Client;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::connect;
use crate::health::Health;

/// How long no call may be answered before it is seen whether a new connection is.
const DOUBT: Duration = Duration::from_secs(60);
/// The pause between two looks at that.
const LOOK: Duration = Duration::from_secs(15);
/// How long a new connection may take to be answered.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Looks whether the API server answers. Where it answers a new connection only, a new start is what helps: its CA, the
/// credentials or the address may have changed since the connection in use was made. Where it answers none, it is down, and
/// there is nothing to do but to wait.
///
/// # Errors
/// If a new start helps.
pub(crate) async fn watch_over(health: Health, kubeconfig: Option<PathBuf>) -> anyhow::Result<()> {
    loop {
        sleep(LOOK).await;
        if health.silent() < DOUBT || !answers_anew(kubeconfig.as_deref()).await {
            continue;
        }
        // An API server that has just come back answers the connection in use in a moment too.
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

/// Whether the API server answers a connection that is made from the files as they are now.
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
