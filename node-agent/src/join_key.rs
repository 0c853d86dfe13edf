//! The key that was put on this machine and pinned in its Machine: `--join-key`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::AgentError;
use crate::signing_key::SigningKey;

/// The bits of a file's mode that let others than its owner in.
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
    /// [`AgentError::JoinKey`] when the file cannot be read, when others can read it, or when there is no key in it that
    /// evidence can be signed with.
    pub(crate) fn read(file: &Path) -> Result<Self, AgentError> {
        let key = read(file).map_err(|why| Self::unusable(file, why))?;
        Ok(Self {
            file: file.to_owned(),
            key,
        })
    }

    /// That this key cannot be used. `why` reads as what follows the name of the file.
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
    // The mode of what was opened, whatever the name points to by now.
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
