//! A folder as kubelet mounts a ConfigMap, and its updates.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A mounted ConfigMap with one key. Updates work as in kubelet: a new folder, then a symbolic link that replaces another
/// (Kubernetes: `pkg/volume/util/atomic_writer.go`).
#[derive(Debug)]
pub struct MountedConfigMap {
    folder: PathBuf,
    key: String,
    version: usize,
}

impl MountedConfigMap {
    /// Mounts a ConfigMap on a folder that does not exist yet.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn mount(folder: &Path, key: &str, content: &str) -> Result<Self> {
        std::fs::create_dir(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let mut mounted = Self {
            folder: folder.to_owned(),
            key: key.to_owned(),
            version: 0,
        };
        mounted.update(content)?;
        symlink(Path::new("..data").join(key), mounted.file())
            .with_context(|| format!("cannot link {}", mounted.file().display()))?;
        Ok(mounted)
    }

    /// The mounted file.
    pub fn file(&self) -> PathBuf {
        self.folder.join(&self.key)
    }

    /// Replaces the content.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn update(&mut self, content: &str) -> Result<()> {
        let before = self.folder.join(format!("..{}", self.version));
        self.version = self.version.saturating_add(1);
        let version = format!("..{}", self.version);
        let write = || {
            std::fs::create_dir(self.folder.join(&version))?;
            std::fs::write(self.folder.join(&version).join(&self.key), content)?;
            symlink(&version, self.folder.join("..data_tmp"))?;
            std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))?;
            if before.exists() {
                std::fs::remove_dir_all(&before)?;
            }
            Ok::<(), std::io::Error>(())
        };
        write().with_context(|| format!("cannot update {}", self.folder.display()))
    }
}
