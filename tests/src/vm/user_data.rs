//! User-data: as a user of Rollcall gets it, and as somebody writes it by hand.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::command::clean_command;
use crate::programs::binary;

/// A cloud-config that was written by hand.
#[derive(Clone, Debug, Default)]
pub struct CloudConfig {
    files: Vec<(String, Vec<u8>)>,
    commands: Vec<Vec<String>>,
}

impl CloudConfig {
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
    pub fn text(&self) -> String {
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

/// What `rollcall-approver user-data` makes of a bootstrap kubeconfig and of these flags besides, around the user's own.
///
/// # Errors
/// If the command refuses, with what it said.
pub fn rendered(bootstrap: &Path, flags: &[&str], own: Option<&CloudConfig>) -> Result<String> {
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let mut command = clean_command(&binary("rollcall-approver")?);
    command
        .arg("user-data")
        .args(flags)
        .arg("--bootstrap-kubeconfig")
        .arg(bootstrap);
    if let Some(own) = own {
        let file = folder.path().join("own.yaml");
        std::fs::write(&file, own.text()).context("cannot write the user's own user-data")?;
        command.arg("--merge").arg(file);
    }
    let output = command
        .output()
        .context("cannot run rollcall-approver user-data")?;
    if !output.status.success() {
        bail!(
            "rollcall-approver user-data: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).context("user-data is not UTF-8")
}
