//! Removes the bootstrap credential after use: the kubeconfig, and cloud-init's copies of the user-data that contained
//! it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::files::{self, DiskError};

/// cloud-init's folder with one folder per instance (cloud-init, `cloudinit/helpers.py`, `Paths`).
const INSTANCES: &str = "var/lib/cloud/instances";

/// Files of an instance that hold user-data or vendor-data, raw, decoded, merged or pickled.
const OF_AN_INSTANCE: [&str; 11] = [
    "cloud-config.txt",
    "obj.pkl",
    "user-data.txt",
    "user-data.txt.i",
    "vendor-cloud-config.txt",
    "vendor-data.txt",
    "vendor-data.txt.i",
    "vendor-data2.txt",
    "vendor-data2.txt.i",
    "vendor2-cloud-config.txt",
    "vendordata.txt",
];

/// Folder of an instance with the scripts from user-data.
const SCRIPTS: &str = "scripts";

/// Files on tmpfs that hold it, readable by root only.
const IN_MEMORY: [&str; 2] = [
    "run/cloud-init/combined-cloud-config.json",
    "run/cloud-init/instance-data-sensitive.json",
];

/// Removes the bootstrap kubeconfig. Returns true if it existed.
///
/// # Errors
/// If the disk fails.
pub fn bootstrap(file: &Path) -> Result<bool, DiskError> {
    wipe(file)
}

/// Removes cloud-init's copies below `host`, which is `/` except in tests. Must run after cloud-init's last stage,
/// which reads them. Returns the removed paths.
///
/// # Errors
/// The first disk error, after everything that can be removed is removed.
pub fn cloud_init(host: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut paths: Vec<PathBuf> = IN_MEMORY.iter().map(|path| host.join(path)).collect();
    for instance in folder(&host.join(INSTANCES))? {
        paths.extend(OF_AN_INSTANCE.iter().map(|name| instance.join(name)));
        paths.push(instance.join(SCRIPTS));
    }
    let (mut removed, mut refused) = (Vec::new(), None);
    // The last one first.
    paths.reverse();
    while let Some(path) = paths.pop() {
        // Vendor scripts are in a subfolder. A link to a folder is removed as a link.
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let outcome = if is_folder {
            folder(&path).map(|inside| paths.extend(inside.into_iter().rev()))
        } else {
            wipe(&path).map(|there| removed.extend(there.then_some(path)))
        };
        refused = refused.or_else(|| outcome.err());
    }
    refused.map_or(Ok(removed), Err)
}

/// Overwrites a file and removes it. File systems that write in place then have no copy left; on others, only the
/// removal takes effect.
fn wipe(file: &Path) -> Result<bool, DiskError> {
    let length = match file.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        // A link's target must not be overwritten.
        Ok(_) => 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(DiskError::new("look at", file, source)),
    };
    if length > 0 {
        let zeros = vec![0; usize::try_from(length).unwrap_or_default()];
        // The owner needs no privilege for this, and cloud-init makes some files read-only.
        fs::set_permissions(file, Permissions::from_mode(0o600))
            .and_then(|()| OpenOptions::new().write(true).open(file))
            .and_then(|mut open| open.write_all(&zeros).and_then(|()| open.sync_all()))
            .map_err(|source| DiskError::new("overwrite", file, source))?;
    }
    files::remove(file)?;
    Ok(true)
}

/// Returns the paths in a folder; empty if it does not exist. Links to folders are not followed.
fn folder(path: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(DiskError::new("read the folder", path, source)),
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(host: &Path, path: &str) {
        let path = host.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret").unwrap();
    }

    #[test]
    fn every_copy_of_user_data_goes_and_the_rest_of_the_state_stays() {
        let host = tempfile::tempdir().unwrap();
        let gone = [
            "run/cloud-init/combined-cloud-config.json",
            "run/cloud-init/instance-data-sensitive.json",
            "var/lib/cloud/instances/i-1/cloud-config.txt",
            "var/lib/cloud/instances/i-1/obj.pkl",
            "var/lib/cloud/instances/i-1/user-data.txt",
            "var/lib/cloud/instances/i-1/user-data.txt.i",
            "var/lib/cloud/instances/i-1/vendor-data.txt/part",
            "var/lib/cloud/instances/i-1/scripts/part-001",
            "var/lib/cloud/instances/i-1/scripts/vendor/part-001",
            "var/lib/cloud/instances/i-2/user-data.txt",
        ];
        let stays = [
            "run/cloud-init/instance-data.json",
            "var/lib/cloud/instances/i-1/sem/config_runcmd",
            "var/lib/cloud/seed/nocloud/user-data",
        ];
        for path in gone.iter().chain(&stays) {
            write(host.path(), path);
        }
        let read_only = host.path().join("var/lib/cloud/instances/i-1/obj.pkl");
        fs::set_permissions(read_only, Permissions::from_mode(0o400)).unwrap();
        let removed = cloud_init(host.path()).unwrap();
        assert_eq!(removed, gone.map(|path| host.path().join(path)));
        assert!(gone.iter().all(|path| !host.path().join(path).exists()));
        assert!(stays.iter().all(|path| host.path().join(path).exists()));
        assert!(cloud_init(host.path()).unwrap().is_empty());
    }

    #[test]
    fn what_a_link_points_to_is_not_touched() {
        let host = tempfile::tempdir().unwrap();
        write(host.path(), "elsewhere");
        let link = host.path().join("bootstrap.conf");
        std::os::unix::fs::symlink(host.path().join("elsewhere"), &link).unwrap();
        assert!(bootstrap(&link).unwrap());
        assert!(!link.is_symlink());
        assert_eq!(
            fs::read_to_string(host.path().join("elsewhere")).unwrap(),
            "secret"
        );
    }

    #[test]
    fn a_machine_without_cloud_init_has_nothing_to_remove() {
        let host = tempfile::tempdir().unwrap();
        assert!(cloud_init(host.path()).unwrap().is_empty());
        assert!(!bootstrap(&host.path().join("bootstrap.conf")).unwrap());
    }
}
