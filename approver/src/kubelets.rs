//! The settings for connections to kubelets: the port, and the sources of the CA of their certificates.

use std::fmt;
use std::path::PathBuf;

use rollcall_approver_core::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The port of kubelet's own API (Kubernetes: `pkg/cluster/ports`, `KubeletPort`).
pub(crate) const PORT: u16 = 10250;

/// The settings by which kubelets are dialled and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kubelets {
    /// The port that they serve on.
    pub(crate) port: u16,
    /// The sources of CA certificates; all certificates found count.
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
    /// The sources as messages name them.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.ca.iter().map(ToString::to_string).collect()
    }
}

/// A source of CA certificates in PEM.
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
    /// The CA by which the API server verifies client certificates, those of kubelets included (Kubernetes: the API server
    /// publishes its `--client-ca-file`, `pkg/controlplane/controller/clusterauthenticationtrust`).
    fn of_any_cluster() -> Self {
        Self::config_map(
            "kube-system",
            "extension-apiserver-authentication",
            "client-ca-file",
        )
    }

    /// The CA by which OpenShift's kube-controller-manager signs kubelet certificates
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

    /// Returns true if it is one of these ConfigMaps of this namespace.
    pub(crate) fn is_config_map(&self, of: &str, names: &[&str]) -> bool {
        match self {
            Self::ConfigMap {
                namespace, name, ..
            } => namespace == of && names.contains(&name.as_str()),
            Self::File(_) => false,
        }
    }

    /// Returns true if only OpenShift has it. Other clusters need no watch and no right for it.
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

/// Returns the CA certificates of a PEM text, and the error of each block that is not one.
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
