//! The connection to the API server: whose credentials, and how long to wait.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rollcall_approver_core::{Policy, ServerName};
use rollcall_csr::ClusterId;
use tracing::info;

use crate::ConfigError;

/// How long the start of a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A client, and the namespace that its credentials belong to.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// What it says of the cluster.
    pub(crate) cluster: Known,
}

/// What a connection says of its cluster, whatever stands in the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// What the API server is reached by: no node may serve under it.
    pub(crate) api_servers: Vec<ServerName>,
    /// The CA certificates by which the API server is known, as those who prove something name them.
    pub(crate) ids: Vec<ClusterId>,
}

impl Known {
    /// Adds it to the settings of the decision.
    pub(crate) fn add_to(&self, policy: &mut Policy) {
        let api_servers = self.api_servers.iter().cloned();
        policy.serving.api_servers.extend(api_servers);
        policy.clusters.extend(&self.ids);
    }
}

impl Connection {
    /// Connects with a named kubeconfig, else as the pod, else as kubectl would.
    pub(crate) async fn open(kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        let config = load(kubeconfig).await?;
        info!(cluster = %config.cluster_url, "connecting");
        let namespace = config.default_namespace.clone();
        let authorities = config.root_cert.iter().flatten();
        let cluster = Known {
            api_servers: api_servers(&config),
            ids: authorities.map(|der| ClusterId::of_ca(der)).collect(),
        };
        Ok(Self {
            client: Client::try_from(config).context("cannot make a client")?,
            namespace,
            cluster,
        })
    }
}

/// How to connect: by a named kubeconfig, else as the pod, else as kubectl would.
pub(crate) async fn load(kubeconfig: Option<&Path>) -> Result<Config, ConfigError> {
    let loaded = match kubeconfig {
        Some(path) => match Kubeconfig::read_from(path) {
            Ok(file) => Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(|error| error.to_string())
                .and_then(check_authority),
            Err(error) => Err(error.to_string()),
        },
        None => Config::infer().await.map_err(|error| error.to_string()),
    };
    let name = match kubeconfig {
        Some(path) => path.display().to_string(),
        None => "of the pod or of $KUBECONFIG".to_owned(),
    };
    let mut config = loaded.map_err(|message| ConfigError::Kubeconfig { name, message })?;
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

/// An authority without any certificate would make every server look like an impostor, for ever.
fn check_authority(config: Config) -> Result<Config, String> {
    if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
        return Err("its certificate authority holds no certificate in PEM".to_owned());
    }
    Ok(config)
}

/// What the API server is reached by, as far as it is known here: by the connection itself and, in a pod, by the address
/// of the Service `kubernetes` (Kubernetes: the variables of Services, `pkg/kubelet/envvars`).
fn api_servers(config: &Config) -> Vec<ServerName> {
    let host = config.cluster_url.host().map(str::to_owned);
    let service = std::env::var("KUBERNETES_SERVICE_HOST").ok();
    let names = host.into_iter().chain(service);
    // The text of an IPv6 address stands in brackets in a URL. What is no name at all can be asked for by nobody.
    names
        .filter_map(|text| ServerName::read(text.trim_matches(['[', ']'])))
        .collect()
}

/// A name that no other process has, but that a restarted container of the same pod has again: then the Lease is its
/// own already, and nobody waits.
pub(crate) fn identity() -> String {
    match std::env::var("POD_UID") {
        Ok(pod) if !pod.is_empty() => pod,
        _ => {
            let now = jiff::Timestamp::now().as_microsecond();
            format!("{}-{}-{now}", host_name(), std::process::id())
        }
    }
}

/// The name of this host, in a pod the pod's; empty where the kernel does not tell.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_connection_is_what_the_api_server_is_reached_by() {
        for (url, name) in [
            ("https://192.0.2.1:6443", "192.0.2.1"),
            ("https://[2001:db8::1]:6443", "2001:db8::1"),
            ("https://API.example.com/prefix", "api.example.com"),
        ] {
            let config = Config::new(url.parse().unwrap());
            let name = ServerName::read(name).unwrap();
            assert!(api_servers(&config).contains(&name), "{url}");
        }
    }
}
