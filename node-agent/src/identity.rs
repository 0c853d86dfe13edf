//! The installed identity: none, a complete one, or a certificate without its kubeconfig.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rollcall_csr::NodeName;
use zeroize::Zeroizing;

use crate::certificate::{self, CertificateError, Chain};
use crate::kubeconfig::{self, Data, Unusable};
use crate::store;

/// The state of the identity on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// A kubeconfig with a valid certificate and key for this node.
    Complete {
        /// The path of the certificate.
        certificate: PathBuf,
        /// The expiry.
        not_after: Timestamp,
    },
    /// The certificate that kubelet's symlink names is valid, but no kubeconfig refers to it.
    KubeconfigMissing {
        /// The symlink.
        certificate: PathBuf,
        /// The expiry.
        not_after: Timestamp,
        /// The problem with the kubeconfig.
        why: String,
    },
    /// The certificate is good except for its start: it is from the future, or this machine's clock is behind.
    NotYetValid {
        /// The start of its validity.
        not_before: Timestamp,
        /// The path of the certificate, and both times.
        why: String,
    },
    /// No usable identity.
    Nothing {
        /// The problem with the kubeconfig or its certificate.
        why: String,
    },
}

/// Examines kubelet's kubeconfig and folder. Uses no network, changes nothing.
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

/// A certificate and its key as stored on disk, unchecked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The path of the certificate.
    pub(crate) path: PathBuf,
    /// The certificate and its chain, in PEM; often followed by the key.
    pub(crate) certificate: Zeroizing<Vec<u8>>,
    /// The private key, in PEM.
    pub(crate) key: Zeroizing<Vec<u8>>,
}

/// Returns the possible earlier identities: the files of the kubeconfig, and the target of the symlink in kubelet's
/// folder. An unreadable one is an error message; a missing one is omitted.
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

/// Checks that a certificate and a key match each other and this node, now. Returns the expiry.
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

/// The reason why a kubeconfig is not an identity for this node. The text follows the name of the file.
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
