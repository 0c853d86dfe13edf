//! The key on this machine that is pinned in its Machine: `--join-key`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::AgentError;
use crate::signing_key::SigningKey;

/// The permission bits of group and others.
const OTHERS: u32 = 0o077;

/// A join key and its file.
#[derive(Debug)]
pub(crate) struct JoinKey {
    pub(crate) file: PathBuf,
    pub(crate) key: SigningKey,
}

impl JoinKey {
    /// Reads the private key.
    ///
    /// # Errors
    /// [`AgentError::JoinKey`] if the file cannot be read, if others can read it, or if it holds no key that can sign
    /// evidence.
    pub(crate) fn read(file: &Path) -> Result<Self, AgentError> {
        let key = read(file).map_err(|why| Self::unusable(file, why))?;
        Ok(Self {
            file: file.to_owned(),
            key,
        })
    }

    /// Returns the error for an unusable key. `why` follows the name of the file.
    pub(crate) fn unusable(file: &Path, why: String) -> AgentError {
        AgentError::JoinKey {
            file: file.to_owned(),
            why,
        }
    }
}

fn read(path: &Path) -> Result<SigningKey, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut file = File::open(path).map_err(unreadable)?;
    // The mode of the opened file, in case the path has changed since.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(format!(
            "has the mode {mode:04o}, with which others can use it: whoever reads it can join as this machine; make it \
             0600, and use a new key if others may have read this one"
        ));
    }
    let mut pem = Zeroizing::new(Vec::new());
    file.read_to_end(&mut pem).map_err(unreadable)?;
    SigningKey::from_pem(&pem).ok_or_else(|| {
        "holds no private key in PEM that can be used; make one with openssl genpkey -algorithm ed25519 (ECDSA P-256 and \
         P-384, and RSA from 2048 bits on, are taken as well, none of them with a passphrase)"
            .to_owned()
    })
}
