//! Where a dump comes from: files, directories, standard input. Everything is read here, and nothing is understood.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::print::complain;

/// Why an answer cannot be given from what was handed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// What was handed in for certificates holds none.
    #[error("{}: {message}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Some machines cannot be expected, and so none was.
    #[error(
        "{wrong} of {all} machines cannot be expected, so nothing was done; correct them, or add --keep-going"
    )]
    Machines {
        /// How many are wrong.
        wrong: usize,
        /// How many there are.
        all: usize,
    },
    /// A file is not what it should be.
    #[error("{name}: {message}")]
    Malformed {
        /// Which file.
        name: Arc<str>,
        /// What is wrong with it.
        message: String,
    },
    /// A directory holds no dump.
    #[error("{}: there is no .yaml, .yml or .json file below this directory", .0.display())]
    NoFiles(PathBuf),
    /// A file holds no machine.
    #[error("{0}: there is no machine in it")]
    NoMachines(Arc<str>),
    /// A file holds nothing that could be an object.
    #[error("{0}: nothing in it can be read as a Kubernetes object in YAML or JSON")]
    NoObjects(Arc<str>),
    /// A request that was asked about is not there.
    #[error("there is no readable CertificateSigningRequest {0} in the input")]
    NotThere(String),
    /// There is no request.
    #[error(
        "there is nothing to judge: no readable CertificateSigningRequest (certificates.k8s.io/v1) in the input"
    )]
    NothingToJudge,
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The content of one file.
#[derive(Debug)]
pub(super) struct Text {
    /// The file, as messages name it.
    pub(super) name: Arc<str>,
    /// What is in it.
    pub(super) content: String,
    /// Whether it was named itself, and not found in a directory: then it has to hold objects.
    pub(super) named: bool,
}

/// Reads everything that was named, in that order; the files of a directory in the order of their names.
pub(super) fn read(sources: &[PathBuf]) -> Result<Vec<Text>, InputError> {
    let mut texts = Vec::new();
    for source in sources {
        if source.as_os_str() == "-" {
            texts.push(standard_input()?);
        } else if metadata(source)?.is_dir() {
            let before = texts.len();
            read_directory(source, &mut texts)?;
            if texts.len() == before {
                return Err(InputError::NoFiles(source.clone()));
            }
        } else {
            texts.push(read_file(source, true)?);
        }
    }
    Ok(texts)
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, InputError> {
    std::fs::metadata(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> InputError {
    InputError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

fn standard_input() -> Result<Text, InputError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|source| unreadable(Path::new("standard input"), source))?;
    Ok(Text {
        name: "standard input".into(),
        content: into_text(bytes),
        named: true,
    })
}

fn read_file(path: &Path, named: bool) -> Result<Text, InputError> {
    let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    Ok(Text {
        name: path.display().to_string().into(),
        content: into_text(bytes),
        named,
    })
}

/// A byte that is not UTF-8 must not hide the other documents of its file: it becomes a replacement character.
fn into_text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// Reads the dumps of a directory and of those below it. What cannot be read is told, and the rest is read.
fn read_directory(directory: &Path, texts: &mut Vec<Text>) -> Result<(), InputError> {
    let entries = std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // A link to a directory may lead back to where it is.
        let link = path.is_symlink();
        let read = if path.is_dir() && !link {
            read_directory(&path, texts)
        } else if path.is_file() && is_dump(&path) {
            read_file(&path, false).map(|text| texts.push(text))
        } else {
            Ok(())
        };
        if let Err(error) = read {
            complain("error", &error.to_string());
        }
    }
    Ok(())
}

fn is_dump(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| ["yaml", "yml", "json"].contains(&extension))
}
