//! Installing the identity where kubelet looks for it, in steps of which each leaves a state to go on from.

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

/// What the names of kubelet's client certificates begin with (Kubernetes `pkg/kubelet/certificate/kubelet.go`).
const PREFIX: &str = "kubelet-client";

/// Characters on a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// How many file names, one second apart, are tried before the folder is taken for broken.
const MAX_NAMES: i64 = 60;

/// The mode of a certificate folder that has to be made. Stricter than kubelet's 0755: nobody but root uses what is in
/// it, and kubelet leaves a folder that exists as it is.
const FOLDER_MODE: u32 = 0o700;

/// A moment between two changes on disk, at which a crash must do no harm. In the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// The certificate file is whole but has no name yet.
    CertificateWritten,
    /// The certificate file has its name.
    CertificateInPlace,
    /// The new symlink waits under its temporary name.
    LinkWritten,
    /// The symlink points to the new certificate.
    LinkInPlace,
    /// The kubeconfig is whole but has no name yet.
    KubeconfigWritten,
    /// The kubeconfig has its name.
    KubeconfigInPlace,
    /// The pending key is gone; nothing is left to do.
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

/// Makes the folder if it is not there.
///
/// # Errors
/// When the disk refuses.
pub fn make_folder(cert_dir: &Path) -> Result<(), DiskError> {
    files::make_folder(cert_dir, FOLDER_MODE)
}

/// Leaf, the rest of its chain, then the key, in one PEM text, as kubelet writes it.
pub fn bundle(chain: &Chain, key_pem: &str) -> Zeroizing<String> {
    let certificates = certificates_pem(chain);
    // Room for all of it: a text that grows leaves its earlier copies behind.
    let length = certificates.len().saturating_add(key_pem.len());
    let mut bundle = Zeroizing::new(String::with_capacity(length));
    bundle.push_str(&certificates);
    bundle.push_str(key_pem);
    bundle
}

/// Leaf and the rest of its chain as PEM.
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

/// Writes the certificate file and returns its path. A file that holds the same already, from a run that was killed, is
/// taken instead of a second one.
///
/// # Errors
/// When the disk refuses.
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

/// Points kubelet's symlink to a certificate file, in one step. The new link waits under the name under which kubelet
/// itself looks for one after a crash (client-go `util/certificate/certificate_store.go`, `recover`).
///
/// # Errors
/// When the disk refuses, or something that is not a symlink is in the way.
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

/// Writes kubelet's kubeconfig. One that is there and differs may hold the only copy of a credential, so it stays under
/// another name, which is returned.
///
/// # Errors
/// When the disk refuses.
pub fn install_kubeconfig(
    path: &Path,
    contents: &str,
    now: Timestamp,
    reached: &dyn Fn(Checkpoint),
) -> Result<Option<PathBuf>, StoreError> {
    if let Some(folder) = path.parent() {
        // Others read their own files here, so the usual mode.
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
/// When the disk refuses.
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

/// As kubelet does, something else than a symlink at a symlink's place ends the work: nobody knows what it is for.
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

/// `kubelet-client-<local time>.pem`, a second later for each name that is taken: earlier certificates stay.
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

/// Why the identity could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Something else is where kubelet's symlink belongs.
    #[error(
        "{} is not a symlink, which kubelet needs there; move it away and start again",
        .0.display()
    )]
    NotALink(PathBuf),
}
