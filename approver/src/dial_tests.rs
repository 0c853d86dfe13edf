//! Dials to simulated kubelets on the loopback interface.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::kubelet_fixtures::{KubeletAuthority, acceptor};

const HERE: &str = "127.0.0.1";
/// Another address of the same interface, without a listener.
const NOBODY: &str = "127.0.0.2";

fn dial(addresses: &[&str]) -> Dial {
    Dial {
        node: "worker-0".parse().unwrap(),
        addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

/// A port with a listener.
async fn listener() -> (TcpListener, Dialer) {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Dialer::new(port).unwrap())
}

/// Serves one connection. Returns the bytes received after the handshake.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> std::io::Result<Vec<u8>> {
    let (stream, _) = listener.accept().await?;
    let mut stream = acceptor.accept(stream).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    Ok(received)
}

#[tokio::test]
async fn a_dial_brings_what_is_served_and_sends_nothing() {
    let ca = KubeletAuthority::new("ca");
    let issued = ca.issue("worker-0", &["10.0.0.1"]);
    let (listener, dialer) = listener().await;
    let acceptor = acceptor(&[&issued.der, &ca.der()], &issued.key);
    let server = tokio::spawn(serve(listener, acceptor));
    let dial = dial(&[NOBODY, HERE]);
    let served = dialer.dial(&dial).await;
    assert_eq!(served.addresses, dial.addresses);
    let chain = served.answer.unwrap();
    assert_eq!(chain.address.to_string(), HERE);
    assert_eq!(chain.certificates, [issued.der, ca.der()]);
    // Closed as TLS requires, without data before.
    assert_eq!(server.await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn who_lacks_the_key_of_the_certificate_proves_nothing() {
    let ca = KubeletAuthority::new("ca");
    let (issued, stolen) = (ca.issue("worker-0", &[]), ca.issue("worker-0", &[]));
    let (listener, dialer) = listener().await;
    let server = tokio::spawn(serve(listener, acceptor(&[&stolen.der], &issued.key)));
    let why = dialer.dial(&dial(&[HERE])).await.answer.unwrap_err();
    assert!(why.contains("invalid peer certificate"), "{why}");
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn what_went_wrong_is_told_for_each_address() {
    let (listener, dialer) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await
    });
    let port = dialer.port;
    let served = dialer.dial(&dial(&[NOBODY, HERE])).await;
    server.await.unwrap().unwrap();
    let why = served.answer.unwrap_err();
    let (nobody, here) = why.split_once("; ").unwrap();
    assert!(
        nobody.starts_with(&format!("{NOBODY}:{port}: Connection refused")),
        "{why}"
    );
    assert!(here.starts_with(&format!("{HERE}:{port}: ")), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_nothing_is_given_up() {
    let (_listener, dialer) = listener().await;
    let port = dialer.port;
    let why = dialer.dial(&dial(&[HERE])).await.answer.unwrap_err();
    assert_eq!(why, format!("{HERE}:{port}: no answer for 3 s"));
}

#[tokio::test]
async fn a_node_is_dialled_once_at_a_time() {
    let (listener, dialer) = listener().await;
    let (dials, wanted) = mpsc::unbounded_channel();
    let (sink, mut news) = mpsc::channel(10);
    let running = tokio::spawn(run(dialer, wanted, sink));
    let mut next = async || match news.recv().await.unwrap() {
        Input::Change(Change::Served(node, served)) => {
            assert!(served.answer.is_err());
            node.to_string()
        }
        input @ (Input::Change(_)
        | Input::Complete(_, _)
        | Input::Config(_)
        | Input::Request(_)) => panic!("{input:?}"),
    };
    dials.send(dial(&[HERE])).unwrap();
    let (first, _) = listener.accept().await.unwrap();
    // While the first dial lasts, a second one for the same node changes nothing, and another node is dialled.
    dials.send(dial(&[HERE])).unwrap();
    let other = Dial {
        node: "worker-1".parse().unwrap(),
        addresses: vec![NOBODY.parse().unwrap()],
    };
    dials.send(other).unwrap();
    assert_eq!(next().await, "worker-1");
    drop(first);
    assert_eq!(next().await, "worker-0");
    // Afterwards it is dialled again.
    dials.send(dial(&[NOBODY])).unwrap();
    assert_eq!(next().await, "worker-0");
    drop(dials);
    running.await.unwrap().unwrap();
}
