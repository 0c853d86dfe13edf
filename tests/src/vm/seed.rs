//! The data that the cloud gives a machine: meta-data, user-data and its network, on a disk in cloud-init's NoCloud
//! format.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{program, run};
use crate::command::clean_command;
use crate::node::Network;

/// The data of one machine.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The instance id; it identifies the machine.
    pub instance: String,
    /// The host name that the cloud assigns.
    pub host_name: String,
    /// The user-data, in any format of cloud-init.
    pub user_data: String,
}

impl Seed {
    /// Creates the disk in `folder`.
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
