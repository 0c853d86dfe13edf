//! The tasks beside the engine: none may end unnoticed, and all end with the process.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Runs a task on a worker thread of the runtime and waits for it. The waiting thread is not a worker: the kernel wakes a
/// task on it for each answer that the others get.
pub(crate) async fn on_worker(
    task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::spawn(task)
        .await
        .context("the controller panicked")?
}

/// All tasks beside the engine.
#[derive(Default)]
pub(crate) struct Tasks(JoinSet<anyhow::Result<()>>);

impl Tasks {
    /// Starts a task; its failure ends the process.
    pub(crate) fn add(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.0
            .spawn(async move { task.await.with_context(|| format!("task {name}")) });
    }

    /// Starts a task; its end, even without an error, ends the process.
    pub(crate) fn forever(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.add(name, async move {
            task.await;
            anyhow::bail!("it ended")
        });
    }

    /// Starts a task that may end.
    pub(crate) fn once(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.add(name, async move {
            task.await;
            Ok(())
        });
    }

    /// Runs the engine until a signal, or until a task ends that should not.
    pub(crate) async fn supervise(
        mut self,
        engine: impl Future<Output = ()>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        tokio::pin!(engine);
        let outcome = tokio::select! {
            () = &mut engine => anyhow::bail!("the engine ended"),
            failure = self.failure() => Err(failure),
            () = signals.next() => Ok(()),
        };
        info!("stopping");
        stop.cancel();
        tokio::select! {
            () = &mut engine => {}
            () = signals.next() => warn!("a second signal: stopping at once"),
        }
        outcome
    }

    async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.0.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return anyhow::Error::new(error).context("a task panicked"),
                None => std::future::pending().await,
            }
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
