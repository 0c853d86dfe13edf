//! A certificate that a cluster issued to a kubelet: its content, and the verification of its issuer.
//!
//! Subject and names are parsed by the same rules as those of requests. `rustls-webpki` verifies the issuer; it accepts
//! RSA of 2048 to 8192 bits, ECDSA P-256 and P-384, and Ed25519 from authorities.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rollcall_csr::{ClusterId, KeyHash, NodeName, ParseError, RequestedNames, Subject};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::ServerName;

/// The permitted use of a certificate (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// Authentication of a client.
    ClientAuth,
    /// Authentication of a server.
    ServerAuth,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientAuth => "client auth",
            Self::ServerAuth => "server auth",
        })
    }
}

/// A CA certificate that is trusted to issue certificates to kubelets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    id: ClusterId,
    anchor: TrustAnchor<'static>,
    subject: String,
    validity: Validity,
}

impl Authority {
    /// Reads a CA certificate.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`]; [`CertificateError::NotAnAuthority`] if it is not marked as one
    /// (basicConstraints): a bundle may contain other certificates, which must not issue any.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = read(der)?;
        let subject = certificate.subject().to_string();
        if !certificate.is_ca() {
            return Err(CertificateError::NotAnAuthority { subject });
        }
        let anchor_der = CertificateDer::from(der);
        let anchor = anchor_from_trusted_cert(&anchor_der).map_err(unreadable)?;
        Ok(Self {
            id: ClusterId::of_ca(der),
            anchor: anchor.to_owned(),
            subject,
            validity: Validity::of(&certificate),
        })
    }

    /// The id of the cluster with this CA, if it is also an API server's CA.
    pub(crate) fn id(&self) -> ClusterId {
        self.id
    }

    /// The distinguished name, for display.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// A certificate for one node, with no part that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    der: Vec<u8>,
    subject: Subject,
    names: BTreeSet<ServerName>,
    usages: BTreeSet<Usage>,
    validity: Validity,
    spki_der: Vec<u8>,
}

impl IssuedCertificate {
    /// Reads a certificate. Does not check its issuer.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`], or [`CertificateError::Subject`] and [`CertificateError::Names`] for
    /// anything but one organization, one common name, DNS names and IP addresses.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = read(der)?;
        Ok(Self {
            der: der.to_vec(),
            subject: Subject::from_der(certificate.subject().as_raw())
                .map_err(CertificateError::Subject)?,
            names: read_names(&certificate)?,
            usages: read_usages(&certificate)?,
            validity: Validity::of(&certificate),
            spki_der: certificate.public_key().raw.to_vec(),
        })
    }

    /// The subject.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The node in the common name, if it is a node's. The organization is not checked.
    pub fn node(&self) -> Option<NodeName> {
        // Any other common name is not a node's.
        NodeName::from_username(&self.subject.common_name).ok()
    }

    /// The subject alternative names; a kubelet's client certificate has none.
    pub fn names(&self) -> &BTreeSet<ServerName> {
        &self.names
    }

    /// The DER of its SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The hash of [`IssuedCertificate::spki_der`].
    pub fn key(&self) -> KeyHash {
        KeyHash::of_spki(&self.spki_der)
    }

    /// The start of the validity period.
    pub fn not_before(&self) -> Timestamp {
        self.validity.not_before
    }

    /// The end of the validity period, inclusive.
    pub fn not_after(&self) -> Timestamp {
        self.validity.not_after
    }

    /// The time nearest to this one within the validity period: to check that an expired certificate was valid once.
    pub fn nearest(&self, at: Timestamp) -> Timestamp {
        at.min(self.validity.not_after)
            .max(self.validity.not_before)
    }

    /// Verifies that the certificate is valid at this time and for this usage, and that one of the authorities valid
    /// then issued it, directly or through `intermediates` (DER, in any order).
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        intermediates: &[Vec<u8>],
        authorities: &[Authority],
        usage: Usage,
        at: Timestamp,
    ) -> Result<(), CertificateError> {
        self.validity.check(at)?;
        if !self.usages.contains(&usage) {
            return Err(CertificateError::WrongUsage { usage });
        }
        let anchors: Vec<TrustAnchor<'_>> = authorities
            .iter()
            .filter(|authority| authority.validity.check(at).is_ok())
            .map(|authority| authority.anchor.clone())
            .collect();
        let intermediates: Vec<CertificateDer<'_>> = intermediates
            .iter()
            .map(|der| der.as_slice().into())
            .collect();
        let leaf = CertificateDer::from(self.der.as_slice());
        // An intermediate needs no usages; if it has some, they restrict it.
        let usage = match usage {
            Usage::ClientAuth => KeyUsage::client_auth(),
            Usage::ServerAuth => KeyUsage::server_auth(),
        };
        EndEntityCert::try_from(&leaf)
            .map_err(unreadable)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                &intermediates,
                unix_time(at)?,
                usage,
                None,
                None,
            )
            .map_err(|error| not_issued(&error))?;
        Ok(())
    }
}

