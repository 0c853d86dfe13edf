//! A machine's disk: its own writes, over the image that all machines share.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{program, run};
use crate::command::clean_command;

/// A qcow2 disk on top of the image. It uses only as much of the host's disk as the machine has written.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Creates a disk in `folder`, with the content of the image.
    pub(super) fn create(image: &Path, folder: &Path) -> Result<Self> {
        let disk = Self::in_folder(folder);
        let mut command = clean_command(&program("qemu-img")?);
        command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        run(command.arg(image).arg(&disk.path))?;
        Ok(disk)
    }

    /// Creates a copy in `folder`, as from a snapshot. This disk must not be written to meanwhile.
    pub(super) fn copy(&self, folder: &Path) -> Result<Self> {
        let disk = Self::in_folder(folder);
        std::fs::copy(&self.path, &disk.path)
            .with_context(|| format!("cannot copy {}", self.path.display()))?;
        Ok(disk)
    }

    fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("disk.qcow2"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file; `None` if it does not exist.
    pub(super) fn file(&self, path: &str) -> Result<Option<String>> {
        let raw = self.raw()?;
        let mut command = clean_command(&program("debugfs")?);
        command.args(["-R", &format!("cat {path}")]).arg(raw.path());
        let output = command.output().context("cannot run debugfs")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if errors.contains("File not found") {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Returns the files below these folders that contain this text, plain or in base64 at any offset.
    pub(super) fn files_with(&self, folders: &[&str], text: &str) -> Result<Vec<String>> {
        /// Shorter texts match by chance, or leave nothing to search for in base64.
        const SHORTEST: usize = 16;
        ensure!(text.len() >= SHORTEST, "{text:?} is too short to look for");
        let raw = self.raw()?;
        let copy = tempfile::tempdir().context("cannot create a folder")?;
        for folder in folders {
            let mut command = clean_command(&program("debugfs")?);
            command.args(["-R", &format!("rdump {folder} {}", copy.path().display())]);
            run(command.arg(raw.path()))?;
        }
        let mut search = clean_command(&program("grep")?);
        search.args([
            "--recursive",
            "--files-with-matches",
            "--binary",
            "--fixed-strings",
        ]);
        for form in forms(text) {
            search.arg("--regexp").arg(form);
        }
        let output = search
            .arg(copy.path())
            .output()
            .context("cannot run grep")?;
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect()),
            _ => bail!("grep: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Converts the disk to a temporary raw file for debugfs; holes stay holes.
    fn raw(&self) -> Result<tempfile::NamedTempFile> {
        let folder = self.path.parent().context("a disk is in a folder")?;
        let raw = tempfile::NamedTempFile::new_in(folder).context("cannot create a file")?;
        let mut command = clean_command(&program("qemu-img")?);
        command.args(["convert", "-q", "-f", "qcow2", "-O", "raw"]);
        run(command.arg(&self.path).arg(raw.path()))?;
        Ok(raw)
    }
}

/// Returns a text, and the parts of its base64 that are the same at each offset.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    for before in 0..3 {
        let encoded = STANDARD.encode(format!("{}{text}", " ".repeat(before)));
        // Drops four characters for the bytes before, and up to four that depend on the bytes after.
        let inner: String = encoded.chars().skip(4).collect();
        forms.push(inner.chars().take(inner.len().saturating_sub(8)).collect());
    }
    forms
}
