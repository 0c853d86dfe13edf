//! Kubeconfig files: reading the one selected entry, and writing kubelet's.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use serde::Serialize;

/// What the current context of a kubeconfig stands for.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The whole file, with its paths made absolute.
    pub all: Kubeconfig,
    /// The API server and its CA.
    pub cluster: Cluster,
    /// The credential; empty when the context names no user.
    pub user: AuthInfo,
}

/// Reads a kubeconfig and follows its current context.
///
/// # Errors
/// The first thing that is missing or wrong, without any of the file's contents.
pub fn read(file: &Path) -> Result<Selected, Unusable> {
    let all = Kubeconfig::read_from(file).map_err(Unusable::from_kube)?;
    let context_name = all
        .current_context
        .clone()
        .filter(|name| !name.is_empty())
        .ok_or(Unusable::NoCurrentContext)?;
    let context = all
        .contexts
        .iter()
        .find(|context| context.name == context_name)
        .and_then(|context| context.context.clone())
        .ok_or_else(|| Unusable::NoSuchContext(context_name.clone()))?;
    let cluster = all
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster.clone())
        .ok_or_else(|| Unusable::NoSuchCluster {
            context: context_name.clone(),
            cluster: context.cluster.clone(),
        })?;
    let user = match context.user.filter(|name| !name.is_empty()) {
        None => AuthInfo::default(),
        Some(name) => all
            .auth_infos
            .iter()
            .find(|user| user.name == name)
            .and_then(|user| user.auth_info.clone())
            .ok_or(Unusable::NoSuchUser {
                context: context_name,
                user: name,
            })?,
    };
    Ok(Selected { all, cluster, user })
}

/// A secret field of a user entry, by its name in the file. kube's type hides secrets but writes them out again.
pub fn secret(user: &AuthInfo, field: &str) -> Option<String> {
    let fields = serde_json::to_value(user).ok()?;
    fields
        .get(field)?
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Data that a kubeconfig holds or leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The data, decoded.
    pub contents: Vec<u8>,
    /// The file it is in, unless that is the kubeconfig itself.
    pub file: Option<PathBuf>,
}

/// Data that stands in the kubeconfig itself or in a file that it names; `None` when it has neither. `what` names the
/// data in errors, like "certificate authority".
///
/// # Errors
/// When the file cannot be read or the data is not base64.
pub fn data_or_file(
    data: Option<&str>,
    file: Option<&str>,
    what: &'static str,
) -> Result<Option<Data>, Unusable> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let decoded = STANDARD
            .decode(data)
            .map_err(|_| Unusable::NotBase64(what))?;
        return Ok(Some(Data {
            contents: decoded,
            file: None,
        }));
    }
    let Some(file) = file.filter(|file| !file.is_empty()) else {
        return Ok(None);
    };
    let contents = std::fs::read(file).map_err(|source| Unusable::Reference {
        what,
        file: PathBuf::from(file),
        source,
    })?;
    Ok(Some(Data {
        contents,
        file: Some(PathBuf::from(file)),
    }))
}

