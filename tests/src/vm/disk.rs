//! A machine's disk: what it wrote, over the image that all machines share.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{program, run};
use crate::command::clean_command;

/// A disk in qcow2, whose backing file is the image's. It takes as much of the host as the machine has written.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// A new disk in `folder`, with what the image has.
    pub(super) fn create(image: &Path, folder: &Path) -> Result<Self> {
        let disk = Self::in_folder(folder);
        let mut command = clean_command(&program("qemu-img")?);
        command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        run(command.arg(image).arg(&disk.path))?;
        Ok(disk)
    }

    /// A copy in `folder`, as a snapshot gives it. Nobody may write to this one.
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

    /// A file; `None` when there is none.
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

    /// The files below these folders that hold this text, as it is or in base64 wherever it begins.
    pub(super) fn files_with(&self, folders: &[&str], text: &str) -> Result<Vec<String>> {
        /// Shorter texts are found by chance, or leave nothing to look for in base64.
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

    /// All of it as debugfs can read it, for a moment; holes stay holes.
    fn raw(&self) -> Result<tempfile::NamedTempFile> {
        let folder = self.path.parent().context("a disk is in a folder")?;
        let raw = tempfile::NamedTempFile::new_in(folder).context("cannot create a file")?;
        let mut command = clean_command(&program("qemu-img")?);
        command.args(["convert", "-q", "-f", "qcow2", "-O", "raw"]);
        run(command.arg(&self.path).arg(raw.path()))?;
        Ok(raw)
    }
}

/// A text as it is, and what of it is the same in base64 wherever it begins in what was encoded.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    for before in 0..3 {
        let encoded = STANDARD.encode(format!("{}{text}", " ".repeat(before)));
        // Four characters for the bytes before, and up to four that depend on what comes after.
        let inner: String = encoded.chars().skip(4).collect();
        forms.push(inner.chars().take(inner.len().saturating_sub(8)).collect());
    }
    forms
}
