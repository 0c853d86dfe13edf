//! A run of node-agent that blocks until its log lines are read, so that it can be killed between any two of them.
//!
//! Its standard error is a pipe in packet mode (`O_DIRECT`, pipe(2)) with room for one packet. Each line is one write
//! and so one packet: after line n is read, the agent writes line n + 1, continues, and blocks on line n + 2.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use crate::agent::{Host, NODE_AGENT};
use crate::programs::binary;

/// The smallest possible pipe: one page, which holds one packet of any length (pipe(7); pages of 4 KiB).
const ONE_PAGE: usize = 4096;

/// A run that blocks until its lines are read.
#[derive(Debug)]
pub struct PacedRun {
    child: Child,
    lines: Receiver,
}

impl PacedRun {
    /// Starts the agent. It is killed on drop, and ends by itself after `limit` if this process dies.
    ///
    /// # Errors
    /// If it has not been built or cannot be started.
    pub fn start(host: &Host, bootstrap: &std::path::Path, limit: Duration) -> Result<Self> {
        let (read, write) =
            pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        fcntl_setpipe_size(&write, ONE_PAGE).context("cannot make the pipe small")?;
        let limit = format!("{}s", limit.as_secs());
        let mut command = Command::from(crate::command::clean_command(&binary(NODE_AGENT)?));
        command
            .args(host.arguments(bootstrap, &["--timeout", &limit]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(write)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {NODE_AGENT}"))?;
        // The command holds the writing end; only the agent may, so that its end is seen.
        drop(command);
        Ok(Self {
            child,
            lines: Receiver::from_owned_fd(read).context("cannot read from the pipe")?,
        })
    }

    /// Returns the next line; `None` when the agent has ended.
    ///
    /// # Errors
    /// If there is none within `timeout`.
    pub async fn line(&mut self, timeout: Duration) -> Result<Option<String>> {
        let mut packet = vec![0; ONE_PAGE];
        let read = tokio::time::timeout(timeout, self.lines.read(&mut packet)).await;
        let length = read
            .with_context(|| format!("waited {timeout:?} for a line of {NODE_AGENT}"))?
            .context("cannot read a line")?;
        packet.truncate(length);
        let line = String::from_utf8_lossy(&packet).trim_end().to_owned();
        Ok((length > 0).then_some(line))
    }

    /// Kills the agent, as the kernel does when memory is short.
    ///
    /// # Errors
    /// If that fails.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the agent")
    }
}
