//! The command line of etcd.

use std::path::Path;
use std::process::Command;

use crate::assets::Assets;
use crate::command::clean_command;

/// Returns the command of a single member on loopback; its data is temporary, so it need not sync to disk.
pub(crate) fn command(assets: &Assets, data: &Path, client_port: u16, peer_port: u16) -> Command {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = clean_command(&assets.etcd());
    command.arg(format!("--data-dir={}", data.display())).args([
        "--name=rollcall".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=rollcall={peer}"),
        "--unsafe-no-fsync=true".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    command
}
