//! Installs the identity where kubelet expects it; every intermediate state can be resumed from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use zeroize::Zeroizing;

use crate::certificate::Chain;
use crate::files::{self, DiskError};

/// The prefix of kubelet's client certificates (Kubernetes `pkg/kubelet/certificate/kubelet.go`).
const PREFIX: &str = "kubelet-client";

/// Characters on a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// The number of file names to try, one second apart, before giving up.
const MAX_NAMES: i64 = 60;

/// The mode of a new certificate folder. Stricter than kubelet's 0755: only root uses its contents, and kubelet does
/// not change an existing folder.
const FOLDER_MODE: u32 = 0o700;

/// A moment between two changes on disk, at which a crash must do no harm. In order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The certificate file is complete but not renamed yet.
    CertificateWritten,
    /// The certificate file is renamed.
    CertificateInPlace,
    /// The new symlink exists under its temporary name.
    LinkWritten,
    /// The symlink points to the new certificate.
    LinkInPlace,
    /// The kubeconfig is complete but not renamed yet.
    KubeconfigWritten,
    /// The kubeconfig is renamed.
    KubeconfigInPlace,
    /// The pending key is removed; installation is complete.
    KeyRemoved,
}

impl Checkpoint {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::CertificateWritten,
        Self::CertificateInPlace,
        Self::LinkWritten,
        Self::LinkInPlace,
        Self::KubeconfigWritten,
        Self::KubeconfigInPlace,
        Self::KeyRemoved,
    ];
}

/// The symlink that kubelet's kubeconfig names, in its folder.
pub fn current_link(cert_dir: &Path) -> PathBuf {
    cert_dir.join(format!("{PREFIX}-current.pem"))
}

/// Creates the folder if it does not exist.
///
/// # Errors
/// If the disk fails.
pub fn make_folder(cert_dir: &Path) -> Result<(), DiskError> {
    files::make_folder(cert_dir, FOLDER_MODE)
}

/// Returns leaf, intermediates, then the key, as one PEM text, as kubelet writes it.
pub fn bundle(chain: &Chain, key_pem: &str) -> Zeroizing<String> {
    let certificates = certificates_pem(chain);
    // Preallocated: a growing string leaves earlier copies of the key in memory.
    let length = certificates.len().saturating_add(key_pem.len());
    let mut bundle = Zeroizing::new(String::with_capacity(length));
    bundle.push_str(&certificates);
    bundle.push_str(key_pem);
    bundle
}

/// Returns leaf and intermediates as PEM.
pub fn certificates_pem(chain: &Chain) -> String {
    let mut text = String::new();
    for certificate in chain.certificates() {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded: Vec<char> = STANDARD.encode(certificate).chars().collect();
        for line in encoded.chunks(PEM_LINE) {
            text.extend(line);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Writes the certificate file and returns its path. An existing file with the same content, from a killed run, is used
/// instead.
///
/// # Errors
/// If the disk fails.
pub fn install_certificate(
    cert_dir: &Path,
    bundle: &str,
    now: Timestamp,
    reached: &dyn Fn(Checkpoint),
) -> Result<PathBuf, StoreError> {
    check_link(&current_link(cert_dir))?;
    if let Some(path) = same_contents(cert_dir, bundle.as_bytes()) {
        return Ok(path);
    }
    let path = free_name(cert_dir, now)?;
    files::remove_leftovers(cert_dir, PREFIX);
    files::write_private(&path, bundle.as_bytes(), || {
        reached(Checkpoint::CertificateWritten)
    })?;
    reached(Checkpoint::CertificateInPlace);
    Ok(path)
}

/// Points kubelet's symlink to a certificate file, atomically. The new link is created under the name that kubelet
/// itself recovers from after a crash (client-go `util/certificate/certificate_store.go`, `recover`).
///
/// # Errors
/// If the disk fails, or the path is not a symlink.
pub fn install_link(
    cert_dir: &Path,
    target: &Path,
    reached: &dyn Fn(Checkpoint),
) -> Result<PathBuf, StoreError> {
    let link = current_link(cert_dir);
    let updated = cert_dir.join(format!("{PREFIX}-updated.pem"));
    check_link(&link)?;
    check_link(&updated)?;
    files::replace_link(&link, target, &updated, || reached(Checkpoint::LinkWritten))?;
    reached(Checkpoint::LinkInPlace);
    Ok(link)
}

/// Writes kubelet's kubeconfig. An existing one that differs may hold the only copy of a credential, so it is renamed,
/// and its new path returned.
///
/// # Errors
/// If the disk fails.
pub fn install_kubeconfig(
    path: &Path,
    contents: &str,
    now: Timestamp,
    reached: &dyn Fn(Checkpoint),
) -> Result<Option<PathBuf>, StoreError> {
    if let Some(folder) = path.parent() {
        // Other programs read files in this folder, so it gets the usual mode.
        files::make_folder(folder, 0o755)?;
    }
    let kept = keep_other(path, contents, now)?;
    files::write_private(path, contents.as_bytes(), || {
        reached(Checkpoint::KubeconfigWritten)
    })?;
    reached(Checkpoint::KubeconfigInPlace);
    Ok(kept)
}

/// Removes the pending key, which is in the certificate file now.
///
/// # Errors
/// If the disk fails.
pub fn remove_pending_key(path: &Path, reached: &dyn Fn(Checkpoint)) -> Result<(), StoreError> {
    files::remove(path)?;
    reached(Checkpoint::KeyRemoved);
    Ok(())
}

fn keep_other(path: &Path, contents: &str, now: Timestamp) -> Result<Option<PathBuf>, DiskError> {
    match fs::read(path) {
        Ok(old) if !old.is_empty() && old != contents.as_bytes() => {}
        Ok(_) | Err(_) => return Ok(None),
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let kept = path.with_file_name(format!(
        "{name}.replaced-{}",
        now.strftime("%Y%m%dT%H%M%SZ")
    ));
    match fs::hard_link(path, &kept) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(DiskError::new("keep a copy of", path, error))
        }
        Ok(()) | Err(_) => Ok(Some(kept)),
    }
}

/// Refuses anything but a symlink at the symlink's path, as kubelet does, because its purpose is unknown.
fn check_link(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_symlink() => {
            Err(StoreError::NotALink(path.to_owned()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DiskError::new("look at", path, error).into()),
    }
}

fn same_contents(cert_dir: &Path, contents: &[u8]) -> Option<PathBuf> {
    let entries = fs::read_dir(cert_dir).ok()?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            name.starts_with(&format!("{PREFIX}-2"))
                && path.extension().is_some_and(|extension| extension == "pem")
                && !path.is_symlink()
                && fs::read(path).is_ok_and(|found| found == contents)
        })
}

/// Returns a free `kubelet-client-<local time>.pem`, a second later for each name in use: earlier certificates are
/// kept.
fn free_name(cert_dir: &Path, now: Timestamp) -> Result<PathBuf, DiskError> {
    let mut path = cert_dir.to_owned();
    for later in 0..MAX_NAMES {
        let at = now
            .checked_add(later.seconds())
            .unwrap_or(now)
            .to_zoned(TimeZone::system());
        path = cert_dir.join(format!("{PREFIX}-{}.pem", at.strftime("%Y-%m-%d-%H-%M-%S")));
        if fs::symlink_metadata(&path).is_err() {
            return Ok(path);
        }
    }
    Err(DiskError::new(
        "find a free name like",
        &path,
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// The reason why the identity could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The path of kubelet's symlink holds something else.
    #[error(
        "{} is not a symlink, which kubelet needs there; move it away and start again",
        .0.display()
    )]
    NotALink(PathBuf),
}
