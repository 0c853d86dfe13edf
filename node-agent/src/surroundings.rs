//! The environment of the agent, which tests replace: time, log lines, connections, and the moments between two changes
//! on disk.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use kube::Client;

use crate::bootstrap::{Bootstrap, BootstrapError};
use crate::clock::Clock;
use crate::console::Console;
use crate::store::Checkpoint;

/// A client under construction.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Client, BootstrapError>> + 'a>>;

/// Creates clients.
pub type Connect = dyn for<'a> Fn(&'a Bootstrap, Identity<'a>) -> Connecting<'a>;

/// The identity of a client.
#[derive(Clone, Copy, Debug)]
pub enum Identity<'a> {
    /// The credential of the bootstrap kubeconfig.
    Bootstrap,
    /// The new certificate and its key, in PEM.
    Node {
        /// The certificate and its chain.
        certificate: &'a [u8],
        /// The private key.
        key: &'a str,
    },
}

/// The environment of the agent.
pub struct Surroundings {
    /// The wall clock.
    pub clock: Clock,
    /// Creates clients.
    pub connect: Box<Connect>,
    /// The destination of log lines.
    pub console: Console,
    /// Called at every [`Checkpoint`] of the installation.
    pub reached: Box<dyn Fn(Checkpoint)>,
}

impl Surroundings {
    /// The real environment.
    pub fn real(console: Console, clock: Clock) -> Self {
        Self {
            clock,
            connect: Box::new(|bootstrap, identity| {
                Box::pin(async move {
                    match identity {
                        Identity::Bootstrap => bootstrap.client().await,
                        Identity::Node { certificate, key } => {
                            bootstrap.client_with(certificate, key.as_bytes()).await
                        }
                    }
                })
            }),
            console,
            reached: Box::new(|_| ()),
        }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
}
