//! What is installed already: nothing, a whole identity, or a certificate without its kubeconfig.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::certificate::{self, CertificateError, Chain};
use crate::kubeconfig::{self, Data, Unusable};
use crate::store;

/// What the disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// A kubeconfig with a certificate and key that are good for this node now.
    Complete {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Its end.
        not_after: Timestamp,
    },
    /// The certificate that kubelet's symlink names is good, but no kubeconfig leads to it.
    KubeconfigMissing {
        /// The symlink.
        certificate: PathBuf,
        /// Its end.
        not_after: Timestamp,
        /// What is wrong with the kubeconfig.
        why: String,
    },
    /// The certificate is good but for its begin, so the clock of this machine is behind.
    NotYetValid {
        /// Where the certificate is, and both times.
        why: String,
    },
    /// No identity that can be used; what was found instead.
    Nothing {
        /// What is wrong with the kubeconfig or its certificate.
        why: String,
    },
}

/// Looks at kubelet's kubeconfig and folder. No network, nothing is changed.
pub fn examine(kubeconfig: &Path, cert_dir: &Path, node: &NodeName, now: Timestamp) -> Installed {
    let why = match by_kubeconfig(kubeconfig, node, now) {
        Ok((certificate, not_after)) => {
            return Installed::Complete {
                certificate,
                not_after,
            };
        }
        Err(error) => {
            let why = format!("{} {error}", kubeconfig.display());
            if let NotUsable::Certificate {
                error: CertificateError::NotYetValid { .. },
                ..
            } = error
            {
                return Installed::NotYetValid { why };
            }
            why
        }
    };
    let certificate = store::current_link(cert_dir);
    let found = std::fs::read(&certificate)
        .ok()
        .and_then(|pem| good(&pem, &pem, node, now).ok());
    match found {
        Some(not_after) => Installed::KubeconfigMissing {
            certificate,
            not_after,
            why,
        },
        None => Installed::Nothing { why },
    }
}

fn by_kubeconfig(
    kubeconfig: &Path,
    node: &NodeName,
    now: Timestamp,
) -> Result<(PathBuf, Timestamp), NotUsable> {
    let user = kubeconfig::read(kubeconfig)?.user;
    let certificate = kubeconfig::data_or_file(
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        "client certificate",
    )?;
    let Data {
        contents: certificate,
        file,
    } = certificate.ok_or(NotUsable::NoCertificate)?;
    let key_data = kubeconfig::secret(&user, "client-key-data");
    let key = kubeconfig::data_or_file(
        key_data.as_deref(),
        user.client_key.as_deref(),
        "client key",
    )?;
    let key = key.ok_or(NotUsable::NoKey)?.contents;
    let path = file.unwrap_or_else(|| kubeconfig.to_owned());
    match good(&certificate, &key, node, now) {
        Ok(not_after) => Ok((path, not_after)),
        Err(error) => Err(NotUsable::Certificate { path, error }),
    }
}

/// Whether a certificate and a key belong together and to this node, now. Returns the end of the certificate.
fn good(
    certificate: &[u8],
    key: &[u8],
    node: &NodeName,
    now: Timestamp,
) -> Result<Timestamp, CertificateError> {
    let chain = Chain::from_pem(certificate)?;
    let spki = certificate::spki_of_private_key(key).ok_or(CertificateError::AnotherKey)?;
    chain.check(&spki, node, now)
}

/// Why a kubeconfig is no identity for this node. Reads as what follows the name of the file.
#[derive(Debug, thiserror::Error)]
enum NotUsable {
    #[error("leads to {}, whose certificate {error}", path.display())]
    Certificate {
        path: PathBuf,
        error: CertificateError,
    },
    #[error("has no client certificate")]
    NoCertificate,
    #[error("has no client key")]
    NoKey,
    #[error(transparent)]
    Unusable(#[from] Unusable),
}
