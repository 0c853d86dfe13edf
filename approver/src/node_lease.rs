//! The Leases by which kubelets show that they run. All of them change every ten seconds, so they are not watched: only the
//! Lease that a decision needs is read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use rollcall_approver_core::Change;
use rollcall_csr::NodeName;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::engine::Input;
use crate::errors::describe;

/// The namespace of these Leases (Kubernetes: `core/v1` `NamespaceNodeLease`).
pub(crate) const NAMESPACE: &str = "kube-node-lease";
/// The limit of one call.
const LIMIT: Duration = Duration::from_secs(5);
/// The number of concurrent calls.
const CALLS: usize = 8;

/// The time at which a Lease was last renewed.
pub(crate) fn renewed(lease: &Lease) -> Option<Timestamp> {
    let time = lease.spec.as_ref()?.renew_time.as_ref()?;
    Some(time.0)
}

/// Reads the Lease of a Node.
pub(crate) async fn ask(client: Client, node: NodeName) -> Change {
    let api: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let answer = match timeout(LIMIT, api.get_opt(node.as_str())).await {
        Ok(Ok(lease)) => Ok(lease.as_ref().and_then(renewed)),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err(format!("no answer for {} s", LIMIT.as_secs())),
    };
    Change::NodeLease(node, answer)
}

/// Reads the Leases that the engine requests, each by one call at a time, and sends it the answers until the engine ends.
pub(crate) async fn run(
    client: Client,
    mut wanted: mpsc::UnboundedReceiver<NodeName>,
    news: mpsc::Sender<Input>,
) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(CALLS));
    let mut busy: HashSet<NodeName> = HashSet::new();
    let mut calls: JoinSet<(NodeName, Change)> = JoinSet::new();
    loop {
        tokio::select! {
            node = wanted.recv() => {
                let Some(node) = node else {
                    return Ok(());
                };
                if busy.insert(node.clone()) {
                    let (client, room) = (client.clone(), Arc::clone(&room));
                    calls.spawn(async move {
                        let _place = room.acquire_owned().await;
                        (node.clone(), ask(client, node).await)
                    });
                }
            }
            Some(ended) = calls.join_next() => {
                let (node, change) = ended.context("a call ended without an answer")?;
                busy.remove(&node);
                if news.send(Input::Change(change)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "node_lease_tests.rs"]
mod tests;