/// Why a kubeconfig cannot be used. Reads as what follows the name of the file.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file is not there.
    #[error("does not exist")]
    Missing,
    /// It has no `current-context`.
    #[error("has no current-context; set one with kubectl config use-context")]
    NoCurrentContext,
    /// The context names a cluster that is not in the file.
    #[error("has no cluster {cluster:?}, which its context {context:?} names")]
    NoSuchCluster {
        /// The context.
        context: String,
        /// The missing entry.
        cluster: String,
    },
    /// `current-context` names nothing.
    #[error("has no context {0:?}, which its current-context names")]
    NoSuchContext(String),
    /// The context names a user that is not in the file.
    #[error("has no user {user:?}, which its context {context:?} names")]
    NoSuchUser {
        /// The context.
        context: String,
        /// The missing entry.
        user: String,
    },
    /// Embedded data cannot be decoded.
    #[error("holds {0} data that is not base64")]
    NotBase64(&'static str),
    /// The file is not the YAML of a kubeconfig. The place only: the text around it may be a credential.
    #[error("is not a kubeconfig in YAML{0}")]
    NotYaml(String),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A file that it names cannot be read.
    #[error("names the {what} file {}, which cannot be read: {source}", file.display())]
    Reference {
        /// What should be in the file.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Unusable {
    fn from_kube(error: KubeconfigError) -> Self {
        if let KubeconfigError::ReadConfig(source, _) = error {
            return if source.kind() == io::ErrorKind::NotFound {
                Self::Missing
            } else if source.kind() == io::ErrorKind::InvalidData {
                Self::NotYaml(": it is not text".to_owned())
            } else {
                Self::Unreadable(source)
            };
        }
        if let KubeconfigError::Parse(error) = error {
            let place = error
                .location()
                .map(|at| format!(" (line {}, column {})", at.line(), at.column()));
            return Self::NotYaml(place.unwrap_or_default());
        }
        Self::NotYaml(": its documents contradict each other".to_owned())
    }
}

/// Kubelet's kubeconfig, with the names that kubelet itself gives the entries (Kubernetes
/// `pkg/kubelet/certificate/bootstrap`, `writeKubeconfigFromBootstrapping`): the cluster of the bootstrap kubeconfig
/// and `pem` as certificate and key. Unlike kubelet it keeps `tls-server-name`, without which kubelet could not connect
/// where the agent could.
///
/// # Errors
/// Only when YAML cannot be written at all.
pub fn for_kubelet(cluster: &Cluster, pem: &Path) -> Result<String, serde_saphyr::ser::Error> {
    let embedded = cluster
        .certificate_authority_data
        .clone()
        .filter(|data| !data.is_empty());
    let file = if embedded.is_some() {
        None
    } else {
        cluster.certificate_authority.clone()
    };
    let pem = pem.to_string_lossy();
    serde_saphyr::to_string(&File {
        api_version: "v1",
        kind: "Config",
        clusters: [Named {
            name: "default-cluster",
            entry: Entry::Cluster(ClusterEntry {
                certificate_authority: file.filter(|file| !file.is_empty()),
                certificate_authority_data: embedded,
                server: cluster.server.clone(),
                tls_server_name: cluster.tls_server_name.clone(),
            }),
        }],
        users: [Named {
            name: "default-auth",
            entry: Entry::User(UserEntry {
                client_certificate: &pem,
                client_key: &pem,
            }),
        }],
        contexts: [Named {
            name: "default-context",
            entry: Entry::Context(ContextEntry {
                cluster: "default-cluster",
                namespace: "default",
                user: "default-auth",
            }),
        }],
        current_context: "default-context",
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    clusters: [Named<'a>; 1],
    contexts: [Named<'a>; 1],
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
    Cluster(ClusterEntry),
    Context(ContextEntry<'a>),
    User(UserEntry<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ContextEntry<'a> {
    cluster: &'a str,
    namespace: &'a str,
    user: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry<'a> {
    client_certificate: &'a str,
    client_key: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Selected, Unusable> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, text).unwrap();
        read(&file)
    }

    fn refusal(text: &str) -> String {
        read_text(text).unwrap_err().to_string()
    }

    #[test]
    fn each_missing_entry_is_named() {
        assert!(matches!(
            read(Path::new("/nonexistent/config")),
            Err(Unusable::Missing)
        ));
        assert!(refusal("").contains("no current-context"));
        assert!(refusal("current-context: a").contains("no context \"a\""));
        let context = "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n";
        assert!(refusal(context).contains("no cluster \"b\""));
        assert!(
            refusal(&format!("{context}clusters: [{{name: b, cluster: {{}}}}]"))
                .contains("no user \"c\"")
        );
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_place_and_without_its_text() {
        let message = refusal("users:\n- name: a\n  user: {token: abcdef.secret\nclusters: 7\n");
        assert!(
            message.contains("line ") && !message.contains("secret"),
            "{message}"
        );
        assert!(refusal("\u{0}\u{1}").contains("not a kubeconfig in YAML"));
    }

    #[test]
    fn kubelets_kubeconfig_reads_back_with_kubelets_names() {
        let cluster = Cluster {
            server: Some("https://api:6443".to_owned()),
            certificate_authority_data: Some("Y2E=".to_owned()),
            certificate_authority: Some("/ignored".to_owned()),
            tls_server_name: Some("kubernetes".to_owned()),
            ..Cluster::default()
        };
        let text = for_kubelet(&cluster, Path::new("/pki/kubelet-client-current.pem")).unwrap();
        let selected = read_text(&text).unwrap();
        assert_eq!(
            selected.all.current_context.as_deref(),
            Some("default-context")
        );
        assert_eq!(selected.all.clusters[0].name, "default-cluster");
        assert_eq!(selected.all.auth_infos[0].name, "default-auth");
        assert_eq!(selected.cluster.server, cluster.server);
        assert_eq!(
            selected.cluster.certificate_authority_data,
            cluster.certificate_authority_data
        );
        assert_eq!(selected.cluster.certificate_authority, None);
        assert_eq!(selected.cluster.tls_server_name, cluster.tls_server_name);
        assert_eq!(
            selected.user.client_certificate.as_deref(),
            Some("/pki/kubelet-client-current.pem")
        );
        assert_eq!(selected.user.client_key, selected.user.client_certificate);
    }

    #[test]
    fn secrets_are_found_by_the_name_they_have_in_the_file() {
        let text = "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n\
                    clusters: [{name: b, cluster: {}}]\nusers: [{name: c, user: {token: abcdef.0123456789abcdef}}]";
        let user = read_text(text).unwrap().user;
        assert_eq!(
            secret(&user, "token").as_deref(),
            Some("abcdef.0123456789abcdef")
        );
        assert_eq!(secret(&user, "password"), None);
    }
}
