//! The folder of a control plane or a node, removed with it. The next start removes those of killed processes: each holds 64
//! MB or more of etcd's log.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "rollcall-run-";

/// Locked while the folder is in use.
const LOCK: &str = "in-use";

/// A folder, 0700, that is removed on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    pub(crate) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        Self::create_in(&parent)
    }

    fn create_in(parent: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .with_context(|| format!("cannot create a folder in {}", parent.display()))?;
        let path = directory.path().join(LOCK);
        let early = directory.path().join("starting");
        let lock = || -> std::io::Result<File> {
            let file = File::create_new(&early)?;
            file.lock()?;
            // The file is locked before the folder gets its final name, so that it never seems abandoned.
            std::fs::rename(&early, &path)?;
            Ok(file)
        };
        let lock = lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !ours {
            continue;
        }
        if let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove what a killed test run left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_any_more_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let used = Scratch::create_in(parent.path()).unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}dead"));
        let starting = parent.path().join(format!("{PREFIX}starting"));
        for directory in [&abandoned, &starting] {
            std::fs::create_dir(directory).unwrap();
        }
        std::fs::write(abandoned.join(LOCK), "").unwrap();
        remove_abandoned(parent.path());
        assert!(used.path().exists());
        assert!(starting.exists());
        assert!(!abandoned.exists());
    }
}
