//! The content of the bootstrap kubeconfig: the API server, its CA, and the bootstrap credential.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::config::{AuthInfo, Cluster, KubeConfigOptions};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;

use crate::certificate;
use crate::credential::{self, Credential, CredentialError};
use crate::kubeconfig::{self, Data, Selected, Unusable};

/// The connect timeout. Shorter than the longest pause between retries, so that dropped packets delay no more than a
/// refused connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster to join, as the bootstrap kubeconfig describes it.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The CA certificates, as DER; empty if the operating system's CAs are trusted.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The source of the CA, for messages.
    pub authority_name: String,
    /// The cluster entry, copied into kubelet's kubeconfig.
    pub cluster: Cluster,
    /// The kubeconfig file.
    pub file: PathBuf,
    /// The URL of the API server.
    pub server: String,
    selected: Selected,
}

impl Bootstrap {
    /// Reads the kubeconfig and the files that it references, except the credential. No network.
    ///
    /// # Errors
    /// The first entry that is missing, invalid or insecure.
    pub fn read(file: &Path) -> Result<Self, BootstrapError> {
        Self::from_file(file).map_err(|problem| BootstrapError {
            file: file.to_owned(),
            problem,
        })
    }

    fn from_file(file: &Path) -> Result<Self, Problem> {
        let selected = kubeconfig::read(file)?;
        let server = check_server(&selected.cluster)?;
        let data = selected.certificate_authority()?;
        let (authorities, authority_name) = match data {
            None => (Vec::new(), "the operating system's store".to_owned()),
            Some(Data {
                contents: pem,
                file: from,
            }) => {
                let name = from.as_deref().unwrap_or(file);
                let authorities = certificate::certificates(&pem).unwrap_or_default();
                if authorities.is_empty() {
                    return Err(Problem::NoAuthority(name.to_owned()));
                }
                (authorities, name.display().to_string())
            }
        };
        Ok(Self {
            authorities,
            authority_name,
            cluster: selected.cluster.clone(),
            file: file.to_owned(),
            server,
            selected,
        })
    }

    /// Returns the bootstrap credential.
    ///
    /// # Errors
    /// If it is missing or cannot be read.
    pub fn credential(&self) -> Result<Credential, BootstrapError> {
        Credential::of(&self.selected, &self.file).map_err(|error| BootstrapError {
            file: self.file.clone(),
            problem: Problem::Credential(error),
        })
    }

    /// Returns true if the credential comes from a program that the kubeconfig names.
    pub fn runs_program(&self) -> bool {
        credential::runs_program(&self.selected)
    }

    /// Creates a client that uses the bootstrap credential. Does not connect yet.
    ///
    /// # Errors
    /// If the credential or the API server's URL is unusable.
    pub async fn client(&self) -> Result<Client, BootstrapError> {
        self.client_as(self.selected.user.clone()).await
    }

    /// Creates a client that uses a certificate and its key, both in PEM.
    ///
    /// # Errors
    /// As [`Bootstrap::client`].
    pub async fn client_with(
        &self,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<Client, BootstrapError> {
        self.client_as(AuthInfo {
            client_certificate_data: Some(STANDARD.encode(certificate)),
            client_key_data: Some(STANDARD.encode(key).into()),
            ..AuthInfo::default()
        })
        .await
    }

    async fn client_as(&self, user: AuthInfo) -> Result<Client, BootstrapError> {
        let mut all = self.selected.all.clone();
        for named in &mut all.auth_infos {
            named.auth_info = Some(user.clone());
        }
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(all, &options)
            .await
            .map_err(|error| self.unusable(&error))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // The agent retries by its own rules, and logs that.
        config.default_retry = false;
        // kube also reads a proxy from the environment; `check_server` refused the one in the file.
        config.proxy_url = None;
        Client::try_from(config).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &dyn std::error::Error) -> BootstrapError {
        BootstrapError {
            file: self.file.clone(),
            problem: Problem::Client(error.to_string()),
        }
    }
}

fn check_server(cluster: &Cluster) -> Result<String, Problem> {
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(Problem::Insecure);
    }
    if let Some(proxy) = cluster.proxy_url.clone().filter(|url| !url.is_empty()) {
        return Err(Problem::Proxy(proxy));
    }
    let server = cluster
        .server
        .clone()
        .filter(|server| !server.is_empty())
        .ok_or(Problem::NoServer)?;
    let uri: Uri = server
        .parse()
        .map_err(|_| Problem::NotAUrl(server.clone()))?;
    match uri.scheme_str() {
        Some("https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(server),
        Some("http") => Err(Problem::NotHttps(server)),
        _ => Err(Problem::NotAUrl(server)),
    }
}

/// An unusable bootstrap kubeconfig.
#[derive(Debug, thiserror::Error)]
#[error("the bootstrap kubeconfig {} {problem}", file.display())]
pub struct BootstrapError {
    /// The kubeconfig.
    pub file: PathBuf,
    /// The problem with it.
    pub problem: Problem,
}

/// A problem with a bootstrap kubeconfig. The text follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No client can be created from it.
    #[error("cannot be used: {0}")]
    Client(String),
    /// The credential is missing or unreadable.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The kubeconfig disables TLS verification.
    #[error(
        "sets insecure-skip-tls-verify, so anyone in between could take the credential and give this machine any \
         identity; put the cluster's CA into certificate-authority-data instead"
    )]
    Insecure,
    /// The CA file contains no certificate.
    #[error("takes its certificate authority from {}, where there is no CA certificate in PEM", .0.display())]
    NoAuthority(PathBuf),
    /// The cluster has no server.
    #[error("names no server; set the URL of the API server in its cluster entry")]
    NoServer,
    /// The server is not a URL.
    #[error("names the server {0:?}, which is not a URL like https://api.example.com:6443")]
    NotAUrl(String),
    /// The server's URL is not https.
    #[error("names the server {0}, to which the credential would go unencrypted; use https")]
    NotHttps(String),
    /// The credential comes from a program.
    #[error(
        "names a program that gives the credential (exec or auth-provider), and the agent runs as root; put a token or a \
         client certificate into it, or say --allow-exec"
    )]
    Program,
    /// The kubeconfig sets a proxy.
    #[error("demands the proxy {0}, but the agent connects directly only")]
    Proxy(String),
    /// The file itself is unusable.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}
