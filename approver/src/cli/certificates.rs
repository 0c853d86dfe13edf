//! CA certificates in PEM: read strictly, written anew, so that nothing else that a file holds comes along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// Characters of base64 in a line of PEM (RFC 7468, section 2).
const LINE: usize = 64;

/// Certificates that something is trusted by; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority(Vec<CertificateDer<'static>>);

impl Authority {
    /// Reads the certificates of a PEM text and leaves out its other blocks. At least one has to be valid at `now`.
    pub(super) fn from_pem(pem: &[u8], now: Timestamp) -> Result<Self, String> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("is not PEM: {error}"))?;
        Self::from_der(certificates, now)
    }

    /// As [`Authority::from_pem`], of certificates as DER.
    pub(super) fn from_der(
        certificates: Vec<CertificateDer<'static>>,
        now: Timestamp,
    ) -> Result<Self, String> {
        let mut last_end: Option<Timestamp> = None;
        for certificate in &certificates {
            last_end = last_end.max(Some(read(certificate)?.not_after));
        }
        match last_end {
            None => Err("holds no PEM block CERTIFICATE".to_owned()),
            Some(end) if end <= now => Err(format!("expired at {end}")),
            Some(_) => Ok(Self(certificates)),
        }
    }

    /// The certificates as PEM.
    pub(super) fn to_pem(&self) -> String {
        self.0.iter().map(|der| pem_block(der)).collect()
    }
}

fn pem_block(der: &[u8]) -> String {
    let mut block = "-----BEGIN CERTIFICATE-----".to_owned();
    for (number, character) in STANDARD.encode(der).chars().enumerate() {
        if number.is_multiple_of(LINE) {
            block.push('\n');
        }
        block.push(character);
    }
    block.push_str("\n-----END CERTIFICATE-----\n");
    block
}

/// What counts of a certificate here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Until when it holds.
    pub(super) not_after: Timestamp,
    /// The groups of whoever shows it to the API server: its organizations.
    pub(super) organizations: Vec<String>,
}

/// Reads one certificate.
pub(super) fn read(der: &[u8]) -> Result<Facts, String> {
    let unreadable = || "holds a certificate that cannot be read".to_owned();
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
    let end = certificate.validity().not_after.timestamp();
    let organizations = certificate.subject().iter_organization();
    Ok(Facts {
        not_after: Timestamp::from_second(end).map_err(|_| unreadable())?,
        organizations: organizations
            .filter_map(|name| name.as_str().ok().map(str::to_owned))
            .collect(),
    })
}
