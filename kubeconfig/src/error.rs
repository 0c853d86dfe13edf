//! The errors of reading a kubeconfig, each a sentence.

use std::io;
use std::path::PathBuf;

/// The reason why a kubeconfig is unusable. The text follows the name of the file, and contains none of its content but
/// names.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The kind is not that of a kubeconfig.
    #[error("is a {kind:?} of {version:?}, not a Config of \"v1\", which a kubeconfig is")]
    AnotherKind {
        /// Its `apiVersion`.
        version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A token file without a token.
    #[error("names in {field} the token file {}, which is empty", file.display())]
    EmptyToken {
        /// The field that names the file.
        field: String,
        /// The file.
        file: PathBuf,
    },
    /// The file does not exist.
    #[error("does not exist")]
    Missing,
    /// The file has no `current-context`.
    #[error(
        "has no current-context in its first YAML document, the only one that counts; set one with kubectl config use-context"
    )]
    NoCurrentContext,
    /// The context names a cluster that is not in the file.
    #[error("has no cluster {cluster:?}, which its context {context:?} names")]
    NoSuchCluster {
        /// The context.
        context: String,
        /// The missing entry.
        cluster: String,
    },
    /// `current-context` names no context of the file.
    #[error("has no context {0:?}, which its current-context names")]
    NoSuchContext(String),
    /// The context names a user that is not in the file.
    #[error("has no user {user:?}, which its context {context:?} names")]
    NoSuchUser {
        /// The context.
        context: String,
        /// The missing entry.
        user: String,
    },
    /// Embedded data cannot be decoded.
    #[error("holds in {0} what is not base64 (line ends are allowed, blanks are not)")]
    NotBase64(String),
    /// The file is not the YAML of a kubeconfig. Only the position is kept: the text around it may be a credential.
    #[error("is not a kubeconfig in YAML{0}")]
    NotYaml(String),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A file that it references cannot be read.
    #[error("names in {field} the file {}, which cannot be read: {source}", file.display())]
    Reference {
        /// The field that names the file.
        field: String,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A token that no header can hold.
    #[error(
        "holds in {0} a token with a blank, a line break or another character that no Authorization header can hold; \
         write the token alone, on one line"
    )]
    Token(String),
    /// A token file with a token that no header can hold.
    #[error(
        "names in {field} the file {}, whose token has a blank, a line break or another character that no Authorization \
         header can hold; the file must hold the token alone, on one line", file.display()
    )]
    TokenFile {
        /// The field that names the file.
        field: String,
        /// The file.
        file: PathBuf,
    },
    /// Two entries with the same name.
    #[error("has two entries named {name:?} in {list}; remove or rename one of them")]
    Twice {
        /// The list.
        list: &'static str,
        /// The name.
        name: String,
    },
}

impl Unusable {
    pub(crate) fn from_io(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Unreadable(source)
        }
    }

    pub(crate) fn not_yaml(error: &serde_saphyr::Error) -> Self {
        let place = error
            .location()
            .map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        Self::NotYaml(place.unwrap_or_default())
    }
}
