//! The root of an image, which no path leaves: neither by `..` nor by a symlink that is only valid in the running
//! image.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::exit::Exit;
use crate::words;

/// Largest file of an image that is read, in bytes; the relevant ones are much smaller.
const READ_LIMIT: u64 = 64 * 1024;

/// A folder with a machine's complete file system. Paths are relative to it, and symlinks resolve as on that machine
/// (`openat2`, `RESOLVE_IN_ROOT`).
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// Opens the folder.
    ///
    /// # Errors
    /// If it is not a folder.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| ImageError::Root {
                path: path.to_owned(),
                source: errno.into(),
            })?;
        Ok(Self {
            folder,
            path: path.to_owned(),
        })
    }

    /// The path of the root on the running machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file atomically, and creates its parent folders.
    pub(super) fn write(
        &self,
        path: &'static str,
        contents: &[u8],
        mode: u32,
    ) -> Result<(), ImageError> {
        let failed = |source: io::Error| self.failed("write", path, source);
        let (above, name) = split(path);
        let folder = self.make_folders(above)?;
        if !self.is_replaceable(path) {
            let message = "something that is no regular file is there, and is not replaced; remove it from the image";
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                message,
            )));
        }
        let temporary = format!(".{name}.rollcall-tmp");
        let remove = |folder: &OwnedFd| {
            // A leftover of a killed run, or of this one: the next write reports it if it cannot be removed.
            rustix::fs::unlinkat(folder, &temporary, AtFlags::empty()).ok();
        };
        remove(&folder);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let written = rustix::fs::openat(&folder, &temporary, flags, Mode::from_raw_mode(mode))
            .and_then(|file| {
                // Independent of the umask.
                rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map(|()| file)
            })
            .map_err(io::Error::from)
            .and_then(|file| {
                let mut file = File::from(file);
                file.write_all(contents).and_then(|()| file.sync_all())
            })
            .and_then(|()| Ok(rustix::fs::renameat(&folder, &temporary, &folder, name)?));
        written.map_err(|source| {
            remove(&folder);
            failed(source)
        })
    }

    /// Returns the contents of a file; `None` if it does not exist.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        // Reading a pipe or a device in an image must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.open_at(path, flags) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(self.failed("read", path, errno.into())),
        };
        let mut contents = Vec::new();
        File::from(file)
            .take(READ_LIMIT)
            .read_to_end(&mut contents)
            .map_err(|source| self.failed("read", path, source))?;
        Ok(Some(contents))
    }

    /// Returns the names in a folder, sorted, each with true for a folder; empty if the folder does not exist.
    pub(super) fn list(&self, path: &str) -> Result<Vec<(String, bool)>, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match self.open_at(path, flags) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(errno) => return Err(self.failed("read the folder", path, errno.into())),
        };
        let failed = |errno: Errno| self.failed("read the folder", path, errno.into());
        let mut found = Vec::new();
        for entry in Dir::new(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = text(entry.file_name());
            if name != "." && name != ".." {
                found.push((name, entry.file_type() == FileType::Directory));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Returns true if the path is a symlink.
    pub(super) fn is_link(&self, path: &str) -> bool {
        self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)
            .and_then(rustix::fs::fstat)
            .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
    }

    /// Returns true if the path is free, a regular file, or a link to one: a device or a link to `/dev/null` was put
    /// there by an administrator to disable something.
    fn is_replaceable(&self, path: &str) -> bool {
        let kind = |flags| {
            let found = self.open_at(path, OFlags::PATH | OFlags::CLOEXEC | flags)?;
            Ok::<_, Errno>(FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode))
        };
        match kind(OFlags::NOFOLLOW) {
            Err(errno) => errno == Errno::NOENT,
            Ok(FileType::Symlink) => kind(OFlags::empty()) == Ok(FileType::RegularFile),
            Ok(found) => found == FileType::RegularFile,
        }
    }

    fn make_folders(&self, path: &str) -> Result<OwnedFd, ImageError> {
        let failed =
            |part: &str, errno: Errno| self.failed("make the folder", part, io::Error::from(errno));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut made = String::new();
        for part in path.split('/') {
            let above = if made.is_empty() { "." } else { &made };
            let folder = self
                .open_at(above, flags)
                .map_err(|errno| failed(above, errno))?;
            if !made.is_empty() {
                made.push('/');
            }
            made.push_str(part);
            match self.open_at(&made, flags) {
                Ok(_) => {}
                Err(Errno::NOENT) => rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755))
                    .map_err(|errno| failed(&made, errno))?,
                Err(errno) => return Err(failed(&made, errno)),
            }
        }
        self.open_at(path, flags)
            .map_err(|errno| failed(path, errno))
    }

    fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(
            &self.folder,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        )
    }

    fn failed(&self, action: &'static str, path: &str, source: io::Error) -> ImageError {
        ImageError::Disk {
            action,
            path: self.path.join(path),
            source,
        }
    }
}

/// Splits a relative path into folder and name.
fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

fn text(name: &CStr) -> String {
    words::printable(&name.to_string_lossy())
}

/// The errors of working on an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file could not be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    Disk {
        /// The action, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The root is not a folder.
    #[error("--root {} is not a folder that can be opened: {source}", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// This program cannot be read.
    #[error("could not read this program to install it: {0}")]
    Program(io::Error),
}

impl ImageError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Disk { .. } | Self::Program(_) => Exit::Disk,
            Self::Root { .. } => Exit::Usage,
        }
    }
}
