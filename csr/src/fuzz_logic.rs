//! The invariants that hold for every input, called by the fuzz targets and by a test that replays the vectors.
//!
//! x509-parser, which this crate uses nowhere else, is the second opinion: it must read everything that this crate reads, with
//! the same subject, names and key. The signature is not compared, because no mutation would pass it.

use std::error::Error;
use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::request::Unverified;
use crate::{
    CertificationRequest, Evidence, EvidenceError, MAX_STATEMENTS, ParseError, Statement, pem,
};

/// Reads any bytes as PEM.
///
/// # Panics
/// If an invariant is violated.
pub fn csr_pem(text: &[u8]) {
    match pem::read(text) {
        Ok((der, blocks)) => {
            let with_evidence = CertificationRequest::from_pem(text);
            // Evidence, valid or not, does not change the request.
            assert_eq!(
                with_evidence.as_ref().map(Seen::from),
                CertificationRequest::from_der(&der)
                    .as_ref()
                    .map(Seen::from)
            );
            if let Ok(request) = with_evidence {
                check_evidence(request.evidence());
            }
            csr_der(&der);
            blocks.iter().flatten().for_each(|block| evidence(block));
        }
        Err(error) => check_refusal(&error),
    }
}

/// Reads any bytes as the DER of evidence.
///
/// # Panics
/// If an invariant is violated.
pub fn evidence(der: &[u8]) {
    let read = Evidence::from_der(der);
    check_evidence(read.as_ref().map(Evidence::statements));
    if let Ok(evidence) = read {
        assert_eq!(evidence.to_der(), der, "there is one encoding only");
        let pem = evidence.to_pem();
        let (_, blocks) = pem::read(format!("{EMPTY_REQUEST}{pem}").as_bytes()).unwrap_or_default();
        assert_eq!(blocks, [Ok(der.to_vec())]);
        let longer = [der, &[0]].concat();
        assert!(Evidence::from_der(&longer).is_err());
    }
}

/// A block that [`pem::read`] accepts although it holds no request.
const EMPTY_REQUEST: &str =
    "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n";

/// Checks that evidence is a short list of statements, or refused with a known word and a one-line message.
fn check_evidence(evidence: Result<&[Statement], &EvidenceError>) {
    match evidence {
        Ok(statements) => {
            assert!(statements.len() <= MAX_STATEMENTS);
            statements.iter().for_each(check_statement);
        }
        Err(error) => {
            assert!(EvidenceError::ALL_WORDS.contains(&error.as_str()));
            check_message(error);
        }
    }
}

/// Checks that the kind is printable, and that x509-parser finds the same key in a certificate if it can read it.
fn check_statement(statement: &Statement) {
    assert!((1..=63).contains(&statement.kind().len()));
    assert!(statement.kind().chars().all(|c| c.is_ascii_graphic()));
    if let Statement::PreviousCertificate(previous) = statement
        && let Ok((rest, certificate)) = X509Certificate::from_der(previous.certificate_der())
    {
        assert!(rest.is_empty());
        let key = certificate.public_key().raw;
        assert_eq!(key, previous.key().spki_der());
    }
}

/// Reads any bytes as DER.
///
/// # Panics
/// If an invariant is violated.
pub fn csr_der(der: &[u8]) {
    let verified = CertificationRequest::from_der(der);
    match Unverified::read(der).map(|unverified| unverified.request) {
        Ok(request) => {
            assert!(
                !request.subject().common_name.is_empty()
                    && !request.subject().organization.is_empty()
            );
            assert_eq!(second_opinion(der).as_ref(), Some(&Seen::from(&request)));
            assert!(verified.is_err() || verified == Ok(request));
            let longer = [der, &[0]].concat();
            assert!(CertificationRequest::from_der(&longer).is_err());
        }
        Err(error) => {
            check_refusal(&error);
            assert_eq!(verified, Err(error));
        }
    }
}

/// Checks that a refusal has a known word and a one-line message, for any input.
fn check_refusal(error: &ParseError) {
    assert!(ParseError::ALL_WORDS.contains(&error.as_str()));
    check_message(error);
}

fn check_message(error: &dyn Error) {
    assert!(
        error
            .to_string()
            .chars()
            .all(|c| c == ' ' || c.is_ascii_graphic())
    );
}

/// The fields of a request, as one parser reads them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    organizations: Vec<String>,
    common_names: Vec<String>,
    dns: Vec<String>,
    emails: Vec<String>,
    ips: Vec<IpAddr>,
    uris: Vec<String>,
    spki_der: Vec<u8>,
}

impl From<&CertificationRequest> for Seen {
    fn from(request: &CertificationRequest) -> Self {
        let names = request.names().clone();
        Self {
            organizations: vec![request.subject().organization.clone()],
            common_names: vec![request.subject().common_name.clone()],
            dns: names.dns,
            emails: names.emails,
            ips: names.ips,
            uris: names.uris,
            spki_der: request.public_key().spki_der().to_vec(),
        }
    }
}

/// The request as x509-parser reads it; `None` if it cannot, or if it finds a field that is not allowed.
fn second_opinion(der: &[u8]) -> Option<Seen> {
    let (rest, request) = X509CertificationRequest::from_der(der).ok()?;
    let info = &request.certification_request_info;
    let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        value.as_str().ok().map(str::to_owned)
    };
    let mut seen = Seen {
        organizations: info
            .subject
            .iter_organization()
            .map(text)
            .collect::<Option<_>>()?,
        common_names: info
            .subject
            .iter_common_name()
            .map(text)
            .collect::<Option<_>>()?,
        spki_der: info.subject_pki.raw.to_vec(),
        ..Seen::default()
    };
    for attribute in info.attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
            return None;
        };
        for extension in &requested.extensions {
            let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension()
            else {
                return None;
            };
            names
                .general_names
                .iter()
                .try_for_each(|name| see_name(&mut seen, name))?;
        }
    }
    (rest.is_empty() && info.subject.iter_attributes().count() == 2).then_some(seen)
}

fn see_name(seen: &mut Seen, name: &GeneralName<'_>) -> Option<()> {
    if let GeneralName::DNSName(dns) = name {
        seen.dns.push((*dns).to_owned());
    } else if let GeneralName::RFC822Name(email) = name {
        seen.emails.push((*email).to_owned());
    } else if let GeneralName::URI(uri) = name {
        seen.uris.push((*uri).to_owned());
    } else if let GeneralName::IPAddress(octets) = name {
        let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
        seen.ips.push(
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
                .ok()?,
        );
    } else {
        return None;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the vectors are files")]
    fn holds_of_every_vector() {
        for folder in ["../tests/cases/csr", "../fuzz/seeds/evidence"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for entry in std::fs::read_dir(folder).unwrap() {
                let data = std::fs::read(entry.unwrap().path()).unwrap();
                csr_pem(&data);
                csr_der(&data);
                evidence(&data);
            }
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the seeds are files")]
    fn every_seed_of_evidence_is_good() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/evidence");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let read = Evidence::from_der(&std::fs::read(&path).unwrap());
            assert!(read.is_ok(), "{}: {read:?}", path.display());
        }
    }

    /// The reason why this crate has its own parser: the usual way to use x509-parser misses the name that Go signs.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the vectors are files")]
    fn x509_parser_alone_does_not_show_the_names_of_a_second_extension_request() {
        let file = "../tests/cases/csr/two-extension-requests.der";
        let der = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.requested_extensions().map(Iterator::count), Some(0));
        assert_eq!(
            CertificationRequest::from_der(&der),
            Err(ParseError::SeveralExtensionRequests)
        );
    }
}
