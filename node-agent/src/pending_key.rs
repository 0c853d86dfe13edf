//! The private key until its certificate is issued: on disk before it is used, so that a crash does not change it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _,
};
use rollcall_csr::{NODES_GROUP, NodeName};
use zeroize::Zeroizing;

use crate::files::{self, DiskError};

/// The file name in the certificate folder. Not kubelet's own `kubelet-client.key.tmp`, which kubelet would use and
/// then remove.
pub const FILE_NAME: &str = "kubelet-client-pending.key";

/// A P-256 key, as kubelet makes it, and its file.
#[derive(Debug)]
pub struct PendingKey {
    key: KeyPair,
    path: PathBuf,
}

/// The origin of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The agent created it.
    Made,
    /// An earlier run wrote it.
    Reused,
    /// An unusable one existed; it was renamed, and a new one created.
    Replaced {
        /// The new path of the unusable key.
        aside: PathBuf,
        /// The problem with it.
        why: &'static str,
    },
}

impl PendingKey {
    /// Loads the key that an earlier run left in `folder`, or creates one and writes it.
    ///
    /// # Errors
    /// If the disk fails, or the system has no randomness.
    pub fn load_or_make(folder: &Path, now: Timestamp) -> Result<(Self, Origin), KeyError> {
        let path = folder.join(FILE_NAME);
        files::remove_leftovers(folder, FILE_NAME);
        let origin = match files::read_with_mode(&path)? {
            None => Origin::Made,
            Some((pem, mode)) => match usable(&pem, mode) {
                Ok(key) => return Ok((Self { key, path }, Origin::Reused)),
                Err((word, why)) => {
                    let aside = folder.join(format!(
                        "{FILE_NAME}.{word}-{}",
                        now.strftime("%Y%m%dT%H%M%SZ")
                    ));
                    files::set_aside(&path, &aside)?;
                    Origin::Replaced { aside, why }
                }
            },
        };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| KeyError::Make(error.to_string()))?;
        let key = Self { key, path };
        files::write_private(&key.path, key.pem().as_bytes(), || ())?;
        Ok((key, origin))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key as PKCS#8 in PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// The public key as DER of a SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// Creates a certification request for the node, in PEM, with kubelet's subject and nothing else.
    ///
    /// # Errors
    /// [`KeyError::Make`] if signing fails.
    pub fn certification_request(&self, node: &NodeName) -> Result<String, KeyError> {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, NODES_GROUP);
        subject.push(DnType::CommonName, node.username());
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params
            .serialize_request(&self.key)
            .and_then(|request| request.pem())
            .map_err(|error| KeyError::Make(error.to_string()))
    }
}

/// Returns the key in a file, or a word and a reason why it is unusable.
fn usable(pem: &[u8], mode: u32) -> Result<KeyPair, (&'static str, &'static str)> {
    if mode & 0o077 != 0 {
        return Err(("exposed", "others could read it"));
    }
    let corrupt = ("corrupt", "it is not a P-256 private key in PEM");
    let text = std::str::from_utf8(pem).map_err(|_| corrupt)?;
    let key = KeyPair::from_pem(text).map_err(|_| corrupt)?;
    if key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
        Ok(key)
    } else {
        Err(corrupt)
    }
}

/// The error of loading or creating the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The key or the request could not be created.
    #[error("could not make a key and a request for it: {0}")]
    Make(String),
}
