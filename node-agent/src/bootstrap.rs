//! What the bootstrap kubeconfig gives: the API server, the CA it is trusted by, and the credential to ask with.

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

/// How long a connection may take to come about. Shorter than the pause between tries may get, so that a black hole
/// does not look worse than a refusal.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster to join, as the bootstrap kubeconfig describes it.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The CA certificates, as DER; none when the operating system's CAs are to be trusted.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Where the CA is written down, for sentences.
    pub authority_name: String,
    /// The cluster entry, from which kubelet's kubeconfig is made.
    pub cluster: Cluster,
    /// The kubeconfig file.
    pub file: PathBuf,
    /// The URL of the API server.
    pub server: String,
    selected: Selected,
}

impl Bootstrap {
    /// Reads the kubeconfig and everything that it names but the credential. No network.
    ///
    /// # Errors
    /// The first thing that is missing, wrong or insecure.
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

    /// The credential to ask with.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn credential(&self) -> Result<Credential, BootstrapError> {
        Credential::of(&self.selected, &self.file).map_err(|error| BootstrapError {
            file: self.file.clone(),
            problem: Problem::Credential(error),
        })
    }

    /// Whether a client that asks with the bootstrap credential runs a program for it.
    pub fn runs_program(&self) -> bool {
        credential::runs_program(&self.selected)
    }

    /// A client that asks with the bootstrap credential. No network yet.
    ///
    /// # Errors
    /// When the credential cannot be used, or the API server's URL cannot.
    pub async fn client(&self) -> Result<Client, BootstrapError> {
        self.client_as(self.selected.user.clone()).await
    }

    /// A client that asks with a certificate and its key, both in PEM.
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
        // The agent waits and tries again by its own rules, and says so.
        config.default_retry = false;
        // kube takes a proxy from the environment, too; `check_server` refused the one that the file can name.
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

/// A bootstrap kubeconfig that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the bootstrap kubeconfig {} {problem}", file.display())]
pub struct BootstrapError {
    /// The kubeconfig.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a bootstrap kubeconfig. Reads as what follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No client can be made of it.
    #[error("cannot be used: {0}")]
    Client(String),
    /// The credential is missing or unreadable.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// It turns verification off.
    #[error(
        "sets insecure-skip-tls-verify, so anyone in between could take the credential and give this machine any \
         identity; put the cluster's CA into certificate-authority-data instead"
    )]
    Insecure,
    /// A CA without a certificate.
    #[error("takes its certificate authority from {}, where there is no CA certificate in PEM", .0.display())]
    NoAuthority(PathBuf),
    /// The cluster has no server.
    #[error("names no server; set the URL of the API server in its cluster entry")]
    NoServer,
    /// The server is no URL.
    #[error("names the server {0:?}, which is not a URL like https://api.example.com:6443")]
    NotAUrl(String),
    /// The server would be asked in the clear.
    #[error("names the server {0}, to which the credential would go unencrypted; use https")]
    NotHttps(String),
    /// It names a program to run.
    #[error(
        "names a program that gives the credential (exec or auth-provider), and the agent runs as root; put a token or a \
         client certificate into it, or say --allow-exec"
    )]
    Program,
    /// The file demands a proxy.
    #[error("demands the proxy {0}, but the agent connects directly only")]
    Proxy(String),
    /// The file itself is unusable.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}