/// The validity period of a certificate, inclusive (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Validity {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        Self {
            not_before: moment(certificate.validity().not_before),
            not_after: moment(certificate.validity().not_after),
        }
    }

    fn check(self, at: Timestamp) -> Result<(), CertificateError> {
        let Self {
            not_before,
            not_after,
        } = self;
        if at < not_before {
            return Err(CertificateError::NotYetValid { not_before, at });
        }
        if at > not_after {
            return Err(CertificateError::Expired { not_after, at });
        }
        Ok(())
    }
}

/// Converts a time in a certificate. The last day of the year 9999, which means no end (RFC 5280 section 4.1.2.5), is
/// later than [`Timestamp::MAX`].
fn moment(time: ASN1Time) -> Timestamp {
    let least = Timestamp::MIN.as_second();
    let most = Timestamp::MAX.as_second();
    Timestamp::from_second(time.timestamp().clamp(least, most)).unwrap_or(Timestamp::MAX)
}

/// Converts a time for `rustls-webpki`, which supports none before 1970.
fn unix_time(at: Timestamp) -> Result<UnixTime, CertificateError> {
    let seconds = u64::try_from(at.as_second()).map_err(unreadable)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(CertificateError::Unreadable {
            why: "bytes follow it".to_owned(),
        }),
        Err(error) => Err(unreadable(error)),
    }
}

fn read_names(certificate: &X509Certificate<'_>) -> Result<BTreeSet<ServerName>, CertificateError> {
    let extension = certificate
        .get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME)
        .map_err(unreadable)?;
    let Some(extension) = extension else {
        return Ok(BTreeSet::new());
    };
    let names = RequestedNames::from_der(extension.value).map_err(CertificateError::Names)?;
    if let Some(name) = names.emails.iter().chain(&names.uris).next() {
        return Err(CertificateError::ForeignName { name: name.clone() });
    }
    let dns = names.dns.iter().map(|text| {
        ServerName::read_dns(text)
            .ok_or_else(|| CertificateError::ForeignName { name: text.clone() })
    });
    let ips = names.ips.iter().copied().map(ServerName::of_ip).map(Ok);
    dns.chain(ips).collect()
}

fn read_usages(certificate: &X509Certificate<'_>) -> Result<BTreeSet<Usage>, CertificateError> {
    let extension = certificate.extended_key_usage().map_err(unreadable)?;
    // A certificate without the extension has no specific usage: no kubelet's is like that.
    let said = extension.map(|extension| {
        [
            (extension.value.client_auth, Usage::ClientAuth),
            (extension.value.server_auth, Usage::ServerAuth),
        ]
    });
    Ok(said
        .into_iter()
        .flatten()
        .filter_map(|(stands, usage)| stands.then_some(usage))
        .collect())
}

fn unreadable(why: impl fmt::Display) -> CertificateError {
    CertificateError::Unreadable {
        why: why.to_string(),
    }
}

fn not_issued(error: &webpki::Error) -> CertificateError {
    // The same authority name with another key: the authority was recreated under its old name.
    let unknown = [
        webpki::Error::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey,
    ];
    if *error == webpki::Error::CaUsedAsEndEntity {
        CertificateError::IsAnAuthority
    } else if unknown.contains(error) {
        CertificateError::NotIssued
    } else {
        let why = error.to_string();
        CertificateError::NotVerified { why }
    }
}

/// The reason why a certificate is refused. The text follows "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate has expired.
    #[error("expired at {not_after}; it is {at}")]
    Expired {
        /// The end of its validity.
        not_after: Timestamp,
        /// The time of the check.
        at: Timestamp,
    },
    /// A name is neither a host name nor an IP address.
    #[error("holds the name {name:?}, which is neither a host name nor an IP address")]
    ForeignName {
        /// The name.
        name: String,
    },
    /// The certificate is a CA certificate, which no kubelet gets.
    #[error("is that of an authority (CA:TRUE)")]
    IsAnAuthority,
    /// The names are unreadable, for the reason of [`ParseError::as_str`].
    #[error("holds names that cannot be read ({})", .0.as_str())]
    Names(#[source] ParseError),
    /// The certificate is not a CA certificate.
    #[error("of {subject:?} is not that of an authority (CA:TRUE is missing)")]
    NotAnAuthority {
        /// The distinguished name.
        subject: String,
    },
    /// None of the authorities issued it.
    #[error("was issued by none of the authorities that are trusted and hold now")]
    NotIssued,
    /// The certificate, or an intermediate, violates another rule.
    #[error("cannot be verified: {why}")]
    NotVerified {
        /// The rule, in the words of `rustls-webpki`.
        why: String,
    },
    /// The certificate is not valid yet.
    #[error("is not valid before {not_before}; it is {at}")]
    NotYetValid {
        /// The start of its validity.
        not_before: Timestamp,
        /// The time of the check.
        at: Timestamp,
    },
    /// The subject is not exactly one organization and one common name.
    #[error("holds a subject that no kubelet has: {0}")]
    Subject(#[source] ParseError),
    /// The bytes are not the DER of one certificate.
    #[error("cannot be read: {why}")]
    Unreadable {
        /// The message of the parser.
        why: String,
    },
    /// The certificate is for another usage.
    #[error("is not for {usage}")]
    WrongUsage {
        /// The required usage.
        usage: Usage,
    },
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
