//! Kubeconfig files: kubelet's is written here; [`rollcall_kubeconfig`] reads all of them.

use std::path::Path;

use kube::config::Cluster;
use serde::Serialize;

pub use rollcall_kubeconfig::{Data, Selected, Unusable, read};

/// Returns kubelet's kubeconfig: the cluster of the bootstrap kubeconfig, with `pem` as certificate and key. The
/// entries have the names that kubelet gives them (Kubernetes `pkg/kubelet/certificate/bootstrap`,
/// `writeKubeconfigFromBootstrapping`). Unlike kubelet it keeps `tls-server-name`, without which kubelet could not
/// connect where the agent could.
///
/// # Errors
/// Only if serializing YAML fails.
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
}
