//! HTTP to AWS: the client and the TLS stack that the connection to the API server uses too.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Request, StatusCode, Uri};
use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::{Environment, Error};

/// The largest answer that is read. A page of a thousand instances is about five megabytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// The variable that names a file of authorities to trust instead of the public ones (AWS SDKs and Tools Reference
/// Guide).
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// An HTTP client. Cheap to clone: all clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Http {
    /// A client that trusts the public authorities, or those in the file that the environment names.
    ///
    /// # Errors
    /// If that file cannot be used.
    pub(super) fn new(environment: &Environment) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Setting(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots(environment)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends a request and reads the answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if that fails or takes longer than `limit`.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let host = authority(request.uri());
        let unreachable = |message| Error::Unreachable {
            host: host.clone(),
            message,
        };
        let exchange = async {
            let response = self.0.request(request.map(Full::new)).await;
            let (parts, body) = response
                .map_err(|error| unreachable(causes(&error)))?
                .into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| unreachable(error.to_string()))?;
            Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        match timeout(limit, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unreachable(format!("no answer for {} s", limit.as_secs()))),
        }
    }
}

fn authority(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// The innermost cause has the most detail; the outer layers only name the library that passed it on.
fn causes(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

fn roots(environment: &Environment) -> Result<RootCertStore, Error> {
    let Some(path) = environment.get(CA_BUNDLE) else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let wrong = |message: String| Error::Setting(format!("{CA_BUNDLE}: {path}: {message}"));
    let certificates =
        CertificateDer::pem_file_iter(&path).map_err(|error| wrong(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| store.add(certificate).map_err(|error| error.to_string()));
        added.map_err(wrong)?;
    }
    if store.is_empty() {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "nothing\n").unwrap();
        for path in [empty, directory.path().join("missing.pem")] {
            let path = path.display().to_string();
            let environment = Environment::of(&[(CA_BUNDLE, &path)]);
            let error = Http::new(&environment).unwrap_err().to_string();
            assert!(error.contains(&path), "{error}");
        }
    }

    #[test]
    fn a_bundle_takes_the_place_of_the_public_authorities() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key);
        std::fs::write(&path, certificate.unwrap().pem()).unwrap();
        let environment = Environment::of(&[(CA_BUNDLE, &path.display().to_string())]);
        assert_eq!(roots(&environment).unwrap().len(), 1);
        assert!(roots(&Environment::of(&[])).unwrap().len() > 50);
    }
}
