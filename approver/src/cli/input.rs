//! Where a dump comes from: files, archives, directories, standard input. Everything is read here, and nothing of what the
//! texts say is understood.

mod content;
mod tar;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::content::Content;
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
            understand("standard input".into(), standard_input()?, true, &mut texts)?;
        } else if metadata(source)?.is_dir() {
            let before = texts.len();
            read_directory(source, &mut texts)?;
            if texts.len() == before {
                return Err(InputError::NoFiles(source.clone()));
            }
        } else {
            read_file(source, true, &mut texts)?;
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

fn standard_input() -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|source| unreadable(Path::new("standard input"), source))?;
    Ok(bytes)
}

fn read_file(path: &Path, named: bool, texts: &mut Vec<Text>) -> Result<(), InputError> {
    let bytes = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    understand(path.display().to_string().into(), bytes, named, texts)
}

/// Adds what is in a file. Those in an archive are chosen as those of a directory are.
fn understand(
    name: Arc<str>,
    bytes: Vec<u8>,
    named: bool,
    texts: &mut Vec<Text>,
) -> Result<(), InputError> {
    let malformed = |message: String| {
        let name = Arc::clone(&name);
        InputError::Malformed { name, message }
    };
    let members = match content::read(bytes).map_err(malformed)? {
        Content::Text(content) => {
            texts.push(Text {
                name,
                content,
                named,
            });
            return Ok(());
        }
        Content::Members(members) => members,
    };
    if members.iter().any(|(member, _)| is_of_insights(member)) {
        let message = "this is an archive of the Insights operator, which leaves out what certificate requests ask for; \
                       hand in what oc get csr,nodes,machines -A -o yaml prints, or a must-gather";
        return Err(malformed(message.to_owned()));
    }
    let before = texts.len();
    for (member, bytes) in members {
        if !is_dump(Path::new(&member)) {
            continue;
        }
        let member: Arc<str> = format!("{name}:{member}").into();
        match content::text(bytes) {
            Ok(content) => texts.push(Text {
                name: member,
                content,
                named: false,
            }),
            Err(message) => complain("error", &format!("{member}: {message}")),
        }
    }
    if texts.len() == before {
        return Err(malformed(
            "there is no .yaml, .yml or .json file in this archive".to_owned(),
        ));
    }
    Ok(())
}

/// Whether a file of an archive is one that only the Insights operator writes (openshift/insights-operator,
/// `docs/insights-archive-sample`).
fn is_of_insights(member: &str) -> bool {
    let member = member.trim_start_matches("./");
    member.starts_with("insights-operator/")
        || member.starts_with("config/certificatesigningrequests/")
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
            read_file(&path, false, texts)
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
