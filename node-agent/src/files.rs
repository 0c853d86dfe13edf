//! Atomic files: complete or absent, and never readable by others, not even briefly.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use zeroize::Zeroizing;

/// Read and write for the owner only; these files hold keys and credentials.
const PRIVATE: u32 = 0o600;

/// The suffix of temporary files.
const TEMPORARY: &str = ".rollcall-tmp";

/// The error of reading or writing a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}: {source}{}", path.display(), advice(source))]
pub struct DiskError {
    /// The action, as a verb.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl DiskError {
    /// Creates the error.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Returns the next step, for causes that have one.
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

/// Returns the temporary path of a file: fixed, so that the next run finds and removes a leftover.
fn temporary(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}{TEMPORARY}"))
}

/// Writes a file atomically, readable by its owner only from the start: temporary file in the same folder, fsync,
/// rename, fsync of the folder. `before_rename` is called in between.
///
/// # Errors
/// If the disk fails; the temporary file is removed.
pub fn write_private(
    path: &Path,
    contents: &[u8],
    before_rename: impl FnOnce(),
) -> Result<(), DiskError> {
    write(path, contents, PRIVATE, before_rename)
}

/// Writes a file with this mode, as [`write_private`] does.
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
        // The first failure is reported; the next run removes the temporary file if this fails.
        fs::remove_file(&temporary).ok();
        return Err(DiskError::new("write", path, source));
    }
    sync_folder_of(path)
}

/// Checks that a file can be written at this path: it is free, or a regular file is there. A device, a pipe, a folder or a
/// link to one of them has another purpose and is never replaced.
///
/// # Errors
/// If anything else is there.
pub fn check_target(path: &Path) -> Result<(), DiskError> {
    // Other problems with the path are reported by the write.
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
    // O_EXCL: a planted link is not followed, and the mode below applies to the new file.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path)?;
    // Wider only on request, and then independent of the umask.
    if mode != PRIVATE {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes `link` point to `target` and replaces an existing link atomically. The new link is created as `temporary`;
/// `before_rename` is called before it is renamed.
///
/// # Errors
/// If the disk fails.
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

/// Renames a file within its folder, makes it readable by its owner only, and syncs.
///
/// # Errors
/// If the disk fails.
pub fn set_aside(path: &Path, aside: &Path) -> Result<(), DiskError> {
    fs::set_permissions(path, Permissions::from_mode(PRIVATE))
        .and_then(|()| fs::rename(path, aside))
        .map_err(|source| DiskError::new("set aside", path, source))?;
    sync_folder_of(path)
}

/// Renames a file or a folder within its folder, and syncs.
///
/// # Errors
/// If the disk fails.
pub fn rename(path: &Path, new: &Path) -> Result<(), DiskError> {
    fs::rename(path, new).map_err(|source| DiskError::new("set aside", path, source))?;
    sync_folder_of(path)
}

/// Removes a file, if it exists, and syncs.
///
/// # Errors
/// If the disk fails.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    remove_if_there(path).map_err(|source| DiskError::new("remove", path, source))?;
    sync_folder_of(path)
}

/// Removes the temporary files that a killed run left in this folder, for names that begin with `prefix`.
pub fn remove_leftovers(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!(".{prefix}")) && name.ends_with(TEMPORARY) {
            // A disk that fails here also fails the next write, which reports it.
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

/// Creates a folder and its parents, and syncs. The last one gets `mode`, its parents the default.
///
/// # Errors
/// If the disk fails.
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

/// The contents of a file, possibly a key, and its permission bits.
pub type WithMode = (Zeroizing<Vec<u8>>, u32);

/// Returns a file's contents and permission bits, without following a link; `None` if the file does not exist.
///
/// # Errors
/// If the disk fails, or the path is a link or anything else that is not a regular file.
pub fn read_with_mode(path: &Path) -> Result<Option<WithMode>, DiskError> {
    let failed = |source: io::Error| DiskError::new("read", path, source);
    let file = match rustix::fs::open(
        path,
        // Reading a pipe must not block.
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

/// The lock that keeps a second agent out of a folder until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _folder: File,
}

impl Lock {
    /// Locks the folder itself, so that no lock file remains; `None` if another process holds the lock.
    ///
    /// # Errors
    /// If the folder cannot be opened.
    pub fn acquire(folder: &Path) -> Result<Option<Self>, DiskError> {
        let file = File::open(folder).map_err(|source| DiskError::new("open", folder, source))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _folder: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(DiskError::new("lock", folder, errno.into())),
        }
    }
}
