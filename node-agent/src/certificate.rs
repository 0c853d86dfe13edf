//! Checks of certificates: for the right key and node, valid now, and from this cluster.

use jiff::Timestamp;
use rollcall_csr::{NODES_GROUP, NodeName};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use crate::words;

/// A certificate and its intermediates, leaf first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Reads every certificate of a PEM text; skips other blocks.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`] if the text has none, or PEM or a certificate is malformed.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let mut certificates = certificates(pem)?.into_iter();
        let leaf = certificates.next().ok_or(CertificateError::Unreadable)?;
        Ok(Self {
            leaf,
            intermediates: certificates.collect(),
        })
    }

    /// The certificates as DER, leaf first.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.leaf).chain(&self.intermediates)
    }

    /// The validity period of the leaf.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn validity(&self) -> Result<(Timestamp, Timestamp), CertificateError> {
        let leaf = parse(&self.leaf)?;
        Ok((
            moment(leaf.validity().not_before)?,
            moment(leaf.validity().not_after)?,
        ))
    }

    /// Checks that the leaf is a kubelet's client certificate for this key and node, valid now. Returns its expiry.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(
        &self,
        spki_der: &[u8],
        node: &NodeName,
        now: Timestamp,
    ) -> Result<Timestamp, CertificateError> {
        let leaf = parse(&self.leaf)?;
        if leaf.public_key().raw != spki_der {
            return Err(CertificateError::AnotherKey);
        }
        check_subject(leaf.subject(), node)?;
        let usage = leaf.extended_key_usage().ok().flatten();
        if !usage.is_some_and(|usage| usage.value.client_auth) {
            return Err(CertificateError::NotForClients);
        }
        let (not_before, not_after) = self.validity()?;
        if now < not_before {
            return Err(CertificateError::NotYetValid { not_before, now });
        }
        if now >= not_after {
            return Err(CertificateError::Expired { not_after, now });
        }
        Ok(not_after)
    }

    /// Returns true if a path of valid signatures leads from the leaf to one of these CA certificates.
    pub fn leads_to(&self, authorities: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let authorities: Vec<_> = authorities
            .iter()
            .filter_map(|der| parse(der).ok())
            .collect();
        let intermediates: Vec<_> = self
            .intermediates
            .iter()
            .filter_map(|der| parse(der).ok())
            .collect();
        let Ok(leaf) = parse(&self.leaf) else {
            return false;
        };
        let mut current = &leaf;
        // Each step uses up one intermediate, so a cycle of them ends too.
        for _ in 0..=intermediates.len() {
            if authorities
                .iter()
                .any(|authority| signed(current, authority, now))
            {
                return true;
            }
            let Some(next) = intermediates.iter().find(|next| signed(current, next, now)) else {
                return false;
            };
            current = next;
        }
        false
    }
}

/// Returns every certificate in a PEM text.
///
/// # Errors
/// [`CertificateError::Unreadable`] if PEM or a certificate is malformed.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Unreadable)?;
    for certificate in &certificates {
        parse(certificate)?;
    }
    Ok(certificates)
}

/// Returns the SubjectPublicKeyInfo, in DER, of the private key in a PEM text; `None` without a usable key. Reads SEC
/// 1, as kubelet writes it, and PKCS#8, as the agent does.
pub fn spki_of_private_key(pem: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).ok()?;
    key.public_key().map(|spki| spki.as_ref().to_vec())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let Ok((rest, certificate)) = X509Certificate::from_der(der) else {
        return Err(CertificateError::Unreadable);
    };
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(CertificateError::Unreadable)
    }
}

fn moment(time: ASN1Time) -> Result<Timestamp, CertificateError> {
    Timestamp::from_second(time.timestamp()).map_err(|_| CertificateError::Unreadable)
}

/// Checks for exactly one organization and one common name, as requested, and nothing else.
fn check_subject(subject: &X509Name<'_>, node: &NodeName) -> Result<(), CertificateError> {
    let username = node.username();
    let values = |mut values: Box<dyn Iterator<Item = Option<String>> + '_>| {
        (values.next().flatten(), values.next())
    };
    let organizations = values(Box::new(
        subject
            .iter_organization()
            .map(|o| o.as_str().ok().map(str::to_owned)),
    ));
    let names = values(Box::new(
        subject
            .iter_common_name()
            .map(|name| name.as_str().ok().map(str::to_owned)),
    ));
    let exact = organizations == (Some(NODES_GROUP.to_owned()), None)
        && names == (Some(username.clone()), None)
        && subject.iter_attributes().count() == 2;
    if exact {
        Ok(())
    } else {
        Err(CertificateError::AnotherSubject {
            subject: words::shortened(&subject.to_string(), 200),
            username,
        })
    }
}

fn signed(
    certificate: &X509Certificate<'_>,
    authority: &X509Certificate<'_>,
    now: Timestamp,
) -> bool {
    let at = ASN1Time::from_timestamp(now.as_second());
    certificate.issuer() == authority.subject()
        && authority.is_ca()
        && at.is_ok_and(|at| authority.validity().is_valid_at(at))
        && certificate
            .verify_signature(Some(authority.public_key()))
            .is_ok()
}

/// The reason why a certificate is refused. The text follows "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate is for another key.
    #[error("is for another key than the one in hand")]
    AnotherKey,
    /// The certificate is for another subject.
    #[error("is for the subject {subject:?} instead of exactly O={NODES_GROUP}, CN={username}")]
    AnotherSubject {
        /// The subject in the certificate.
        subject: String,
        /// The expected user name.
        username: String,
    },
    /// The certificate has expired.
    #[error(
        "expired at {}, {} before {}, the time of this machine's clock",
        words::moment(*not_after), words::span(words::distance(*now, *not_after)), words::moment(*now)
    )]
    Expired {
        /// The expiry.
        not_after: Timestamp,
        /// The time of this machine's clock.
        now: Timestamp,
    },
    /// The extended key usage client auth is missing.
    #[error("may not be used by clients (no extended key usage client auth)")]
    NotForClients,
    /// The certificate is not valid yet.
    #[error(
        "is valid from {} on, but the clock of this machine says {}: it is {} behind; set it right",
        words::moment(*not_before), words::moment(*now), words::span(words::distance(*now, *not_before))
    )]
    NotYetValid {
        /// The start of the validity period.
        not_before: Timestamp,
        /// The time of this machine's clock.
        now: Timestamp,
    },
    /// No certificate, or an unreadable one.
    #[error("cannot be read as an X.509 certificate in PEM")]
    Unreadable,
    /// No signature path to the CA.
    #[error("is not signed by the CA in {0}")]
    UnknownAuthority(String),
}
