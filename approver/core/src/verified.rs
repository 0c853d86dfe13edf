//! A cache of certificate verifications with the kubelet CA: each certificate is verified once, however often it is
//! shown.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use rollcall_csr::ClusterId;

use crate::{Authority, CertificateError, IssuedCertificate, Usage};

/// The maximum number of cached results: several times the number that is examined for one node name.
const MOST: usize = 4096;
/// The lifetime of a result, in seconds: certificates and authorities expire.
const FRESH: i64 = 600;

/// The certificate, the authorities that it is verified with, and the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    /// The hash, of the same kind as that of a CA certificate.
    certificate: ClusterId,
    authorities: Vec<ClusterId>,
    /// In units of [`FRESH`].
    at: i64,
}

/// The cached results.
#[derive(Debug, Default)]
pub struct Verified(Mutex<HashMap<Question, Result<IssuedCertificate, String>>>);

impl Verified {
    /// Returns the parsed client certificate if it was valid when it last was within its validity period and one of the
    /// authorities issued it; otherwise the error.
    pub(crate) fn client(
        &self,
        der: &[u8],
        authorities: &[Authority],
        now: Timestamp,
    ) -> Result<IssuedCertificate, String> {
        let question = Question {
            certificate: ClusterId::of_ca(der),
            authorities: authorities.iter().map(Authority::id).collect(),
            at: now.as_second().checked_div(FRESH).unwrap_or_default(),
        };
        // If another thread has panicked while holding the lock, nothing is cached any more.
        let Ok(mut known) = self.0.lock() else {
            return verify(der, authorities, now);
        };
        if let Some(answer) = known.get(&question) {
            return answer.clone();
        }
        if known.len() >= MOST {
            known.clear();
        }
        let answer = verify(der, authorities, now);
        known.insert(question, answer.clone());
        answer
    }
}

/// Parses and verifies a client certificate.
pub(crate) fn verify(
    der: &[u8],
    authorities: &[Authority],
    now: Timestamp,
) -> Result<IssuedCertificate, String> {
    let says = |error: CertificateError| format!("the certificate {error}");
    let certificate = IssuedCertificate::from_der(der).map_err(says)?;
    // It may have expired long ago: it only has to have been valid.
    let at = certificate.nearest(now);
    certificate
        .verify(&[], authorities, Usage::ClientAuth, at)
        .map_err(says)?;
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use rollcall_csr::{CertificationRequest, Evidence, EvidenceError};

    use super::*;
    use crate::evidence_fixtures::{Holder, show};
    use crate::fixtures::{Asked, request};
    use crate::issuing_fixtures::{Issuer, Leaf, midnight};

    #[test]
    fn a_certificate_is_verified_once_and_more_than_one_is_refused() {
        let (issuer, other) = (Issuer::new("ca"), Issuer::new("ca"));
        let der = issuer.issue(&Leaf::client("worker-0"));
        let verified = Verified::default();
        let known = |verified: &Verified| verified.0.lock().unwrap().len();
        for _ in 0..3 {
            let good = verified.client(&der, &[issuer.authority()], midnight(15));
            assert_eq!(good, verify(&der, &[issuer.authority()], midnight(15)));
            assert!(good.is_ok());
            let bad = verified.client(&der, &[other.authority()], midnight(15));
            assert_eq!(bad, verify(&der, &[other.authority()], midnight(15)));
            assert!(bad.is_err());
            assert_eq!(known(&verified), 2);
        }
        // Another time is another cache key, and the cache is bounded.
        for number in 0..MOST {
            let number = u32::try_from(number).unwrap().to_be_bytes();
            assert!(verified.client(&number, &[], midnight(15)).is_err());
        }
        assert!(known(&verified) <= MOST);

        let holder = Holder::new();
        let mut asked = request("csr-0", "worker-0", 0);
        let statement = holder.previous(&asked);
        show(&mut asked, 0, vec![statement.clone()]);
        assert!(asked.content.unwrap().evidence().is_ok());
        let pem = Asked::of_kubelet("worker-0", 0).pem();
        let twice = Evidence::new(vec![statement.clone(), statement]).unwrap();
        let content = CertificationRequest::from_pem(format!("{pem}{}", twice.to_pem()).as_bytes());
        let content = content.unwrap();
        assert_eq!(content.evidence(), Err(&EvidenceError::TooManyStatements));
    }
}
