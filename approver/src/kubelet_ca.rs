//! The feeds of the kubelet CA: ConfigMaps and files with the CA certificates that verify the serving certificates of nodes.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{Authority, Change, Feed};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::engine::Input;
use crate::errors::describe;
use crate::feed::{self, Watched};
use crate::kubelets::{CaSource, authorities};
use crate::tasks::Tasks;

/// The API group that exists only on OpenShift.
const OPENSHIFT_GROUP: &str = "config.openshift.io";
/// The pause before the API server is asked again for its API groups.
const RETRY: Duration = Duration::from_secs(5);
/// The interval at which a file is read: kubelet updates a ConfigMap in a pod within about a minute.
const FILE_PERIOD: Duration = Duration::from_secs(30);

/// Starts a feed for each source.
pub(crate) fn watch_all(
    tasks: &mut Tasks,
    client: &Client,
    sources: &[CaSource],
    news: &mpsc::Sender<Input>,
) {
    for source in sources {
        match CaMap::of(source) {
            Some(watched) => {
                let (client, openshifts) = (client.clone(), source.is_openshifts());
                let news = news.clone();
                tasks.once("kubelet CA", async move {
                    if !openshifts || is_openshift(&client).await {
                        feed::run(watched, client, news).await;
                    }
                });
            }
            None => {
                if let CaSource::File(path) = source {
                    let (path, source) = (path.clone(), source.to_string());
                    let read = follow_file(path, source, news.clone());
                    tasks.once("kubelet CA", read);
                }
            }
        }
    }
}

/// Returns true if this is an OpenShift cluster. Retries until there is an answer.
pub(crate) async fn is_openshift(client: &Client) -> bool {
    loop {
        match client.list_api_groups().await {
            Ok(list) => {
                return list
                    .groups
                    .iter()
                    .any(|group| group.name == OPENSHIFT_GROUP);
            }
            Err(error) => debug!(error = describe(&error), "the API groups cannot be listed"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// One ConfigMap that may hold CA certificates.
pub(crate) struct CaMap {
    source: String,
    namespace: String,
    name: String,
    key: String,
}

impl CaMap {
    /// The ConfigMap of a source, if it is one.
    pub(crate) fn of(source: &CaSource) -> Option<Self> {
        match source {
            CaSource::ConfigMap {
                namespace,
                name,
                key,
            } => Some(Self {
                source: source.to_string(),
                namespace: namespace.clone(),
                name: name.clone(),
                key: key.clone(),
            }),
            CaSource::File(_) => None,
        }
    }

    fn news(&self, authorities: Vec<Authority>) -> Change {
        Change::KubeletCa(self.source.clone(), authorities)
    }
}

impl Watched for CaMap {
    type Resource = ConfigMap;
    type Key = String;
    /// The CA certificates of the ConfigMap.
    type Memory = Vec<Authority>;

    fn feed(&self) -> Feed {
        Feed::KubeletCa(self.source.clone())
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<ConfigMap>> {
        Ok(Api::namespaced(client.clone(), &self.namespace))
    }

    fn fields(&self) -> Option<String> {
        Some(format!("metadata.name={}", self.name))
    }

    fn put(&self, memory: &mut Self::Memory, object: ConfigMap) -> Option<(String, Input)> {
        let name = object.name_any();
        let text = object.data.and_then(|mut data| data.remove(&self.key));
        *memory = understand(&self.source, text.unwrap_or_default().as_bytes());
        Some((name, Input::Change(self.news(memory.clone()))))
    }

    fn gone(&self, memory: &mut Self::Memory, _object: &ConfigMap) -> Option<Change> {
        memory.clear();
        Some(self.news(Vec::new()))
    }

    fn all(&self, memory: &mut Self::Memory, present: HashSet<String>) -> Change {
        if present.is_empty() {
            memory.clear();
        }
        self.news(memory.clone())
    }
}

/// The CA certificates of a text. Invalid ones are logged and left out.
fn understand(source: &str, pem: &[u8]) -> Vec<Authority> {
    let (authorities, wrong) = authorities(pem);
    for sentence in wrong {
        warn!(source, "a part of the kubelet CA is left out: {sentence}");
    }
    info!(
        source,
        certificates = authorities.len(),
        "the kubelet CA was read"
    );
    authorities
}

/// Reads a file periodically, until the receiver is dropped.
async fn follow_file(path: impl AsRef<Path>, source: String, news: mpsc::Sender<Input>) {
    let mut known: Option<Vec<u8>> = None;
    let mut told = None;
    loop {
        let feed = || Feed::KubeletCa(source.clone());
        let mut changes = Vec::new();
        match tokio::fs::read(path.as_ref()).await {
            Ok(bytes) => {
                if told.take().is_some() {
                    info!(source, "the file can be read again");
                }
                if known.as_ref() != Some(&bytes) {
                    let authorities = understand(&source, &bytes);
                    changes.push(Change::KubeletCa(source.clone(), authorities));
                    known = Some(bytes);
                }
                changes.push(Change::Synced(feed()));
            }
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    error!(source, error = text, "the kubelet CA cannot be read");
                    told = Some(text);
                }
                changes.push(Change::Lost(feed(), Timestamp::now()));
            }
        }
        for change in changes {
            if news.send(Input::Change(change)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(FILE_PERIOD).await;
    }
}

#[cfg(test)]
#[path = "kubelet_ca_tests.rs"]
mod tests;
