//! Where an answer goes that holds secrets: a file that only its owner may read, or standard output.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::flag::FlagError;

/// The flag that names the file.
const FLAG: &str = "--to";

/// Where an answer goes.
pub(super) enum Delivery {
    StandardOutput,
    /// Written in full under another name first, so that nobody ever reads a part of it.
    File {
        draft: NamedTempFile,
        path: PathBuf,
        overwrite: bool,
    },
}

impl Delivery {
    /// Makes sure that the answer can be written, before anything is done that cannot be undone.
    pub(super) fn open(to: Option<&Path>, overwrite: bool) -> Result<Self, FlagError> {
        let Some(path) = to else {
            return Ok(Self::StandardOutput);
        };
        if path.is_dir() {
            return Err(FlagError::file(FLAG, path, "is a directory; name a file"));
        }
        if !overwrite && path.symlink_metadata().is_ok() {
            let message = "is there already; use --force to overwrite it";
            return Err(FlagError::file(FLAG, path, message));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // A temporary file is 0600 from the start.
        let draft = NamedTempFile::new_in(folder).map_err(|error| {
            FlagError::file(FLAG, path, format!("cannot be written there: {error}"))
        })?;
        Ok(Self::File {
            draft,
            path: path.to_owned(),
            overwrite,
        })
    }

    /// Whether the answer would go to somebody's screen.
    pub(super) fn is_terminal(&self) -> bool {
        match self {
            Self::StandardOutput => std::io::stdout().is_terminal(),
            Self::File { .. } => false,
        }
    }

    /// Writes the answer.
    pub(super) fn write(self, answer: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::StandardOutput => super::print::write(answer),
            Self::File {
                mut draft,
                path,
                overwrite,
            } => {
                let failed = || format!("cannot write {}", path.display());
                draft.write_all(answer).with_context(failed)?;
                draft.as_file().sync_all().with_context(failed)?;
                let persisted = if overwrite {
                    draft.persist(&path)
                } else {
                    draft.persist_noclobber(&path)
                };
                persisted.map(drop).with_context(failed)
            }
        }
    }
}
