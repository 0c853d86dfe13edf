//! A kubelet CA for tests, its certificates, and simulated kubelets that serve them.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rollcall_csr::{NODES_GROUP, NodeName};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

/// A self-signed authority.
pub(crate) struct KubeletAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, as DER, and its key.
pub(crate) struct Issued {
    pub(crate) der: Vec<u8>,
    pub(crate) key: KeyPair,
}

impl KubeletAuthority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The serving certificate of a node.
    pub(crate) fn issue(&self, node: &str, ips: &[&str]) -> Issued {
        let node: NodeName = node.parse().unwrap();
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, NODES_GROUP);
        subject.push(DnType::CommonName, node.username());
        params.distinguished_name = subject;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = addresses(ips);
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.0).unwrap().der().to_vec();
        Issued { der, key }
    }
}

/// IP addresses as subject alternative names.
pub(crate) fn addresses(ips: &[&str]) -> Vec<SanType> {
    let parse = |ip: &&str| SanType::IpAddress(ip.parse::<IpAddr>().unwrap());
    ips.iter().map(parse).collect()
}

/// A server that shows these certificates and signs with this key, even if they do not match.
pub(crate) fn acceptor(certificates: &[&[u8]], key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certificates = certificates.iter().map(|der| der.to_vec().into()).collect();
    let shown = SingleCertAndKey::from(CertifiedKey::new(certificates, key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    TlsAcceptor::from(Arc::new(config))
}
