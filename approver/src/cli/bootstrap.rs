//! A bootstrap kubeconfig: what a machine needs to ask for its first certificate, in one file, and nothing else.

mod credential;
mod read;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::certificates::Authority;
use crate::KubeconfigFormat;

pub(super) use credential::{Credential, Ends, check_groups};
pub(super) use read::{check_server, read};

/// The name of the one cluster in it.
const CLUSTER: &str = "cluster";
/// The name of the one user and the one context in it.
const BOOTSTRAP: &str = "bootstrap";

/// A cluster to join, and the credential to ask it with. Has no `Debug`, which would show the credential.
pub(super) struct Bootstrap {
    pub(super) server: String,
    pub(super) authority: Authority,
    pub(super) tls_server_name: Option<String>,
    pub(super) credential: Credential,
}

impl Bootstrap {
    /// The kubeconfig, the same for the same content.
    pub(super) fn write(&self, format: KubeconfigFormat) -> anyhow::Result<String> {
        let file = self.file();
        match format {
            KubeconfigFormat::Json => {
                let json = serde_json::to_string_pretty(&file)
                    .context("cannot write the kubeconfig as JSON")?;
                Ok(format!("{json}\n"))
            }
            KubeconfigFormat::Yaml => {
                super::yaml::write(&file).context("cannot write the kubeconfig as YAML")
            }
        }
    }

    fn file(&self) -> File<'_> {
        File {
            api_version: "v1",
            kind: "Config",
            clusters: [Named {
                name: CLUSTER,
                entry: Entry::Cluster(Cluster {
                    server: &self.server,
                    certificate_authority_data: STANDARD.encode(self.authority.to_pem()),
                    tls_server_name: self.tls_server_name.as_deref(),
                }),
            }],
            contexts: [Named {
                name: BOOTSTRAP,
                entry: Entry::Context(Context {
                    cluster: CLUSTER,
                    user: BOOTSTRAP,
                }),
            }],
            current_context: BOOTSTRAP,
            users: [Named {
                name: BOOTSTRAP,
                entry: Entry::User(self.user()),
            }],
        }
    }

    fn user(&self) -> User<'_> {
        match &self.credential {
            Credential::BootstrapToken { token, .. } | Credential::Token { token, .. } => {
                User::Token { token }
            }
            Credential::Certificate {
                certificate, key, ..
            } => User::Certificate {
                client_certificate_data: STANDARD.encode(certificate),
                client_key_data: STANDARD.encode(key),
            },
        }
    }
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    clusters: [Named<'a>; 1],
    contexts: [Named<'a>; 1],
    #[serde(rename = "current-context")]
    current_context: &'a str,
    users: [Named<'a>; 1],
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(flatten)]
    entry: Entry<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Entry<'a> {
    Cluster(Cluster<'a>),
    Context(Context<'a>),
    User(User<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster<'a> {
    server: &'a str,
    certificate_authority_data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Context<'a> {
    cluster: &'a str,
    user: &'a str,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "kebab-case")]
enum User<'a> {
    Certificate {
        client_certificate_data: String,
        client_key_data: String,
    },
    Token {
        token: &'a str,
    },
}
