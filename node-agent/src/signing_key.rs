//! Private keys that sign statements: one that kubelet or the agent used before, or the join key.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign;

/// One scheme for each kind of key, as evidence requires (`docs/evidence.md`).
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// A private key of a kind that can sign evidence.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key: Arc<dyn sign::SigningKey>,
    spki_der: Vec<u8>,
}

impl SigningKey {
    /// Reads the first private key in a PEM text: PKCS#8, SEC 1 as kubelet writes it, or PKCS#1.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let key = any_supported_type(&der).ok()?;
        let spki_der = key.public_key()?.as_ref().to_vec();
        Some(Self { key, spki_der })
    }

    /// The public key as DER of a SubjectPublicKeyInfo.
    pub(crate) fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Signs with the one algorithm of this kind of key.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let unsupported = || rustls::Error::General("no signature algorithm fits it".to_owned());
        let signer = self.key.choose_scheme(SCHEMES).ok_or_else(unsupported)?;
        signer.sign(message)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}
