//! The connection to the API server: its credentials and time limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rollcall_approver_core::{Policy, ServerName};
use rollcall_csr::ClusterId;
use rollcall_kubeconfig::Selected;
use tower::{BoxError, ServiceBuilder};
use tracing::info;

use crate::ConfigError;
use crate::health::Health;

/// The limit for the start of a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest silence of a connection while an answer is pending: longer than any watch may be silent (`feed.rs`).
const SILENCE: Duration = Duration::from_secs(40);
/// TCP keepalive: the idle time before the first probe, the interval and the number of probes. A vanished peer is detected
/// in half a minute.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// A client, and the namespace that its credentials belong to.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The facts about the cluster.
    pub(crate) cluster: Known,
}

/// The facts about a cluster that come from its connection, independent of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The names and addresses of the API server: no node may serve under them.
    pub(crate) api_servers: Vec<ServerName>,
    /// The CA certificates that identify the API server, in the form in which evidence names its cluster.
    pub(crate) ids: Vec<ClusterId>,
}

impl Known {
    /// Adds these facts to the settings of the decision.
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
        Self::with(config, |config| Ok(Client::try_from(config)?))
    }

    /// Connects for a program that runs for long: the client does not retry calls by itself, every call has a limit, and
    /// answers of the API server are recorded.
    pub(crate) async fn open_lasting(
        kubeconfig: Option<&Path>,
        health: Option<Health>,
    ) -> anyhow::Result<Self> {
        let config = load(kubeconfig).await?;
        Self::with(config, |config| lasting_client(config, health))
    }

    fn with(
        config: Config,
        client: impl FnOnce(Config) -> anyhow::Result<Client>,
    ) -> anyhow::Result<Self> {
        info!(cluster = %config.cluster_url, "connecting");
        let namespace = config.default_namespace.clone();
        let authorities = config.root_cert.iter().flatten();
        let cluster = Known {
            api_servers: api_servers(&config),
            ids: authorities.map(|der| ClusterId::of_ca(der)).collect(),
        };
        Ok(Self {
            client: client(config).context("cannot make a client")?,
            namespace,
            cluster,
        })
    }
}

/// A client without kube's own retries, which would continue an obsolete write; otherwise as
/// `kube::client::ClientBuilder` makes it, over connections that the kernel checks.
fn lasting_client(config: Config, health: Option<Health>) -> anyhow::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let (idle, interval, times) = KEEPALIVE;
    connector.set_keepalive(Some(idle));
    connector.set_keepalive_interval(Some(interval));
    connector.set_keepalive_retries(Some(times));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(Some(SILENCE));
    connector.set_reset_reader_on_write(true);
    connector.set_write_timeout(config.write_timeout);
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_response(move |response| {
            health.iter().for_each(Health::heard);
            response
        })
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// Loads the settings of the connection: a named kubeconfig, else the one that kubectl would use, else those of the pod.
pub(crate) async fn load(kubeconfig: Option<&Path>) -> Result<Config, ConfigError> {
    let all = match kubeconfig {
        Some(path) => vec![path.to_owned()],
        None => kubectls(),
    };
    let files: Vec<_> = all
        .iter()
        .filter(|file| kubeconfig.is_some() || file.exists())
        .cloned()
        .collect();
    let names: Vec<_> = all.iter().map(|path| path.display().to_string()).collect();
    let name = names.join(", ");
    let mut config = if files.is_empty() {
        Config::incluster().map_err(|error| {
            let message = format!(
                "there is no such file ($KUBECONFIG, or ~/.kube/config without it), and this is no pod: {error}"
            );
            ConfigError::Kubeconfig { name, message }
        })?
    } else {
        let loaded = from_files(&files).await.and_then(check_authority);
        loaded.map_err(|message| ConfigError::Kubeconfig { name, message })?
    };
    config.connect_timeout = Some(CONNECT);
    // kube takes a proxy from the environment; `check_cluster` refused the one that a file can name.
    config.proxy_url = None;
    Ok(config)
}

/// The existing kubeconfigs among those that kubectl would read.
fn kubectls() -> Vec<PathBuf> {
    let named = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
    let Some(list) = named else {
        let home = std::env::home_dir().unwrap_or_default();
        return vec![home.join(".kube/config")];
    };
    let files = std::env::split_paths(&list);
    files.filter(|file| !file.as_os_str().is_empty()).collect()
}

/// The current context of these files together. Of two entries of one name in two files the first counts.
async fn from_files(files: &[PathBuf]) -> Result<Config, String> {
    let mut all = Kubeconfig::default();
    for file in files {
        let next = rollcall_kubeconfig::read_all(file).map_err(|error| match files {
            [_] => error.to_string(),
            _ => format!("{} {error}", file.display()),
        })?;
        all = all.merge(next).map_err(|error| error.to_string())?;
    }
    let selected = rollcall_kubeconfig::select(&all).map_err(|error| error.to_string())?;
    check_cluster(&selected)?;
    // A CA in a file is read again when it changes, as the pod's own is.
    let cluster = selected.cluster;
    let in_file = cluster.certificate_authority_data.is_none();
    let authority = cluster.certificate_authority.filter(|_| in_file);
    let mut config = Config::from_custom_kubeconfig(selected.all, &KubeConfigOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    config.root_cert_file = authority.map(PathBuf::from);
    Ok(config)
}

/// Rejects a cluster entry that cannot authenticate the server, or that needs a feature which Rollcall does not have.
pub(crate) fn check_cluster(selected: &Selected) -> Result<(), String> {
    let cluster = &selected.cluster;
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(format!(
            "{}: is true, so the credential would go to anybody who answers; remove it and name the CA in \
             certificate-authority-data",
            selected.cluster_field("insecure-skip-tls-verify")
        ));
    }
    if let Some(proxy) = &cluster.proxy_url {
        return Err(format!(
            "{}: demands the proxy {proxy:?}, but Rollcall connects directly only, here and on machines; remove it",
            selected.cluster_field("proxy-url")
        ));
    }
    Ok(())
}

/// A CA file without any certificate would make the verification of every server fail, permanently.
fn check_authority(config: Config) -> Result<Config, String> {
    if config.root_cert.as_ref().is_some_and(Vec::is_empty) {
        return Err("its certificate authority holds no certificate in PEM".to_owned());
    }
    Ok(config)
}

/// The known names and addresses of the API server: those of the connection itself and, in a pod, the address of the Service
/// `kubernetes` (Kubernetes: the variables of Services, `pkg/kubelet/envvars`).
fn api_servers(config: &Config) -> Vec<ServerName> {
    let host = config.cluster_url.host().map(str::to_owned);
    let service = std::env::var("KUBERNETES_SERVICE_HOST").ok();
    let names = host.into_iter().chain(service);
    // An IPv6 address in a URL is in brackets. A text that is not a name cannot occur in a request.
    names
        .filter_map(|text| ServerName::read(text.trim_matches(['[', ']'])))
        .collect()
}

/// An identity that is unique to this process, but that a restarted container of the same pod has again: then the Lease is
/// its own already, without a wait.
pub(crate) fn identity() -> String {
    match std::env::var("POD_UID") {
        Ok(pod) if !pod.is_empty() => pod,
        _ => {
            let now = jiff::Timestamp::now().as_microsecond();
            format!("{}-{}-{now}", host_name(), std::process::id())
        }
    }
}

/// The host name, in a pod the name of the pod; empty if the kernel does not return it.
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
