//! What the cloud gives a machine: meta-data, user-data and its network, on a disk as cloud-init's NoCloud reads it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{program, run};
use crate::command::clean_command;
use crate::node::Network;

/// A cloud-config.
#[derive(Clone, Debug, Default)]
pub struct UserData {
    files: Vec<(String, Vec<u8>)>,
    commands: Vec<Vec<String>>,
}

impl UserData {
    /// One more file, for root only.
    #[must_use]
    pub fn file(mut self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), contents.into()));
        self
    }

    /// A shell script that runs beside everything else, from early on; what it prints is on the console.
    #[must_use]
    pub fn script(mut self, script: &str) -> Self {
        let console = "--property=StandardOutput=journal+console";
        let command = ["systemd-run", "--no-block", console, "sh", "-c", script];
        self.commands.push(command.map(str::to_owned).to_vec());
        self
    }

    /// The text, as cloud-init takes it. JSON is YAML, too.
    fn text(&self) -> String {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, contents)| {
                json!({
                    "path": path,
                    "permissions": "0600",
                    "encoding": "b64",
                    "content": STANDARD.encode(contents),
                })
            })
            .collect();
        let config = json!({"write_files": files, "bootcmd": self.commands});
        format!("#cloud-config\n{config}\n")
    }
}

/// What one machine gets.
#[derive(Clone, Debug)]
pub struct Seed {
    /// What the cloud calls the instance; another one is another machine.
    pub instance: String,
    /// The host name that the cloud gives it.
    pub host_name: String,
    /// What it shall do.
    pub user_data: UserData,
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
            ("user-data", self.user_data.text()),
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
