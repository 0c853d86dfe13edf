//! What serving certificates are judged by besides the objects of a dump: the kubelet CA, and what each node serves now.

use std::collections::BTreeMap;
use std::path::Path;

use rollcall_csr::NodeName;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::debug;

use super::input::InputError;

/// Certificates that were handed in.
#[derive(Debug, Default)]
pub(super) struct ServingFacts {
    /// What a node's serving certificate is verified against.
    pub(super) kubelet_ca: Vec<CertificateDer<'static>>,
    /// The chain that each node serves now, its own certificate first.
    pub(super) served: BTreeMap<NodeName, Vec<CertificateDer<'static>>>,
}

impl ServingFacts {
    /// Reads what was named.
    pub(super) fn read(ca: Option<&Path>, served: Option<&Path>) -> Result<Self, InputError> {
        let facts = Self {
            kubelet_ca: ca.map(certificates).transpose()?.unwrap_or_default(),
            served: served.map(served_by).transpose()?.unwrap_or_default(),
        };
        debug!(
            authorities = facts.kubelet_ca.len(),
            nodes = facts.served.len(),
            "read the certificates that were handed in"
        );
        Ok(facts)
    }
}

/// Every `<node>.pem` of a directory.
fn served_by(
    directory: &Path,
) -> Result<BTreeMap<NodeName, Vec<CertificateDer<'static>>>, InputError> {
    let unreadable = |source| InputError::Unreadable {
        path: directory.to_owned(),
        source,
    };
    let mut served = BTreeMap::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(stem) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".pem"))
        else {
            continue;
        };
        let node = stem.parse().map_err(|error| InputError::Certificates {
            path: path.clone(),
            message: format!("the file has to be named by its node: {error}"),
        })?;
        served.insert(node, certificates(&path)?);
    }
    Ok(served)
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, InputError> {
    let bytes = std::fs::read(path).map_err(|source| InputError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let invalid = |message: String| InputError::Certificates {
        path: path.to_owned(),
        message,
    };
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("this is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(invalid(
            "there is no PEM block CERTIFICATE in it".to_owned(),
        ));
    }
    Ok(certificates)
}
