//! What is asked of kubelets for a scene of a live cluster: the CA of their certificates, and what they serve.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use kube::Client;
use rollcall_approver_core::{Change, Dial, Feed};
use rollcall_csr::{NodeName, Signer};
use tokio::time::timeout;

use super::print::complain;
use super::scene::{Entry, Scene};
use crate::dial::{DIALS, Dialer};
use crate::kubelet_ca::{CaMap, is_openshift};
use crate::kubelets::{CaSource, Kubelets, authorities};
use crate::listing::{self, CALL_LIMIT};
use crate::node_lease;

/// Reads the kubelet CA where a pending request could be judged by it.
pub(super) async fn read_ca(scene: &mut Scene, client: &Client, sources: &[CaSource]) {
    let serving = |entry: &Entry| {
        let pending = |known: &rollcall_approver_core::Request| {
            known.is_pending() && known.signer == Signer::KubeletServing
        };
        entry.known.as_ref().is_some_and(|known| pending(&known.0))
    };
    if !scene.entries.iter().any(serving) {
        return;
    }
    let now = Timestamp::now();
    for change in ca(client, sources).await {
        scene.cluster.apply(change, now);
    }
}

/// What the sources say of the kubelet CA. What cannot be read is told.
pub(super) async fn ca(client: &Client, sources: &[CaSource]) -> Vec<Change> {
    let mut all = Vec::new();
    for source in sources {
        if source.is_openshifts() {
            let openshift = timeout(CALL_LIMIT, is_openshift(client)).await;
            // Whoever does not answer this answers nothing else either, and that is told.
            if !openshift.unwrap_or_default() {
                continue;
            }
        }
        match ca_of(source, client).await {
            Ok(changes) => all.extend(changes),
            Err(error) => {
                let feed = Feed::KubeletCa(source.to_string());
                complain("warning", &format!("{feed} cannot be read: {error}"));
            }
        }
    }
    all
}

async fn ca_of(source: &CaSource, client: &Client) -> anyhow::Result<Vec<Change>> {
    if let CaSource::File(path) = source {
        let (authorities, wrong) = authorities(&tokio::fs::read(path).await?);
        for sentence in wrong {
            complain("warning", &format!("{}: {sentence}", path.display()));
        }
        return Ok(vec![Change::KubeletCa(source.to_string(), authorities)]);
    }
    match CaMap::of(source) {
        Some(watched) => listing::everything(&watched, client).await,
        None => Ok(Vec::new()),
    }
}

/// Dials every node that a pending request waits for, or says how many there are.
pub(super) async fn ask(scene: &mut Scene, kubelets: &Kubelets, dial: bool) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let mut dials: Vec<Dial> = Vec::new();
    for entry in &scene.entries {
        let decision = scene.decision(entry, now);
        let wanted = decision.and_then(|decision| decision.dial().cloned());
        dials.extend(wanted.filter(|wanted| !dials.contains(wanted)));
    }
    if dials.is_empty() {
        return Ok(());
    }
    if !dial {
        complain(
            "note",
            &format!(
                "what {} nodes serve now could vouch for the names that they ask for, and was not looked at; the approver \
                 dials them, and so does this command with --dial",
                dials.len()
            ),
        );
        return Ok(());
    }
    let dialer = Dialer::new(kubelets.port)?;
    let answers = dials.into_iter().map(|dial| {
        let dialer = dialer.clone();
        async move {
            let served = dialer.dial(&dial).await;
            Change::Served(dial.node, served)
        }
    });
    take_in(scene, answers).await;
    Ok(())
}

/// Waits for answers, many at a time, and takes them in.
async fn take_in(scene: &mut Scene, answers: impl Iterator<Item = impl Future<Output = Change>>) {
    let answers = stream::iter(answers).buffer_unordered(DIALS);
    let answers: Vec<Change> = answers.collect().await;
    let now = Timestamp::now();
    for answer in answers {
        scene.cluster.apply(answer, now);
    }
}

/// Asks for the Lease of every Node that a pending request waits for.
pub(super) async fn ask_for_leases(scene: &mut Scene, client: &Client) {
    let now = Timestamp::now();
    let decisions = scene
        .entries
        .iter()
        .filter_map(|entry| scene.decision(entry, now));
    let nodes: BTreeSet<NodeName> = decisions
        .filter_map(|decision| decision.lease().cloned())
        .collect();
    let answers = nodes
        .into_iter()
        .map(|node| node_lease::ask(client.clone(), node));
    take_in(scene, answers).await;
}
