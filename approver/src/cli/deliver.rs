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
        let target = target(path).map_err(|message| FlagError::file(FLAG, path, message))?;
        if !overwrite && target.symlink_metadata().is_ok() {
            let message = "is there already; use --force to overwrite it";
            return Err(FlagError::file(FLAG, path, message));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // A temporary file is 0600 from the start.
        let draft = NamedTempFile::new_in(folder).map_err(|error| {
            FlagError::file(FLAG, path, format!("cannot be written there: {error}"))
        })?;
        Ok(Self::File {
            draft,
            path: target,
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
                // Perhaps it has changed in the meantime.
                target(&path).map_err(|message| FlagError::file(FLAG, &path, message))?;
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

/// The file that a path leads to: a regular one, or none yet. A device, a pipe or a socket serves others and must never
/// give way to a file.
fn target(path: &Path) -> Result<PathBuf, String> {
    let Ok(there) = path.symlink_metadata() else {
        return Ok(path.to_owned());
    };
    if there.is_dir() {
        return Err("is a directory; name a file".to_owned());
    }
    if there.is_file() {
        return Ok(path.to_owned());
    }
    let target = path.canonicalize();
    match target {
        Ok(target) if there.is_symlink() && target.is_file() => Ok(target),
        Ok(target) if target.is_dir() => Err("is a link to a directory; name a file".to_owned()),
        Ok(_) => Err("is no regular file, and is not replaced by one, not even with --force; leave --to out to write to \
                      standard output"
            .to_owned()),
        Err(error) => Err(format!("is a link that leads nowhere ({error}); name a file")),
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
