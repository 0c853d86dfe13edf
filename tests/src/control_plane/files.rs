//! The keys and certificates that the components of a control plane read.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::kubeconfig::write_private;
use crate::options::Options;
use crate::pki::{Authority, CertificateProfile};

/// The DNS names of the API server's certificate, as in kubeadm.
const API_SERVER_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Writes the cluster's authority, the API server's certificates and the key that signs ServiceAccount tokens.
pub(super) fn write_pki(directory: &Path, authority: &Authority, options: &Options) -> Result<()> {
    let addresses: Vec<IpAddr> = [IpAddr::V4(Ipv4Addr::LOCALHOST)]
        .into_iter()
        .chain(options.node_address)
        .chain(options.san_ips.iter().copied())
        .collect();
    let server = CertificateProfile::server("kube-apiserver", &API_SERVER_NAMES, &addresses);
    let kubelet_client =
        CertificateProfile::client("kube-apiserver-kubelet-client", &["system:masters"]);
    let service_account =
        rcgen::KeyPair::generate().context("cannot generate the ServiceAccount key")?;
    authority.certificate().write(directory, "ca")?;
    authority.issue(&server)?.write(directory, "api-server")?;
    authority
        .issue(&kubelet_client)?
        .write(directory, "api-server-kubelet-client")?;
    write_private(
        &directory.join("service-account.pub"),
        &service_account.public_key_pem(),
    )?;
    write_private(
        &directory.join("service-account.key"),
        &service_account.serialize_pem(),
    )
}
