//! A proxy from a node's network to the API server, which listens on loopback only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A listener on the host's end of a node's network. It copies bytes, so TLS is between the node and the API server.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on `address`, on the API server's port.
    pub(crate) async fn start(address: IpAddr, port: u16) -> Result<Self> {
        let address = SocketAddr::new(address, port);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for the node; its network must be made first")
        })?;
        let task = tokio::spawn(accept(listener, port));
        Ok(Self { address, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The connections belong to the task's set and end with it.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(carry(stream, port));
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection from the node"),
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn carry(mut from_node: TcpStream, port: u16) {
    // A restarting API server refuses: the node sees a closed connection and retries.
    let Ok(mut to_server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    // Either side may close the connection at any time.
    drop(tokio::io::copy_bidirectional(&mut from_node, &mut to_server).await);
}
