//! A certificate authority for tests, and certificates with one thing wrong.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm,
    date_time_ymd,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A CA called `kubernetes`, as kubeadm names every one.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2090, 1, 1);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs the content of a kubelet's request, after applying `change`.
    pub(crate) fn sign(
        &self,
        request_pem: &[u8],
        node: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let mut params = node_params(node);
        change(&mut params);
        params
            .signed_by(&Point::of_request(request_pem), &self.0)
            .unwrap()
            .pem()
    }

    /// Signs a certificate for a P-256 key given as a SubjectPublicKeyInfo.
    pub(crate) fn sign_key(&self, spki_der: &[u8], params: &CertificateParams) -> String {
        params
            .signed_by(&Point::of_spki(spki_der), &self.0)
            .unwrap()
            .pem()
    }

    /// A certificate for another key than the requested one, and that key.
    pub(crate) fn certificate(&self, params: &CertificateParams) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key)
    }
}

/// The certificate of a kubelet: valid from 2025 to 2089.
pub(crate) fn node_params(node: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{node}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2089, 1, 1);
    params
}

/// A P-256 public key: the point.
struct Point(Vec<u8>);

impl Point {
    /// The key of a certification request.
    fn of_request(request_pem: &[u8]) -> Self {
        let (_, pem) = x509_parser::pem::parse_x509_pem(request_pem).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        request.verify_signature().unwrap();
        Self::of_spki(request.certification_request_info.subject_pki.raw)
    }

    /// The key in the DER of a SubjectPublicKeyInfo.
    fn of_spki(spki_der: &[u8]) -> Self {
        let (_, spki) = SubjectPublicKeyInfo::from_der(spki_der).unwrap();
        Self(spki.subject_public_key.data.to_vec())
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
