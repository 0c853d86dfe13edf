//! The image that machines are made from: its operating system is kept from run to run, and this checkout's node-agent
//! is put in each time, which takes seconds.

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
use crate::scratch::Scratch;

/// The environment variable that names the node-agent for the image: the static one that `cargo xtask test --vm` builds.
const AGENT: &str = "ROLLCALL_IMAGE_AGENT";

/// The folder of the recipe, in this checkout.
const RECIPE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../cloud-init/image/debootstrap"
);

/// A kernel, its first file system and the disk.
#[derive(Debug)]
pub struct Image {
    scratch: Scratch,
}

impl Image {
    /// Makes the image, and its operating system unless an earlier run has.
    ///
    /// # Errors
    /// If the recipe fails, with what it printed.
    pub async fn build(assets: &Assets) -> Result<Self> {
        let kubelet = assets.kubelet();
        tokio::task::spawn_blocking(move || Self::build_blocking(&kubelet))
            .await
            .context("the build of the image panicked")?
    }

    fn build_blocking(kubelet: &Path) -> Result<Self> {
        let tree = tree()?;
        let image = Self {
            scratch: Scratch::create()?,
        };
        let mut command = recipe();
        command
            .arg("disk")
            .arg(tree)
            .arg(image.scratch.path())
            .arg(agent()?)
            .arg(kubelet);
        run(&mut command)?;
        Ok(image)
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.scratch.path().join("root.ext4")
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.scratch.path().join("vmlinuz")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.scratch.path().join("initrd.img")
    }
}

/// The node-agent to put in: the one that [`AGENT`] names, or the one that was built with this program.
fn agent() -> Result<PathBuf> {
    match std::env::var_os(AGENT).filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => binary(NODE_AGENT),
    }
}

/// The folder with the operating system, made once for each state of the recipe.
fn tree() -> Result<PathBuf> {
    let home = assets::cache_home()?;
    std::fs::create_dir_all(&home)
        .with_context(|| format!("cannot create the cache {}", home.display()))?;
    let lock = File::create(home.join("node-image.lock")).context("cannot open the lock")?;
    lock.lock()
        .context("cannot wait for another build of the image")?;
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

/// Changes when any file of the recipe does.
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
