//! The credential that a machine asks with: what it is, and until when it holds, as far as it says so itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::certificates;

/// The groups of clients that are no bootstrappers: who may do anything (Kubernetes
/// `pkg/registry/rbac/escalation_check.go`, kubeadm `ClusterAdminsGroupAndClusterRoleBinding`), and nodes themselves.
const NOT_FOR_MACHINES: [(&str, &str); 3] = [
    ("system:masters", "which may do anything"),
    ("kubeadm:cluster-admins", "which may do anything"),
    (
        "system:nodes",
        "so it is the identity of one node, and every machine would be that node",
    ),
];

/// What proves to the API server who asks. Has no `Debug`, which would show it.
pub(in crate::cli) enum Credential {
    /// A bootstrap token. Its id is no secret.
    BootstrapToken { id: String, token: String },
    /// A client certificate and its key, both in PEM.
    Certificate {
        certificate: Vec<u8>,
        key: Vec<u8>,
        not_after: Timestamp,
    },
    /// Any other token. A JSON Web Token says what it is good for.
    Token {
        token: String,
        claims: Option<Claims>,
    },
}

/// Until when a credential holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ends {
    /// Until this time.
    At(Timestamp),
    /// It says of itself that it has no end.
    Never,
    /// It does not say.
    Unknown,
}

/// What a token says of itself (RFC 7519, section 4.1), unverified.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(in crate::cli) struct Claims {
    exp: Option<f64>,
}

impl Credential {
    /// Sorts a token.
    pub(in crate::cli) fn of_token(token: String) -> Self {
        if let Some(id) = bootstrap_token_id(&token) {
            let id = id.to_owned();
            return Self::BootstrapToken { id, token };
        }
        let claims = claims(&token);
        Self::Token { token, claims }
    }

    /// A client certificate with its key, both in PEM, of whoever may be trusted with no more than asking.
    pub(super) fn of_certificate(certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, String> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let leaf = CertificateDer::from_pem_slice(&certificate)
            .map_err(|_| "client-certificate: holds no PEM block CERTIFICATE".to_owned())?;
        PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| "client-key: holds no private key in PEM".to_owned())?;
        let facts =
            certificates::read(&leaf).map_err(|error| format!("client-certificate: {error}"))?;
        check_groups(&facts.organizations)
            .map_err(|message| format!("client-certificate: {message}"))?;
        Ok(Self::Certificate {
            certificate,
            key,
            not_after: facts.not_after,
        })
    }

    /// Until when it holds.
    pub(in crate::cli) fn ends(&self) -> Ends {
        match self {
            Self::Certificate { not_after, .. } => Ends::At(*not_after),
            Self::BootstrapToken { .. } | Self::Token { claims: None, .. } => Ends::Unknown,
            Self::Token {
                claims: Some(claims),
                ..
            } => claims.exp.map_or(Ends::Never, |seconds| {
                // NumericDate may have a fraction (RFC 7519, section 2).
                format!("{:.0}", seconds.trunc())
                    .parse()
                    .ok()
                    .and_then(|seconds| Timestamp::from_second(seconds).ok())
                    .map_or(Ends::Never, Ends::At)
            }),
        }
    }

    /// What it is, for sentences.
    pub(in crate::cli) fn name(&self) -> String {
        match self {
            Self::BootstrapToken { id, .. } => format!("the bootstrap token {id}"),
            Self::Certificate { .. } => "the client certificate".to_owned(),
            Self::Token { .. } => "the token".to_owned(),
        }
    }
}

/// Refuses who belongs to a group whose rights no machine may have.
pub(in crate::cli) fn check_groups(groups: &[String]) -> Result<(), String> {
    let found = NOT_FOR_MACHINES
        .iter()
        .find(|(group, _)| groups.iter().any(|own| own == group));
    let Some((group, consequence)) = found else {
        return Ok(());
    };
    Err(format!(
        "belongs to the group {group}, {consequence}, and user-data is no secret; make a credential with \
         rollcall-approver bootstrap-kubeconfig"
    ))
}

/// The id of a bootstrap token (Kubernetes `k8s.io/cluster-bootstrap/token/api`, `BootstrapTokenPattern`).
fn bootstrap_token_id(token: &str) -> Option<&str> {
    let (id, secret) = token.split_once('.')?;
    let fits = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (fits(id, 6) && fits(secret, 16)).then_some(id)
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> Credential {
        Credential::of_token(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn a_token_says_until_when_it_holds_if_it_can() {
        let at = |seconds| Ends::At(Timestamp::from_second(seconds).unwrap());
        assert_eq!(jwt(r#"{"exp":1000000}"#).ends(), at(1_000_000));
        assert_eq!(jwt(r#"{"exp":1000000.7}"#).ends(), at(1_000_000));
        assert_eq!(
            jwt(r#"{"sub":"system:serviceaccount:a:b"}"#).ends(),
            Ends::Never
        );
        for opaque in ["sha256~abc", "abcdef.0123456789abcdef", "a.b.c", ""] {
            let credential = Credential::of_token(opaque.to_owned());
            assert_eq!(credential.ends(), Ends::Unknown, "{opaque}");
        }
    }

    #[test]
    fn only_the_form_of_kubernetes_is_a_bootstrap_token() {
        let name = |token: &str| Credential::of_token(token.to_owned()).name();
        assert_eq!(
            name("abcdef.0123456789abcdef"),
            "the bootstrap token abcdef"
        );
        for other in [
            "ABCDEF.0123456789abcdef",
            "abcde.0123456789abcdef",
            "abcdef.0123456789abcde",
            "abcdef0123456789abcdef",
        ] {
            assert_eq!(name(other), "the token", "{other}");
        }
    }
}
