//! The signature that proves possession of the private key, of a request or of a statement of evidence.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};

use crate::der::{OBJECT_IDENTIFIER, Reader, dotted};
use crate::{KeyAlgorithm, ParseError};

// AlgorithmIdentifiers, with their parameters, as DER without the enclosing SEQUENCE. Go ignores the parameters of most
// of them; here they must match the RFC. RSASSA-PSS is unsupported: its parameters can be read in two ways, and no
// kubelet uses it.
/// ecdsa-with-SHA256 (RFC 5758 section 3.2).
const ECDSA_WITH_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// ecdsa-with-SHA384 (RFC 5758 section 3.2).
const ECDSA_WITH_SHA384: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// id-Ed25519 (RFC 8410 section 3).
const PURE_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// sha256WithRSAEncryption (RFC 8017 appendix A.2.4).
const RSA_WITH_SHA256: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];
/// sha384WithRSAEncryption (RFC 8017 appendix A.2.4).
const RSA_WITH_SHA384: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c, 0x05, 0x00,
];
/// sha512WithRSAEncryption (RFC 8017 appendix A.2.4).
const RSA_WITH_SHA512: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d, 0x05, 0x00,
];

type Verification = &'static dyn VerificationAlgorithm;

/// A signature algorithm that is accepted with one kind of key.
struct Known {
    key: KeyAlgorithm,
    algorithm: &'static [u8],
    verification: Verification,
}

const fn known(key: KeyAlgorithm, algorithm: &'static [u8], verification: Verification) -> Known {
    Known {
        key,
        algorithm,
        verification,
    }
}

static KNOWN: [Known; 8] = [
    known(
        KeyAlgorithm::EcdsaP256,
        ECDSA_WITH_SHA256,
        &ECDSA_P256_SHA256_ASN1,
    ),
    known(
        KeyAlgorithm::EcdsaP256,
        ECDSA_WITH_SHA384,
        &ECDSA_P256_SHA384_ASN1,
    ),
    known(
        KeyAlgorithm::EcdsaP384,
        ECDSA_WITH_SHA256,
        &ECDSA_P384_SHA256_ASN1,
    ),
    known(
        KeyAlgorithm::EcdsaP384,
        ECDSA_WITH_SHA384,
        &ECDSA_P384_SHA384_ASN1,
    ),
    known(KeyAlgorithm::Ed25519, PURE_ED25519, &ED25519),
    known(
        KeyAlgorithm::Rsa,
        RSA_WITH_SHA256,
        &RSA_PKCS1_2048_8192_SHA256,
    ),
    known(
        KeyAlgorithm::Rsa,
        RSA_WITH_SHA384,
        &RSA_PKCS1_2048_8192_SHA384,
    ),
    known(
        KeyAlgorithm::Rsa,
        RSA_WITH_SHA512,
        &RSA_PKCS1_2048_8192_SHA512,
    ),
];

/// A signature that is not yet verified.
#[derive(Debug)]
pub(crate) struct Signature<'a> {
    verification: Verification,
    value: &'a [u8],
}

impl<'a> Signature<'a> {
    /// Reads a signature; its algorithm (an AlgorithmIdentifier without the enclosing SEQUENCE) must match this kind of
    /// key.
    pub(crate) fn read(
        key: KeyAlgorithm,
        algorithm: &[u8],
        value: &'a [u8],
    ) -> Result<Self, ParseError> {
        let fits = |known: &&Known| known.key == key && known.algorithm == algorithm;
        if let Some(Known { verification, .. }) = KNOWN.iter().find(fits) {
            return Ok(Self {
                verification: *verification,
                value,
            });
        }
        let mut reader = Reader::new(algorithm, "signature algorithm");
        let oid = dotted(reader.tagged(OBJECT_IDENTIFIER)?.contents);
        Err(ParseError::UnsupportedSignatureAlgorithm { oid })
    }

    /// A signature by the default algorithm of this kind of key, for evidence, which names no algorithm.
    pub(crate) fn of_key(key: KeyAlgorithm, value: &'a [u8]) -> Self {
        let verification: Verification = match key {
            KeyAlgorithm::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
            KeyAlgorithm::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
            KeyAlgorithm::Ed25519 => &ED25519,
            KeyAlgorithm::Rsa => &RSA_PKCS1_2048_8192_SHA256,
        };
        Self {
            verification,
            value,
        }
    }

    /// Verifies that `message` was signed by the holder of this key, given as the bytes of its BIT STRING.
    pub(crate) fn verify(&self, key: &[u8], message: &[u8]) -> Result<(), ParseError> {
        UnparsedPublicKey::new(self.verification, key)
            .verify(message, self.value)
            .map_err(|_| ParseError::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(algorithm: &[u8], key: KeyAlgorithm) -> Result<(), ParseError> {
        Signature::read(key, algorithm, &[]).map(|_| ())
    }

    #[test]
    fn an_algorithm_must_go_with_its_key() {
        assert_eq!(read(ECDSA_WITH_SHA256, KeyAlgorithm::EcdsaP256), Ok(()));
        assert_eq!(read(RSA_WITH_SHA512, KeyAlgorithm::Rsa), Ok(()));
        for (algorithm, key) in [
            (RSA_WITH_SHA256, KeyAlgorithm::EcdsaP256),
            (ECDSA_WITH_SHA256, KeyAlgorithm::Rsa),
            (PURE_ED25519, KeyAlgorithm::EcdsaP384),
        ] {
            assert_eq!(
                read(algorithm, key).unwrap_err().as_str(),
                "UnsupportedSignatureAlgorithm"
            );
        }
    }

    #[test]
    fn parameters_are_what_the_rfc_says() {
        let without_null = &RSA_WITH_SHA256[..11];
        let oid = "1.2.840.113549.1.1.11".to_owned();
        let error = ParseError::UnsupportedSignatureAlgorithm { oid };
        assert_eq!(read(without_null, KeyAlgorithm::Rsa), Err(error));
        assert!(
            read(
                &[ECDSA_WITH_SHA256, &[5, 0]].concat(),
                KeyAlgorithm::EcdsaP256
            )
            .is_err()
        );
        assert_eq!(
            read(&[5, 0], KeyAlgorithm::Rsa).unwrap_err().as_str(),
            "MalformedDer"
        );
    }
}
