//! A way to the API server that can be blocked: connections stay, and nothing comes through, as when a firewall begins to
//! drop packets.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ControlPlane;

/// An open gate. It copies bytes, so TLS is between the client and the API server.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Listens on loopback, and leads to the API server of a control plane.
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
        let (open, is_open) = watch::channel(true);
        let task = tokio::spawn(accept(listener, port, is_open));
        Ok(Self {
            address,
            open,
            task,
        })
    }

    /// What to connect to.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Lets nothing through any more. Connections are neither closed nor refused.
    pub fn block(&self) {
        self.open.send_replace(false);
    }

    /// Lets everything through again, what was held back first.
    pub fn unblock(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The connections belong to the task's set and end with it.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, open: watch::Receiver<bool>) {
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

async fn carry(client: TcpStream, port: u16, open: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // Either side may hang up at any time.
    tokio::join!(
        copy(from_client, to_server, open.clone()),
        copy(from_server, to_client, open),
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
