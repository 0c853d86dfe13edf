//! A proxy to the API server that can be blocked, in one direction or in both: connections stay open, and no data passes, as
//! when a firewall drops packets.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ControlPlane;

/// An open proxy. It copies bytes, so TLS is between the client and the API server.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    /// True if data from the client passes.
    up: watch::Sender<bool>,
    /// True if data from the server passes.
    down: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Listens on loopback, and forwards to the API server of a control plane.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let server: http::Uri = control_plane.server().parse()?;
        let port = server.port_u16().context("the API server has no port")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let ((up, is_up), (down, is_down)) = (watch::channel(true), watch::channel(true));
        let task = tokio::spawn(accept(listener, port, (is_up, is_down)));
        Ok(Self {
            address,
            up,
            down,
            task,
        })
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Blocks all data. Connections are neither closed nor refused.
    pub fn block(&self) {
        self.block_calls();
        self.down.send_replace(false);
    }

    /// Blocks data from the client; data from the server passes.
    pub fn block_calls(&self) {
        self.up.send_replace(false);
    }

    /// Unblocks everything; held data passes first.
    pub fn unblock(&self) {
        self.up.send_replace(true);
        self.down.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The connections belong to the task's set and end with it.
        self.task.abort();
    }
}

/// The switches for data from the client and from the server.
type Open = (watch::Receiver<bool>, watch::Receiver<bool>);

async fn accept(listener: TcpListener, port: u16, open: Open) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(carry(client, port, open.clone()));
                }
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn carry(client: TcpStream, port: u16, (up, down): Open) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // Either side may close the connection at any time.
    tokio::join!(
        copy(from_client, to_server, up),
        copy(from_server, to_client, down),
    );
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let Some(read) = buffer.get(..length) else {
            return;
        };
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}
