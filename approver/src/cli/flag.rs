//! What is wrong with a flag, or with a field of a file that a flag names.

use std::path::Path;

/// A flag that does not hold. Never repeats a file's content: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {message}")]
pub(crate) struct FlagError {
    flag: String,
    message: String,
}

impl FlagError {
    /// A flag, and what is wrong with its value.
    pub(super) fn new(flag: &str, message: impl Into<String>) -> Self {
        Self {
            flag: flag.to_owned(),
            message: message.into(),
        }
    }

    /// A flag that names a file, and what is wrong with that.
    pub(super) fn file(flag: &str, path: &Path, message: impl Into<String>) -> Self {
        Self::new(&format!("{flag} {}", path.display()), message)
    }
}

/// Reads the file that a flag names; `-` is standard input.
pub(super) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, FlagError> {
    let content = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    content.map_err(|error| FlagError::file(flag, path, format!("cannot be read: {error}")))
}

/// As [`read`], for what has to be text.
pub(super) fn read_text(flag: &str, path: &Path) -> Result<String, FlagError> {
    String::from_utf8(read(flag, path)?)
        .map_err(|_| FlagError::file(flag, path, "is not text in UTF-8"))
}

/// Reads YAML, or JSON, which is YAML too. The error names the place only: what stands there may be a secret.
pub(super) fn parse_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error
            .location()
            .map(|at| format!(" (line {}, column {})", at.line(), at.column()));
        format!(
            "is not the YAML or JSON that is expected here{}",
            place.unwrap_or_default()
        )
    })
}
