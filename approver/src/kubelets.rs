//! What is asked of kubelets themselves: how they are dialled, and where the CA of their certificates stands.

use std::fmt;
use std::path::PathBuf;

use rollcall_approver_core::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The port of kubelet's own API (Kubernetes: `pkg/cluster/ports`, `KubeletPort`).
pub(crate) const PORT: u16 = 10250;

/// How kubelets are dialled and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kubelets {
    /// The port that they serve on.
    pub(crate) port: u16,
    /// Where the CA certificates stand; all that are found count.
    pub(crate) ca: Vec<CaSource>,
}

impl Default for Kubelets {
    fn default() -> Self {
        Self {
            port: PORT,
            ca: vec![CaSource::of_any_cluster(), CaSource::of_openshift()],
        }
    }
}

impl Kubelets {
    /// The sources in the words of messages.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.ca.iter().map(ToString::to_string).collect()
    }
}

/// Where CA certificates stand, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CaSource {
    /// In a ConfigMap of the cluster that nodes join.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key in its data.
        key: String,
    },
    /// In a file.
    File(PathBuf),
}

impl CaSource {
    /// What the API server believes the certificates of clients by, kubelets among them (Kubernetes: the API server
    /// publishes its `--client-ca-file`, `pkg/controlplane/controller/clusterauthenticationtrust`).
    fn of_any_cluster() -> Self {
        Self::config_map(
            "kube-system",
            "extension-apiserver-authentication",
            "client-ca-file",
        )
    }

    /// What OpenShift's kube-controller-manager signs the certificates of kubelets with
    /// (cluster-kube-controller-manager-operator, `csr-controller-ca`).
    fn of_openshift() -> Self {
        Self::config_map(
            "openshift-config-managed",
            "csr-controller-ca",
            "ca-bundle.crt",
        )
    }

    fn config_map(namespace: &str, name: &str, key: &str) -> Self {
        Self::ConfigMap {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Whether it is one of these ConfigMaps of this namespace.
    pub(crate) fn is_config_map(&self, of: &str, names: &[&str]) -> bool {
        match self {
            Self::ConfigMap {
                namespace, name, ..
            } => namespace == of && names.contains(&name.as_str()),
            Self::File(_) => false,
        }
    }

    /// Whether only OpenShift has it, so that elsewhere nobody looks for it or needs a right to.
    pub(crate) fn is_openshifts(&self) -> bool {
        *self == Self::of_openshift()
    }
}

impl fmt::Display for CaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap {
                namespace,
                name,
                key,
            } => write!(f, "ConfigMap {namespace}/{name} (key {key})"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// The CA certificates of a PEM text, and what is wrong with each block that is none.
pub(crate) fn authorities(pem: &[u8]) -> (Vec<Authority>, Vec<String>) {
    let (mut authorities, mut wrong) = (Vec::new(), Vec::new());
    for der in CertificateDer::pem_slice_iter(pem) {
        let read = match &der {
            Ok(der) => Authority::from_der(der).map_err(|error| format!("the certificate {error}")),
            Err(error) => Err(format!("a PEM block cannot be read: {error}")),
        };
        match read {
            Ok(authority) => authorities.push(authority),
            Err(sentence) => wrong.push(sentence),
        }
    }
    (authorities, wrong)
}
