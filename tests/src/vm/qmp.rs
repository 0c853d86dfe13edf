//! qemu's monitor protocol: sends one command, ignores the result.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Sends one command without arguments and waits until qemu has accepted it.
pub(super) async fn execute(socket: &Path, command: &str) -> Result<()> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("cannot reach qemu at {}", socket.display()))?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    // The greeting; then each command gets a line with `return` or `error`, between lines with `event`.
    lines.next_line().await.context("qemu hung up")?;
    for command in ["qmp_capabilities", command] {
        let line = format!("{{\"execute\": \"{command}\"}}\n");
        writer
            .write_all(line.as_bytes())
            .await
            .context("qemu hung up")?;
        loop {
            let line = lines.next_line().await?.context("qemu hung up")?;
            anyhow::ensure!(
                !line.contains("\"error\""),
                "qemu refuses {command}: {line}"
            );
            if line.contains("\"return\"") {
                break;
            }
        }
    }
    Ok(())
}
