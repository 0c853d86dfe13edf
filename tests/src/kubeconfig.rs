//! Kubeconfig files and clients from them, and files that only their owner may read.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};

use crate::pki::IssuedCertificate;

/// The name of the one cluster, user and context in each kubeconfig.
const NAME: &str = "rollcall";

/// The credential of a client.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A client certificate and its key.
    Certificate(IssuedCertificate),
    /// A bearer token.
    Token(String),
}

/// Returns a self-contained kubeconfig.
pub(crate) fn kubeconfig(server: &str, ca_pem: &str, credentials: &Credentials) -> Kubeconfig {
    let user = match credentials {
        Credentials::Certificate(certificate) => AuthInfo {
            client_certificate_data: Some(STANDARD.encode(&certificate.certificate_pem)),
            client_key_data: Some(STANDARD.encode(&certificate.key_pem).into()),
            ..AuthInfo::default()
        },
        Credentials::Token(token) => AuthInfo {
            token: Some(token.clone().into()),
            ..AuthInfo::default()
        },
    };
    let cluster = Cluster {
        server: Some(server.to_owned()),
        certificate_authority_data: Some(STANDARD.encode(ca_pem)),
        ..Cluster::default()
    };
    let context = Context {
        cluster: NAME.to_owned(),
        user: Some(NAME.to_owned()),
        ..Context::default()
    };
    Kubeconfig {
        api_version: Some("v1".to_owned()),
        kind: Some("Config".to_owned()),
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    }
}

/// Creates a client for a kubeconfig. Proxies from the environment are ignored: all servers are local.
pub(crate) async fn client(kubeconfig: Kubeconfig) -> Result<kube::Client> {
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("cannot use a kubeconfig of the test control plane")?;
    config.proxy_url = None;
    kube::Client::try_from(config).context("cannot make a client for the test control plane")
}

/// Writes a kubeconfig, 0600.
pub(crate) fn write(path: &Path, kubeconfig: &Kubeconfig) -> Result<()> {
    let text = serde_saphyr::to_string(kubeconfig)
        .with_context(|| format!("cannot write the kubeconfig {} as YAML", path.display()))?;
    write_private(path, &text)
}

/// Writes a file that only its owner may read, atomically.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let directory = path
        .parent()
        .with_context(|| format!("{} has no folder", path.display()))?;
    // A temporary file is created 0600.
    let mut file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("cannot create a file in {}", directory.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
