//! What is installed already: nothing, a whole identity, or a certificate without its kubeconfig.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rollcall_csr::NodeName;
use zeroize::Zeroizing;

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
    /// The certificate is good but for its begin: either it is from the future, or the clock of this machine is behind.
    NotYetValid {
        /// Its begin.
        not_before: Timestamp,
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
                error: CertificateError::NotYetValid { not_before, .. },
                ..
            } = error
            {
                return Installed::NotYetValid { not_before, why };
            }
            why
        }
    };
    let certificate = store::current_link(cert_dir);
    let found = std::fs::read(&certificate)
        .map(Zeroizing::new)
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
    let Files {
        path,
        certificate,
        key,
    } = named_by(kubeconfig)?;
    match good(&certificate, &key, node, now) {
        Ok(not_after) => Ok((path, not_after)),
        Err(error) => Err(NotUsable::Certificate { path, error }),
    }
}

/// A certificate and its key as they lie on disk, whatever they are worth.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Where the certificate is.
    pub(crate) path: PathBuf,
    /// The certificate and its chain, in PEM; often with the key behind them.
    pub(crate) certificate: Zeroizing<Vec<u8>>,
    /// The private key, in PEM.
    pub(crate) key: Zeroizing<Vec<u8>>,
}

/// What a kubeconfig leads to, and what the symlink in kubelet's folder leads to: where an earlier identity can be. For
/// what is there but cannot be read, a sentence that says so; nothing for what is not there.
pub(crate) fn earlier(kubeconfig: &Path, cert_dir: &Path) -> Vec<Result<Files, String>> {
    let mut found = Vec::new();
    match named_by(kubeconfig) {
        Ok(files) => found.push(Ok(files)),
        Err(NotUsable::NoCertificate | NotUsable::Unusable(Unusable::Missing)) => {}
        Err(error) => found.push(Err(format!("{} {error}", kubeconfig.display()))),
    }
    let path = store::current_link(cert_dir);
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(pem) => found.push(Ok(Files {
            path,
            certificate: pem.clone(),
            key: pem,
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => found.push(Err(format!("{} cannot be read: {error}", path.display()))),
    }
    found
}

fn named_by(kubeconfig: &Path) -> Result<Files, NotUsable> {
    let selected = kubeconfig::read(kubeconfig)?;
    let certificate = selected.client_certificate()?;
    let Data {
        contents: certificate,
        file,
    } = certificate.ok_or(NotUsable::NoCertificate)?;
    let key = selected.client_key()?.ok_or(NotUsable::NoKey)?.contents;
    Ok(Files {
        path: file.unwrap_or_else(|| kubeconfig.to_owned()),
        certificate,
        key,
    })
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
