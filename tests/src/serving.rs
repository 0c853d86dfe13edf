//! A pretended kubelet: it serves a certificate, and nothing else.

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
    /// Serves a certificate at this address; port 0 means any that is free.
    ///
    /// # Errors
    /// If the address is taken, or certificate and key do not belong together.
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
                // Whoever breaks off has seen enough.
                tokio::spawn(async move { acceptor.accept(stream).await.map(drop).ok() });
            }
        });
        Ok(Self { port, task })
    }

    /// The port that it serves at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it, and waits until nobody listens any more.
    pub async fn stop(mut self) {
        self.task.abort();
        // The listener is gone when the task is.
        (&mut self.task).await.ok();
    }
}

impl Drop for PretendedKubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What serves a certificate.
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
