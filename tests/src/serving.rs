//! A fake kubelet: it only serves a certificate.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::IssuedCertificate;

/// A server that ends with this value.
#[derive(Debug)]
pub struct PretendedKubelet {
    port: u16,
    task: JoinHandle<()>,
}

impl PretendedKubelet {
    /// Serves a certificate at this address; port 0 selects any free port.
    ///
    /// # Errors
    /// If the address is in use, or certificate and key do not match.
    pub async fn start(ip: IpAddr, port: u16, certificate: &IssuedCertificate) -> Result<Self> {
        let acceptor = acceptor(certificate)?;
        let listener = TcpListener::bind((ip, port))
            .await
            .with_context(|| format!("cannot listen on {ip}, port {port}"))?;
        let port = listener
            .local_addr()
            .context("a listener has an address")?
            .port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that closes the connection has seen enough.
                tokio::spawn(async move { acceptor.accept(stream).await.map(drop).ok() });
            }
        });
        Ok(Self { port, task })
    }

    /// The port that it serves on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it, and waits until the port is closed.
    pub async fn stop(mut self) {
        self.task.abort();
        // The listener is closed when the task ends.
        (&mut self.task).await.ok();
    }
}

impl Drop for PretendedKubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The TLS acceptor for a certificate.
pub(crate) fn acceptor(certificate: &IssuedCertificate) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate cannot be read")?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .context("the key cannot be read")?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("cannot serve the certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
