//! The connections of a server that untrusted peers may reach: limited in number, for each peer and in duration.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::debug;

/// The time that a peer has to send the head of its request.
const HEAD: Duration = Duration::from_secs(5);
/// The longest duration of a connection. Each serves one request: probes and Prometheus usually open new connections.
const LASTS: Duration = Duration::from_secs(30);
/// The number of connections at one time: a few for each legitimate client.
const CONNECTIONS: usize = 128;
/// The number of connections of one peer, so that no pod blocks the others.
const OF_ONE_PEER: usize = 16;
/// The most bytes kept of the head of a request: the minimum that `hyper` needs.
const BUFFER: usize = 8 * 1024;
/// The pause after the system failed to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves without end.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let peers = Peers::default();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // A connection above the limit is closed at once.
        if let Some(place) = peers.admit(peer.ip()) {
            let router = router.clone();
            tokio::spawn(async move {
                answer(stream, router).await;
                drop(place);
            });
        }
    }
}

/// Answers one request.
async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(LASTS, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection ended early"),
        Err(_) => debug!("a connection lasted too long"),
    }
}

/// The number of connections of each peer.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The slot of one connection, which is released when this is dropped.
struct Place {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    /// Takes a slot for a connection of this peer, if there is one.
    fn admit(&self, peer: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let own = counts.get(&peer).copied().unwrap_or_default();
        if all >= CONNECTIONS || own >= OF_ONE_PEER {
            return None;
        }
        counts.insert(peer, own.saturating_add(1));
        let peers = self.clone();
        Some(Place { peers, peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = counts.get_mut(&self.peer) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn start() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(|| async { "ok" }));
        tokio::spawn(serve(listener, router));
        address
    }

    async fn ask(stream: &mut TcpStream) -> String {
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).await.ok();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok();
        answer
    }

    #[tokio::test]
    async fn a_peer_that_sends_half_a_request_is_hung_up_on_and_keeps_nobody_out() {
        let address = start().await;
        let mut half = Vec::new();
        for _ in 0..OF_ONE_PEER {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nX: ")
                .await
                .unwrap();
            half.push(stream);
        }
        // Another peer is answered meanwhile; this one waits until the time limit for its heads is over.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(address).await.unwrap();
        assert!(ask(&mut other).await.ends_with("ok"));
        let mut one_more = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut one_more).await, "");
        let ended = timeout(HEAD * 3, async {
            for stream in &mut half {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.ok();
            }
        });
        ended.await.expect("half a request ends");
        let mut again = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut again).await.ends_with("ok"));
    }

    #[test]
    fn there_are_so_many_places_and_each_is_free_again() {
        let peers = Peers::default();
        let peer = |last| IpAddr::from([192, 0, 2, last]);
        let mut places = Vec::new();
        for last in 0..=255 {
            places.extend(peers.admit(peer(last)));
        }
        assert_eq!(places.len(), CONNECTIONS);
        places.clear();
        assert!(peers.0.lock().unwrap().is_empty());
        for _ in 0..=OF_ONE_PEER {
            places.extend(peers.admit(peer(1)));
        }
        assert_eq!(places.len(), OF_ONE_PEER);
    }
}
