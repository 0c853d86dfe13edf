//! A TLS server in front of a plain HTTP server. Its certificate can be replaced while it runs, as an API server's is when
//! the CA of its cluster is.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::IssuedCertificate;
use crate::serving::acceptor;

/// The TLS server. It ends with this value.
pub struct Front {
    address: SocketAddr,
    acceptor: watch::Sender<TlsAcceptor>,
    task: JoinHandle<()>,
}

impl Front {
    /// Listens on loopback, and forwards to this address on loopback.
    ///
    /// # Errors
    /// If it cannot listen, or the certificate cannot be served.
    pub async fn start(certificate: &IssuedCertificate, behind: SocketAddr) -> Result<Self> {
        let (sender, acceptor) = watch::channel(acceptor(certificate)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback")?;
        Ok(Self {
            address: listener.local_addr()?,
            acceptor: sender,
            task: tokio::spawn(accept(listener, acceptor, behind)),
        })
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Serves another certificate from now on, and closes every connection, as a restart does.
    ///
    /// # Errors
    /// If the certificate cannot be served.
    pub fn replace(&self, certificate: &IssuedCertificate) -> Result<()> {
        self.acceptor.send_replace(acceptor(certificate)?);
        Ok(())
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Front")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    mut acceptor: watch::Receiver<TlsAcceptor>,
    behind: SocketAddr,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let acceptor = acceptor.borrow().clone();
                connections.spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut server = TcpStream::connect(behind).await.ok()?;
                    copy_bidirectional(&mut stream, &mut server).await.ok()
                });
            },
            changed = acceptor.changed() => match changed {
                Ok(()) => connections.abort_all(),
                Err(_) => return,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}
