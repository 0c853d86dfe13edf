//! A cloud-config document: files and commands, as cloud-init reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_saphyr::FlowSeq;

use crate::cli::yaml;

/// Only root reads it: a secret, or what leads to one.
pub(super) const SECRET: u32 = 0o600;
/// Anybody may read it.
pub(super) const PUBLIC: u32 = 0o644;

/// The first line by which cloud-init knows the type of a part.
const HEADER: &str = "#cloud-config";

/// What cloud-init shall do: first all files (stage `init`), then the commands in their order (stage `final`).
#[derive(Default)]
pub(super) struct CloudConfig {
    files: Vec<File>,
    commands: Vec<Vec<String>>,
}

/// One file, root's own.
struct File {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl CloudConfig {
    /// Adds a file; `false` if there is one at that path already.
    #[must_use]
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> bool {
        if self.writes(path) {
            return false;
        }
        self.files.push(File {
            path: path.to_owned(),
            mode,
            content: content.into(),
        });
        true
    }

    /// Whether there is a file at that path.
    pub(super) fn writes(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Adds a command, which no shell interprets.
    pub(super) fn command(&mut self, words: &[&str]) {
        self.commands
            .push(words.iter().map(|&word| word.to_owned()).collect());
    }

    /// The document as text.
    pub(super) fn render(&self) -> anyhow::Result<String> {
        let document = Document {
            write_files: self.files.iter().map(Entry::from).collect(),
            runcmd: self.commands.iter().map(FlowSeq).collect(),
        };
        Ok(format!("{HEADER}\n{}", yaml::write(&document)?))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    write_files: Vec<Entry<'a>>,
    runcmd: Vec<FlowSeq<&'a Vec<String>>>,
}

/// A file as the module `write_files` takes it.
#[derive(Serialize)]
struct Entry<'a> {
    path: &'a str,
    owner: &'static str,
    permissions: String,
    encoding: &'static str,
    content: String,
}

impl<'a> From<&'a File> for Entry<'a> {
    fn from(file: &'a File) -> Self {
        Self {
            path: &file.path,
            owner: "root:root",
            permissions: format!("{:04o}", file.mode),
            // Whatever bytes it holds, cloud-init and YAML leave them as they are.
            encoding: "b64",
            content: STANDARD.encode(&file.content),
        }
    }
}
