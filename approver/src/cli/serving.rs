//! What serving certificates are judged by besides the objects of a dump: the kubelet CA, and what each node serves now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rollcall_approver_core::{Authority, Chain, Change, Cluster, Served};
use rollcall_csr::NodeName;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::input::InputError;
use super::print::complain;
use crate::kubelets::CaSource;

/// What is said of a CA that was not handed in although what nodes serve was.
const NOT_GIVEN: &str = "--kubelet-ca FILE, which is not given";

/// Certificates that were handed in.
#[derive(Debug)]
pub(super) struct ServingFacts {
    /// What a node's serving certificate is verified by, and where it was read.
    kubelet_ca: Option<(PathBuf, Vec<Authority>)>,
    /// The chain that each node serves now, its own certificate first, as DER.
    served: Option<BTreeMap<NodeName, Vec<Vec<u8>>>>,
}

impl ServingFacts {
    /// Reads what was named. A certificate that is no CA's is told, and is left out.
    pub(super) fn read(ca: Option<&Path>, served: Option<&Path>) -> Result<Self, InputError> {
        let kubelet_ca = ca.map(|path| Ok((path.to_owned(), authorities(path)?)));
        Ok(Self {
            kubelet_ca: kubelet_ca.transpose()?,
            served: served.map(served_by).transpose()?,
        })
    }

    /// Adds it to what is known of a cluster at this time. What a node serves was seen at the addresses of its Machine,
    /// as the approver would see it.
    pub(super) fn tell(self, cluster: &mut Cluster, at: Timestamp) {
        let source = match self.kubelet_ca {
            Some((path, authorities)) => Some((CaSource::File(path).to_string(), authorities)),
            None if self.served.is_some() => Some((NOT_GIVEN.to_owned(), Vec::new())),
            None => None,
        };
        if let Some((source, authorities)) = source {
            cluster.apply(Change::KubeletCa(source, authorities), at);
        }
        for (node, certificates) in self.served.into_iter().flatten() {
            let addresses = match cluster.bound(&node).as_slice() {
                [machine] => cluster.dial_addresses(machine),
                _ => Vec::new(),
            };
            if let Some(address) = addresses.first().copied() {
                let served = Served {
                    at,
                    addresses,
                    answer: Ok(Chain {
                        address,
                        certificates,
                    }),
                };
                cluster.apply(Change::Served(node, served), at);
            }
        }
    }
}

/// Every `<node>.pem` of a directory.
fn served_by(directory: &Path) -> Result<BTreeMap<NodeName, Vec<Vec<u8>>>, InputError> {
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
        let chain = certificates(&path)?;
        served.insert(node, chain.iter().map(|der| der.to_vec()).collect());
    }
    Ok(served)
}

/// The CA certificates of a PEM file.
fn authorities(path: &Path) -> Result<Vec<Authority>, InputError> {
    let mut authorities = Vec::new();
    for der in certificates(path)? {
        match Authority::from_der(&der) {
            Ok(authority) => authorities.push(authority),
            Err(error) => complain(
                "warning",
                &format!(
                    "{}: the certificate {error}; it is left out",
                    path.display()
                ),
            ),
        }
    }
    Ok(authorities)
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
