//! Files that are either whole or not there, and never readable by others, not even for a moment.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use zeroize::Zeroizing;

/// Read and write for the owner only; keys and credentials are in these files.
const PRIVATE: u32 = 0o600;

/// What the names of temporary files end with.
const TEMPORARY: &str = ".rollcall-tmp";

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}: {source}{}", path.display(), advice(source))]
pub struct DiskError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl DiskError {
    /// Describes a failure.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// The next step for causes that have one.
fn advice(source: &io::Error) -> &'static str {
    let kind = source.kind();
    if kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded {
        "; make room there and start again, nothing was left half-written"
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        "; mount it writable and start again, nothing was left half-written"
    } else if kind == io::ErrorKind::PermissionDenied {
        "; run as root, as kubelet does"
    } else {
        ""
    }
}

/// Where a file is written before it takes its name: fixed, so that the rest of a killed run is found and removed.
fn temporary(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}{TEMPORARY}"))
}

/// Writes a file that only its owner can read, from the first moment on, and that has its name only when it is whole:
/// temporary file in the same folder, fsync, rename, fsync of the folder. `before_rename` is called in between.
///
/// # Errors
/// When the disk refuses; the temporary file is removed.
pub fn write_private(
    path: &Path,
    contents: &[u8],
    before_rename: impl FnOnce(),
) -> Result<(), DiskError> {
    write(path, contents, PRIVATE, before_rename)
}

/// Writes a file that others may read as far as `mode` says, as [`write_private`] does.
///
/// # Errors
/// As [`write_private`].
pub fn write_with_mode(path: &Path, contents: &[u8], mode: u32) -> Result<(), DiskError> {
    write(path, contents, mode, || ())
}

fn write(
    path: &Path,
    contents: &[u8],
    mode: u32,
    before_rename: impl FnOnce(),
) -> Result<(), DiskError> {
    check_target(path)?;
    let temporary = temporary(path);
    let written = write_new(&temporary, contents, mode).and_then(|()| {
        before_rename();
        fs::rename(&temporary, path)
    });
    if let Err(source) = written {
        // The first failure is the one to report; a temporary file that cannot be removed goes with the next run.
        fs::remove_file(&temporary).ok();
        return Err(DiskError::new("write", path, source));
    }
    sync_folder_of(path)
}

/// Whether a file can be written where this path leads: nothing is there, or a regular file. A device, a pipe, a folder or
/// a link to one of them serves somebody else and is never replaced.
///
/// # Errors
/// When something else is there.
pub fn check_target(path: &Path) -> Result<(), DiskError> {
    // What else is wrong with the path is said by the write.
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_link = there.file_type().is_symlink();
    if there.is_file() || is_link && fs::metadata(path).is_ok_and(|target| target.is_file()) {
        return Ok(());
    }
    let what = if is_link {
        "a link that leads to no regular file is there"
    } else {
        "something that is no regular file is there"
    };
    let message = format!("{what}, and is not replaced; name another file");
    let source = io::Error::new(io::ErrorKind::AlreadyExists, message);
    Err(DiskError::new("write", path, source))
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    remove_if_there(path)?;
    // O_EXCL: a link planted here is not followed, and the mode below is the mode of the new file.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    // Wider only when it is asked for, and then whatever the umask.
    if mode != PRIVATE {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes `link` point to `target`, replacing the link that is there in one step. The new link waits under the name
/// `temporary`; `before_rename` is called before it takes its place.
///
/// # Errors
/// When the disk refuses.
pub fn replace_link(
    link: &Path,
    target: &Path,
    temporary: &Path,
    before_rename: impl FnOnce(),
) -> Result<(), DiskError> {
    let replaced = remove_if_there(temporary)
        .and_then(|()| std::os::unix::fs::symlink(target, temporary))
        .and_then(|()| {
            before_rename();
            fs::rename(temporary, link)
        });
    if let Err(source) = replaced {
        fs::remove_file(temporary).ok();
        return Err(DiskError::new("link", link, source));
    }
    sync_folder_of(link)
}

/// Gives a file a new name in the same folder, for good, where only its owner can read it.
///
/// # Errors
/// When the disk refuses.
pub fn set_aside(path: &Path, aside: &Path) -> Result<(), DiskError> {
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))
        .and_then(|()| fs::rename(path, aside))
        .map_err(|source| DiskError::new("set aside", path, source))?;
    sync_folder_of(path)
}

/// Gives a file or a folder a new name in the same folder, for good.
///
/// # Errors
/// When the disk refuses.
pub fn rename(path: &Path, new: &Path) -> Result<(), DiskError> {
    fs::rename(path, new).map_err(|source| DiskError::new("set aside", path, source))?;
    sync_folder_of(path)
}

/// Removes a file for good; one that is not there is fine.
///
/// # Errors
/// When the disk refuses.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    remove_if_there(path).map_err(|source| DiskError::new("remove", path, source))?;
    sync_folder_of(path)
}

/// Removes what a killed run left of files that it was about to write: those of this folder whose final names begin
/// with `prefix`.
pub fn remove_leftovers(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!(".{prefix}")) && name.ends_with(TEMPORARY) {
            // A disk that refuses this refuses the next write as well, which reports it.
            fs::remove_file(&path).ok();
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> Result<(), DiskError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| DiskError::new("write the entries of", folder, source))
}

/// Makes a folder and those above it, for good. The last one gets `mode`, those above it the usual one.
///
/// # Errors
/// When the disk refuses.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |source| DiskError::new("make the folder", path, source);
    if let Some(above) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .create(above)
            .map_err(failed)?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(failed)?;
    sync_folder_of(path)
}

/// What is in a file, which may be a key, and its permission bits.
pub type WithMode = (Zeroizing<Vec<u8>>, u32);

/// A file's text and its permission bits, without following a link; `None` when there is no such file.
///
/// # Errors
/// When the disk refuses, or a link or anything else that is no regular file is there.
pub fn read_with_mode(path: &Path) -> Result<Option<WithMode>, DiskError> {
    let failed = |source: io::Error| DiskError::new("read", path, source);
    let file = match rustix::fs::open(
        path,
        // A pipe must not hold up who reads it.
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno.into())),
    };
    let mode = rustix::fs::fstat(&file)
        .map_err(|errno| failed(errno.into()))?
        .st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let mut contents = Zeroizing::new(Vec::new());
    File::from(file)
        .read_to_end(&mut contents)
        .map_err(failed)?;
    Ok(Some((contents, mode & 0o777)))
}

/// Keeps a second agent out of a folder until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

impl Lock {
    /// Locks the folder itself, so that no lock file is left; `None` when another process holds it.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn acquire(folder: &Path) -> Result<Option<Self>, DiskError> {
        let file = File::open(folder).map_err(|source| DiskError::new("open", folder, source))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _folder: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(DiskError::new("lock", folder, errno.into())),
        }
    }
}
