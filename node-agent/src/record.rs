//! The record of an installed identity: its node and instance. It distinguishes a copied disk from the original.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files::{self, DiskError};
use crate::settings::Settings;
use crate::whoami::Instance;
use crate::words;

/// The file in the state folder.
const FILE: &str = "identity.json";

/// Readable by the folder's group; it holds no secret.
const MODE: u32 = 0o640;

/// The record of an installed identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The node's name.
    pub node: String,
    /// The instance that it was installed on.
    pub instance: Instance,
    /// The time of installation, as RFC 3339.
    pub installed_at: String,
}

impl Record {
    /// Reads the record in a state folder; `None` if it is missing or unreadable: then nothing is known.
    pub fn read(state_dir: &Path) -> Option<Self> {
        let text = fs::read(state_dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the record of the installed identity, unless it is unchanged.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(state_dir: &Path, settings: &Settings, now: Timestamp) -> Result<(), DiskError> {
        let known = Self::read(state_dir).filter(|known| {
            known.node == settings.node.as_str() && known.instance == settings.instance
        });
        if known.is_some() {
            return Ok(());
        }
        let record = Self {
            node: settings.node.to_string(),
            instance: settings.instance.clone(),
            installed_at: words::moment(now),
        };
        let text = serde_json::to_string(&record)
            .map_err(|error| DiskError::new("write", &state_dir.join(FILE), error.into()))?;
        files::make_folder(state_dir, 0o750)?;
        files::write_with_mode(&state_dir.join(FILE), format!("{text}\n").as_bytes(), MODE)
    }

    /// Returns true if the identity was installed on another instance than the current one.
    pub fn is_of_another(&self, instance: &Instance) -> bool {
        !self.instance.same_as(instance)
    }
}

/// Renames all files that a copied disk has from the original machine, so that no program uses them by accident.
/// Returns the new paths.
///
/// # Errors
/// If the disk fails; then the agent must not continue.
pub fn set_aside(settings: &Settings, now: Timestamp) -> Result<Vec<PathBuf>, DiskError> {
    let suffix = format!("of-another-machine-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let mut moved = Vec::new();
    for path in [&settings.kubeconfig, &settings.cert_dir] {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let aside = path.with_file_name(format!("{name}.{suffix}"));
        if path.symlink_metadata().is_ok() {
            files::rename(path, &aside)?;
            moved.push(aside);
        }
    }
    if let Some(state_dir) = &settings.state_dir {
        files::remove(&state_dir.join(FILE))?;
    }
    Ok(moved)
}
