//! The image of the machines: its operating system is cached between runs, and so is the newest disk, which contains
//! this checkout's node-agent.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::run;
use crate::agent::NODE_AGENT;
use crate::assets::{self, Assets};
use crate::command::clean_command;
use crate::programs::binary;

/// The environment variable with the path of the node-agent for the image: the static one that `cargo xtask test --vm`
/// builds.
const AGENT: &str = "ROLLCALL_IMAGE_AGENT";

/// The folder of the recipe, in this checkout.
const RECIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../cloud-init/image/debootstrap"
);

/// The prefix of the disks' folders in the cache.
const DISK: &str = "node-disk-";

/// The lock file in a disk's folder, held by every user of it.
const IN_USE: &str = "in-use";

/// A kernel, its initramfs and the disk. Read-only.
#[derive(Debug)]
pub struct Image {
    folder: PathBuf,
    _in_use: File,
}

impl Image {
    /// Builds the image, unless it is cached.
    ///
    /// # Errors
    /// If the recipe fails; the error includes its output.
    pub async fn build(assets: &Assets) -> Result<Self> {
        let kubelet = assets.kubelet();
        tokio::task::spawn_blocking(move || Self::build_blocking(&kubelet))
            .await
            .context("the build of the image panicked")?
    }

    fn build_blocking(kubelet: &Path) -> Result<Self> {
        let home = assets::cache_home()?;
        std::fs::create_dir_all(&home)
            .with_context(|| format!("cannot create the cache {}", home.display()))?;
        let lock = File::create(home.join("node-image.lock")).context("cannot open the lock")?;
        lock.lock()
            .context("cannot wait for another build of the image")?;
        let tree = tree(&home)?;
        let agent = agent()?;
        let name = format!("{DISK}{:016x}", disk_key(&tree, &agent, kubelet)?);
        remove_others(&home, &name)?;
        let folder = home.join(name);
        if !folder.join(IN_USE).exists() {
            run(recipe()
                .arg("disk")
                .arg(tree)
                .arg(&folder)
                .arg(agent)
                .arg(kubelet))?;
        }
        // Created last: a folder without it is a failed attempt.
        let in_use = File::create(folder.join(IN_USE)).context("cannot open the image's lock")?;
        in_use.lock_shared().context("cannot lock the image")?;
        Ok(Self {
            folder,
            _in_use: in_use,
        })
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("root.ext4")
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.folder.join("initrd.img")
    }
}

/// A key that changes with the content of the disk.
fn disk_key(tree: &Path, agent: &Path, kubelet: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    // Its folder is named after its version.
    kubelet.hash(&mut hasher);
    hash(agent, &mut hasher)?;
    Ok(hasher.finish())
}

/// Removes unused disks: they are large, and the next change creates another one.
fn remove_others(home: &Path, name: &str) -> Result<()> {
    let entries = std::fs::read_dir(home)
        .with_context(|| format!("cannot read the cache {}", home.display()))?;
    for entry in entries.flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if !found.starts_with(DISK) || found == name {
            continue;
        }
        let used = File::open(entry.path().join(IN_USE)).is_ok_and(|lock| lock.try_lock().is_err());
        if !used {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// The node-agent for the image: the one that [`AGENT`] names, or the one built with this program.
fn agent() -> Result<PathBuf> {
    match std::env::var_os(AGENT).filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => binary(NODE_AGENT),
    }
}

/// The folder with the operating system, built once for each state of the recipe.
fn tree(home: &Path) -> Result<PathBuf> {
    let tree = home.join(format!("node-image-{:016x}", recipe_key()?));
    if tree.is_dir() {
        return Ok(tree);
    }
    let begin = Instant::now();
    assets::progress(&format!(
        "building the operating system of the test image, once (1 to 3 minutes); it is kept in {}",
        tree.display()
    ));
    let work = tree.with_extension("building");
    if work.exists() {
        std::fs::remove_dir_all(&work)
            .with_context(|| format!("cannot remove {}", work.display()))?;
    }
    run(recipe().arg("tree").arg(&work))?;
    std::fs::rename(&work, &tree).with_context(|| format!("cannot rename {}", work.display()))?;
    assets::progress(&format!("built it in {} s", begin.elapsed().as_secs()));
    Ok(tree)
}

fn recipe() -> std::process::Command {
    let mut command = clean_command(&Path::new(RECIPE).join("image.sh"));
    // apt and mmdebstrap may need a proxy to reach their mirrors.
    for name in ["http_proxy", "https_proxy", "no_proxy", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// A key that changes with any file of the recipe.
fn recipe_key() -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    hash(Path::new(RECIPE), &mut hasher)?;
    Ok(hasher.finish())
}

fn hash(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let failed = || format!("cannot read {}", path.display());
    if path.is_file() {
        std::fs::read(path).with_context(failed)?.hash(hasher);
        return Ok(());
    }
    let mut entries: Vec<_> = std::fs::read_dir(path)
        .with_context(failed)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for entry in entries {
        entry.file_name().hash(hasher);
        hash(&entry, hasher)?;
    }
    Ok(())
}
