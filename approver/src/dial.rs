//! Dials nodes to read their serving certificates. A dial is only a TLS handshake: it sends no data, shows no client
//! certificate, uses no proxy, and closes at once.
//!
//! The core verifies the certificate, because it has the CA, the name and the time. Here the peer only proves that it has
//! the key of the certificate that it shows.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use rollcall_approver_core::{Chain, Change, Dial, Served};
use rollcall_csr::NodeName;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tracing::debug;

use crate::engine::Input;

/// The limit for connection and handshake, for each address.
const LIMIT: Duration = Duration::from_secs(3);
/// The time without an answer after which the next address is dialled in parallel (RFC 8305, section 8, gives 250 ms).
const NEXT: Duration = Duration::from_millis(250);
/// The number of concurrent dials. A silent node costs a socket, and its dial ends soon after [`LIMIT`].
pub(crate) const DIALS: usize = 256;

/// Dials nodes at one port.
#[derive(Clone)]
pub(crate) struct Dialer {
    connector: TlsConnector,
    port: u16,
}

impl Dialer {
    /// A dialer for this port.
    ///
    /// # Errors
    /// If the TLS library cannot be set up.
    pub(crate) fn new(port: u16) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let witness = Witness(provider.signature_verification_algorithms);
        let config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?;
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(witness))
            .with_no_client_auth();
        // A resumed session does not show a certificate.
        config.resumption = Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            port,
        })
    }

    /// Dials a node at its addresses in their order, each a moment after the previous one, until one answers with a
    /// certificate.
    pub(crate) async fn dial(&self, dial: &Dial) -> Served {
        let mut failures = Vec::new();
        let mut answer = None;
        let mut tries = FuturesUnordered::new();
        let mut left = dial.addresses.iter();
        loop {
            let next = left.next();
            tries.extend(next.map(|address| self.try_one(*address)));
            if tries.is_empty() {
                break;
            }
            let more = left.len() > 0;
            let tried = tokio::select! {
                tried = tries.next() => tried,
                () = sleep(NEXT), if more => continue,
            };
            match tried {
                Some(Ok(chain)) => {
                    answer = Some(chain);
                    break;
                }
                Some(Err(failure)) => failures.push(failure),
                None => {}
            }
        }
        Served {
            at: Timestamp::now(),
            addresses: dial.addresses.clone(),
            answer: answer.ok_or_else(|| failures.join("; ")),
        }
    }

    async fn try_one(&self, address: IpAddr) -> Result<Chain, String> {
        let tried = timeout(LIMIT, self.handshake(address)).await;
        let tried = tried.unwrap_or_else(|_| {
            let error = format!("no answer for {} s", LIMIT.as_secs());
            Err(std::io::Error::other(error))
        });
        tried.map_err(|error| format!("{}: {error}", SocketAddr::new(address, self.port)))
    }

    async fn handshake(&self, address: IpAddr) -> std::io::Result<Chain> {
        let stream = TcpStream::connect(SocketAddr::new(address, self.port)).await?;
        let name = ServerName::IpAddress(address.into());
        let mut stream = self.connector.connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let certificates = shown.unwrap_or_default().iter();
        let chain = Chain {
            address,
            certificates: certificates.map(|der| der.to_vec()).collect(),
        };
        if let Err(error) = stream.shutdown().await {
            debug!(%address, %error, "the connection was not closed as it should");
        }
        Ok(chain)
    }
}

/// Dials the nodes that the engine requests, each by one dial at a time, and sends it the results until the engine ends.
pub(crate) async fn run(
    dialer: Dialer,
    mut wanted: mpsc::UnboundedReceiver<Dial>,
    news: mpsc::Sender<Input>,
) -> anyhow::Result<()> {
    let mut queue: VecDeque<Dial> = VecDeque::new();
    let mut busy: HashSet<NodeName> = HashSet::new();
    let mut dials: JoinSet<(NodeName, Served)> = JoinSet::new();
    loop {
        tokio::select! {
            dial = wanted.recv() => {
                let Some(dial) = dial else {
                    return Ok(());
                };
                // A result wakes all requests that wait for it, and then the engine may request another dial.
                if busy.insert(dial.node.clone()) {
                    queue.push_back(dial);
                }
            }
            Some(ended) = dials.join_next() => {
                let (node, served) = ended.context("a dial ended without an answer")?;
                busy.remove(&node);
                debug!(%node, answered = served.answer.is_ok(), "dialled a node");
                let change = Change::Served(node, served);
                if news.send(Input::Change(change)).await.is_err() {
                    return Ok(());
                }
            }
        }
        while dials.len() < DIALS {
            let Some(dial) = queue.pop_front() else {
                break;
            };
            let dialer = dialer.clone();
            dials.spawn(async move {
                let served = dialer.dial(&dial).await;
                (dial.node, served)
            });
        }
    }
}

/// Accepts any certificate, and verifies only that the peer has its key.
#[derive(Debug)]
struct Witness(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
