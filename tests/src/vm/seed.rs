//! What the cloud gives a machine: meta-data, user-data and its network, on a disk as cloud-init's NoCloud reads it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{program, run};
use crate::command::clean_command;
use crate::node::Network;

/// What one machine gets.
#[derive(Clone, Debug)]
pub struct Seed {
    /// What the cloud calls the instance; another one is another machine.
    pub instance: String,
    /// The host name that the cloud gives it.
    pub host_name: String,
    /// What it shall do, in any form that cloud-init takes.
    pub user_data: String,
}

impl Seed {
    /// Makes the disk in `folder`.
    pub(super) fn write(
        &self,
        folder: &Path,
        network: &Network,
        address: IpAddr,
    ) -> Result<PathBuf> {
        let ethernet = json!({
            "addresses": [Network::with_prefix_length(address)],
            "gateway4": network.host_address().to_string(),
        });
        let files = [
            (
                "meta-data",
                json!({"instance-id": self.instance, "local-hostname": self.host_name}).to_string(),
            ),
            ("user-data", self.user_data.clone()),
            (
                "network-config",
                json!({"version": 2, "ethernets": {"eth0": ethernet}}).to_string(),
            ),
        ];
        let iso = folder.join("seed.iso");
        let mut command = clean_command(&program("genisoimage")?);
        command.args(["-quiet", "-V", "cidata", "-J", "-r", "-o"]);
        command.arg(&iso);
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            command.arg(path);
        }
        run(&mut command)?;
        Ok(iso)
    }
}
