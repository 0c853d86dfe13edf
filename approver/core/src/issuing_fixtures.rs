//! Authorities for tests, and the certificates that they issue to kubelets.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType, date_time_ymd,
};
use rollcall_approver_core::Authority;
use rollcall_csr::NODES_GROUP;

use crate::fixtures::node;

/// Midnight of a day in November 2026, the month of all tests.
pub(crate) fn midnight(day: u8) -> Timestamp {
    format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
}

/// A certificate authority.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    /// A self-signed one, valid from the 1st to the 29th.
    pub(crate) fn new(name: &str) -> Self {
        Self::within(name, 1, 29)
    }

    /// A self-signed one, valid from one day to another.
    pub(crate) fn within(name: &str, first: u8, last: u8) -> Self {
        Self::self_signed(Self::params(name, first, last))
    }

    /// A self-signed one that never expires (RFC 5280 section 4.1.2.5).
    pub(crate) fn without_end(name: &str) -> Self {
        let mut params = Self::params(name, 1, 29);
        params.not_after = date_time_ymd(9999, 12, 31);
        Self::self_signed(params)
    }

    fn self_signed(params: CertificateParams) -> Self {
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// An intermediate of this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(Self::params(name, 1, 29), key, &self.0).unwrap())
    }

    fn params(name: &str, first: u8, last: u8) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2026, 11, first);
        params.not_after = date_time_ymd(2026, 11, last);
        params
    }

    /// Its own certificate, as DER.
    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// The authority to verify with.
    pub(crate) fn authority(&self) -> Authority {
        Authority::from_der(&self.der()).unwrap()
    }

    /// Issues a certificate, as DER.
    pub(crate) fn issue(&self, leaf: &Leaf) -> Vec<u8> {
        self.issue_for(leaf, &KeyPair::generate().unwrap())
    }

    /// Issues a certificate for this key, as DER.
    pub(crate) fn issue_for(&self, leaf: &Leaf, key: &KeyPair) -> Vec<u8> {
        leaf.params.signed_by(key, &self.0).unwrap().der().to_vec()
    }
}

/// The content of a kubelet's certificate.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) params: CertificateParams,
}

impl Leaf {
    /// A serving certificate for a node, from the 10th to the 20th.
    pub(crate) fn serving(name: &str, dns: &[&str], ips: &[&str]) -> Self {
        let mut leaf = Self::client(name);
        leaf.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let dns = dns
            .iter()
            .map(|name| SanType::DnsName((*name).try_into().unwrap()));
        let ips = ips.iter().map(|ip| SanType::IpAddress(ip.parse().unwrap()));
        leaf.params.subject_alt_names = dns.chain(ips).collect();
        leaf
    }

    /// A client certificate for a node, from the 10th to the 20th.
    pub(crate) fn client(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2026, 11, 10);
        params.not_after = date_time_ymd(2026, 11, 20);
        Self { params }.of(NODES_GROUP, &node(name).username())
    }

    /// The same for another subject.
    pub(crate) fn of(mut self, organization: &str, common_name: &str) -> Self {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, organization);
        subject.push(DnType::CommonName, common_name);
        self.params.distinguished_name = subject;
        self
    }
}
