//! Certificate authorities and the certificates they issue: the cluster's own, and wrong ones for tests.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::kubeconfig::write_private;

/// The time by which certificates are backdated, as kube-controller-manager's signer does for clocks that are slightly
/// behind (`pkg/controller/certificates/authority/policies.go`, `Backdate`, five minutes).
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// The default validity of certificates: longer than any test or kept demo.
const VALIDITY: Duration = Duration::from_secs(30 * 24 * 3600);

/// Validity of an authority, longer than that of anything it issues.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);

/// The permitted use of a certificate (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
}

/// The content of a certificate. The defaults give a client certificate that is valid now.
#[derive(Clone, Debug)]
pub struct CertificateProfile {
    /// Common name: for the API server the user name.
    pub common_name: String,
    /// Organizations: for the API server the groups. At most two.
    pub organizations: Vec<String>,
    /// DNS names, for server certificates.
    pub dns_names: Vec<String>,
    /// IP addresses, for server certificates.
    pub ip_addresses: Vec<IpAddr>,
    /// The one extended key usage.
    pub usage: Usage,
    /// First moment at which the certificate is valid.
    pub not_before: SystemTime,
    /// Last moment at which the certificate is valid.
    pub not_after: SystemTime,
}

impl CertificateProfile {
    /// A client certificate for `user` in `groups`.
    pub fn client(user: &str, groups: &[&str]) -> Self {
        let now = SystemTime::now();
        Self {
            common_name: user.to_owned(),
            organizations: groups.iter().map(|&group| group.to_owned()).collect(),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage: Usage::Client,
            not_before: now.checked_sub(BACKDATE).unwrap_or(now),
            not_after: now.checked_add(VALIDITY).unwrap_or(now),
        }
    }

    /// The client certificate of a node (user `system:node:<name>`, group `system:nodes`).
    pub fn node(name: &str) -> Self {
        Self::client(&format!("system:node:{name}"), &[rollcall_csr::NODES_GROUP])
    }

    /// A server certificate for these names and addresses.
    pub fn server(common_name: &str, dns_names: &[&str], ip_addresses: &[IpAddr]) -> Self {
        Self {
            dns_names: dns_names.iter().map(|&name| name.to_owned()).collect(),
            ip_addresses: ip_addresses.to_vec(),
            usage: Usage::Server,
            ..Self::client(common_name, &[])
        }
    }

    /// The same certificate, valid between these two moments.
    #[must_use]
    pub fn valid(mut self, not_before: SystemTime, not_after: SystemTime) -> Self {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }
}

/// A certificate and its private key.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM (PKCS#8).
    pub key_pem: String,
}

impl IssuedCertificate {
    /// Writes `<name>.crt` and `<name>.key` (both 0600) into `directory`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<()> {
        write_private(
            &directory.join(format!("{name}.crt")),
            &self.certificate_pem,
        )?;
        write_private(&directory.join(format!("{name}.key")), &self.key_pem)
    }

    /// Certificate and key in one text, as the kubelet keeps them in `kubelet-client-current.pem`.
    pub fn bundle(&self) -> String {
        format!("{}{}", self.certificate_pem, self.key_pem)
    }
}

/// A certificate authority with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: IssuedCertificate,
}

impl Authority {
    /// Generates a self-signed authority. Tests use a second one for certificates that the cluster must refuse.
    ///
    /// # Errors
    /// If no key can be generated.
    pub fn generate(common_name: &str) -> Result<Self> {
        let key =
            KeyPair::generate().context("cannot generate the key of a certificate authority")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let now = SystemTime::now();
        params.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
        params.not_after = now.checked_add(AUTHORITY_VALIDITY).unwrap_or(now).into();
        let signed = params
            .self_signed(&key)
            .context("cannot sign a certificate authority")?;
        let certificate = IssuedCertificate {
            certificate_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        };
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate.certificate_pem
    }

    /// The authority's certificate together with its private key.
    pub fn certificate(&self) -> &IssuedCertificate {
        &self.certificate
    }

    /// Issues a certificate with a new P-256 key.
    ///
    /// # Errors
    /// If a name in the profile is not one that X.509 can hold, or if there are more than two organizations.
    pub fn issue(&self, profile: &CertificateProfile) -> Result<IssuedCertificate> {
        let key = KeyPair::generate().context("cannot generate a key")?;
        let names = profile.dns_names.iter().map(|name| {
            let name = name
                .as_str()
                .try_into()
                .with_context(|| format!("{name:?} is not a DNS name"))?;
            Ok(SanType::DnsName(name))
        });
        let addresses = profile
            .ip_addresses
            .iter()
            .map(|address| Ok(SanType::IpAddress(*address)));
        let mut params = CertificateParams::default();
        params.distinguished_name =
            distinguished_name(&profile.common_name, &profile.organizations)?;
        params.subject_alt_names = names.chain(addresses).collect::<Result<_>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match profile.usage {
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        params.not_before = profile.not_before.into();
        params.not_after = profile.not_after.into();
        let signed = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot issue a certificate for {:?}", profile.common_name))?;
        Ok(IssuedCertificate {
            certificate_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// A subject with one common name and up to two organizations.
///
/// # Errors
/// If there are more: rcgen stores one value per attribute type, and this one can be written in two ways.
pub(crate) fn distinguished_name(
    common_name: &str,
    organizations: &[String],
) -> Result<rcgen::DistinguishedName> {
    /// `id-at-organizationName` (RFC 5280 appendix A.1).
    const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
    let mut name = rcgen::DistinguishedName::new();
    let types = [
        DnType::OrganizationName,
        DnType::CustomDnType(ORGANIZATION.to_vec()),
    ];
    ensure!(
        organizations.len() <= types.len(),
        "the certificate of {common_name:?} cannot hold more than {} groups",
        types.len()
    );
    for (kind, organization) in types.into_iter().zip(organizations) {
        name.push(kind, organization.as_str());
    }
    name.push(DnType::CommonName, common_name);
    Ok(name)
}
