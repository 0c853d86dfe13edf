//! The bootstrap credential, and the checks of its validity that need no API server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::certificate;
use crate::kubeconfig::{Data, Selected, Unusable};
use crate::words;

/// A token or certificate further in the future than this means that a clock is wrong (the API server itself accepts no
/// future time; the signer backdates certificates by five minutes).
pub(crate) const FUTURE: Duration = Duration::from_mins(5);

/// The credential for the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The kind and place, for messages: "the token in /etc/kubernetes/bootstrap-kubelet.conf".
    pub name: String,
    /// The start of its validity, if it contains one.
    pub not_before: Option<Timestamp>,
    /// The expiry, if it contains one.
    pub not_after: Option<Timestamp>,
}

/// The validity of a credential by this machine's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Expired, at this time.
    Expired(Timestamp),
    /// Valid from this later time. This machine's clock is probably wrong.
    NotYet(Timestamp),
    /// Not known to be invalid.
    Usable,
}

impl Credential {
    /// Reads the credential that the kubeconfig `file` selects.
    ///
    /// # Errors
    /// If it is missing, or a file it references cannot be read.
    pub fn of(selected: &Selected, file: &Path) -> Result<Self, CredentialError> {
        // The precedence of credentials in client-go and kube.
        if let Some(token) = selected.token()? {
            let file = token.file.as_deref().unwrap_or(file);
            return Ok(Self::of_token(&token.text, file));
        }
        if let Some(Data {
            contents: pem,
            file: from,
        }) = selected.client_certificate()?
        {
            return Self::of_certificate(&pem, from.as_deref().unwrap_or(file));
        }
        if runs_program(selected) {
            let name = format!(
                "the credential that a program named in {} gives",
                file.display()
            );
            return Ok(Self {
                name,
                not_before: None,
                not_after: None,
            });
        }
        Err(CredentialError::None)
    }

    fn of_token(token: &str, file: &Path) -> Self {
        let claims = claims(token);
        let time = |claim: &str| {
            claims
                .as_ref()
                .and_then(|claims| numeric_date(claims.get(claim)?))
        };
        Self {
            name: format!("the token in {}", file.display()),
            not_before: time("nbf").or_else(|| time("iat")),
            not_after: time("exp"),
        }
    }

    fn of_certificate(pem: &[u8], file: &Path) -> Result<Self, CredentialError> {
        let chain = certificate::Chain::from_pem(pem)
            .map_err(|_| CredentialError::NotACertificate(file.to_owned()))?;
        let (not_before, not_after) = chain
            .validity()
            .map_err(|_| CredentialError::NotACertificate(file.to_owned()))?;
        let name = format!("the client certificate in {}", file.display());
        Ok(Self {
            name,
            not_before: Some(not_before),
            not_after: Some(not_after),
        })
    }

    /// Returns the validity by this machine's clock.
    pub fn validity(&self, now: Timestamp) -> Validity {
        if let Some(at) = self.not_after.filter(|at| *at <= now) {
            return Validity::Expired(at);
        }
        match self
            .not_before
            .filter(|at| *at > now && words::distance(*at, now) > FUTURE)
        {
            Some(at) => Validity::NotYet(at),
            None => Validity::Usable,
        }
    }
}

/// Returns true if the kubeconfig gets its credential from a program.
pub fn runs_program(selected: &Selected) -> bool {
    selected.user.exec.is_some() || selected.user.auth_provider.is_some()
}

/// Returns the claims of a JSON Web Token (RFC 7519), unverified: the API server verifies them, this only explains.
/// Bootstrap tokens and opaque tokens have none.
fn claims(token: &str) -> Option<serde_json::Value> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    if parts.next().is_some() {
        None
    } else {
        serde_json::from_slice(&payload).ok()
    }
}

/// Parses seconds since 1970, possibly with a fraction (RFC 7519 section 2, NumericDate).
fn numeric_date(value: &serde_json::Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| {
        let whole = value.as_f64()?.trunc();
        format!("{whole:.0}").parse().ok()
    })?;
    Timestamp::from_second(seconds).ok()
}

/// The reason why the credential is unusable or missing. The text follows the name of the kubeconfig, unless it names a
/// file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// No token, certificate or program.
    #[error(
        "has no credential for its current context: no token, tokenFile, client-certificate or exec"
    )]
    None,
    /// The client certificate is not a certificate.
    #[error("has a client certificate in {} that cannot be read as one", .0.display())]
    NotACertificate(PathBuf),
    /// A file that it references is unusable.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn of_token(token: &str) -> Credential {
        Credential::of_token(token, Path::new("/f"))
    }

    #[test]
    fn tokens_say_when_they_end() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let expired = of_token(&jwt(r#"{"exp":999999}"#));
        assert_eq!(
            expired.validity(now),
            Validity::Expired(Timestamp::from_second(999_999).unwrap())
        );
        assert_eq!(
            of_token(&jwt(r#"{"exp":1000001.5,"iat":999000}"#)).validity(now),
            Validity::Usable
        );
    }

    #[test]
    fn tokens_from_the_future_point_at_the_clock() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let future = of_token(&jwt(r#"{"nbf":2000000,"exp":3000000}"#));
        assert_eq!(
            future.validity(now),
            Validity::NotYet(Timestamp::from_second(2_000_000).unwrap())
        );
        assert_eq!(
            of_token(&jwt(r#"{"iat":1000200}"#)).validity(now),
            Validity::Usable,
            "within the skew"
        );
    }

    #[test]
    fn opaque_tokens_say_nothing() {
        for token in [
            "abcdef.0123456789abcdef",
            "x",
            "a.b.c",
            "e30.bm8.c2ln",
            "a.b.c.d",
        ] {
            let credential = of_token(token);
            assert_eq!(
                (credential.not_before, credential.not_after),
                (None, None),
                "{token}"
            );
            assert!(!credential.name.contains(token) || token.len() == 1);
        }
    }
}
