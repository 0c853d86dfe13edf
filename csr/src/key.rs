//! The public key of a request, and its hash, which distinguishes requests of one machine.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ParseError;
use crate::der::{OBJECT_IDENTIFIER, Reader, SEQUENCE, dotted};
use crate::hash::{self, sha256};

/// Accepted sizes of RSA keys, in bits: from the minimum of NIST SP 800-57 part 1 (table 2) to the maximum that `ring`
/// verifies.
pub(crate) const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// Longest RSA exponent that Go accepts, in bytes (`crypto/rsa`: at most 2^31-1).
const RSA_EXPONENT_BYTES: usize = 4;

// AlgorithmIdentifiers of the supported keys, with their parameters, as DER without the enclosing SEQUENCE.
/// id-ecPublicKey with the curve secp256r1 (RFC 5480 section 2.1.1).
const ECDSA_P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07,
];
/// id-ecPublicKey with the curve secp384r1 (RFC 5480 section 2.1.1).
const ECDSA_P384: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
];
/// id-Ed25519, without parameters (RFC 8410 section 3).
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// rsaEncryption with NULL (RFC 3279 section 2.3.1).
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// SHA-256 over the DER of a SubjectPublicKeyInfo: identifies the key of a request, a certificate or a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Hashes the DER of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub fn of_spki(spki_der: &[u8]) -> Self {
        Self(sha256(spki_der))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `sha256:` and 64 hexadecimal digits.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hash::write(&self.0, f)
    }
}

/// The error for a text that is not a key hash as [`KeyHash`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not sha256: and 64 hexadecimal digits")]
pub struct NotAKeyHash;

impl FromStr for KeyHash {
    type Err = NotAKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").ok_or(NotAKeyHash)?.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut hash = [0; 32];
        // The number parser would accept a sign and upper case; the text of each hash must be unique.
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if pairs.len() != hash.len() || !rest.is_empty() || !digits.iter().all(is_digit) {
            return Err(NotAKeyHash);
        }
        for (byte, pair) in hash.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotAKeyHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAKeyHash)?;
        }
        Ok(Self(hash))
    }
}

/// The supported kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256, the kind that kubelet and node-agent create.
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 to 8192 bits.
    Rsa,
}

/// A public key that the signer accepts; its holder signed the request.
///
/// The encoding of each key is unique, so equal keys have equal hashes, here and in the issued certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki_der: Vec<u8>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo; also returns the bytes of its BIT STRING, for verifying signatures.
    pub(crate) fn read(spki_der: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut outer = Reader::new(spki_der, "public key");
        let mut spki = outer.inside(SEQUENCE, "public key")?;
        outer.end()?;
        let algorithm = spki.tagged(SEQUENCE)?.contents;
        let key = spki.whole_bytes()?;
        spki.end()?;

        let algorithm = match algorithm {
            algorithm if algorithm == ECDSA_P256 => {
                check_point(key, 32).map(|()| KeyAlgorithm::EcdsaP256)?
            }
            algorithm if algorithm == ECDSA_P384 => {
                check_point(key, 48).map(|()| KeyAlgorithm::EcdsaP384)?
            }
            algorithm if algorithm == ED25519 => {
                check_ed25519(key).map(|()| KeyAlgorithm::Ed25519)?
            }
            algorithm if algorithm == RSA => check_rsa(key).map(|()| KeyAlgorithm::Rsa)?,
            other => return Err(unsupported(other)),
        };
        Ok((
            Self {
                algorithm,
                spki_der: spki_der.to_vec(),
            },
            key,
        ))
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The hash of [`PublicKey::spki_der`].
    pub fn hash(&self) -> KeyHash {
        KeyHash::of_spki(&self.spki_der)
    }
}

/// Checks that a point is uncompressed (SEC 1 section 2.3.3), the only form that Go and `ring` accept. Verifying the
/// signature checks that it is on the curve.
fn check_point(point: &[u8], coordinate_bytes: usize) -> Result<(), ParseError> {
    match point.split_first() {
        Some((4, coordinates)) if coordinates.len() == coordinate_bytes.saturating_mul(2) => Ok(()),
        _ => Err(ParseError::MalformedKey {
            why: "the point is not an uncompressed one of its curve",
        }),
    }
}

fn check_ed25519(key: &[u8]) -> Result<(), ParseError> {
    if key.len() == 32 {
        Ok(())
    } else {
        Err(ParseError::MalformedKey {
            why: "an Ed25519 key has 32 bytes",
        })
    }
}

/// Checks an RSAPublicKey (RFC 8017 appendix A.1.1): a supported size, and numbers that Go accepts.
fn check_rsa(key: &[u8]) -> Result<(), ParseError> {
    let mut outer = Reader::new(key, "RSA public key");
    let mut numbers = outer.inside(SEQUENCE, "RSA public key")?;
    outer.end()?;
    let modulus = numbers.positive_integer()?;
    let exponent = numbers.positive_integer()?;
    numbers.end()?;

    let bits = bit_length(modulus);
    if !RSA_BITS.contains(&bits) {
        return Err(ParseError::RsaKeySize { bits });
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !is_odd(modulus) {
        return Err(ParseError::MalformedKey {
            why: "the RSA modulus is even",
        });
    }
    let fits = exponent.len() < RSA_EXPONENT_BYTES
        || exponent.len() == RSA_EXPONENT_BYTES
            && exponent.first().is_some_and(|first| first & 0x80 == 0);
    if !is_odd(exponent) || !fits || exponent == [1] {
        return Err(ParseError::MalformedKey {
            why: "the RSA exponent is not an odd number from 3 to 2^31-1",
        });
    }
    Ok(())
}

/// The length of a number in bits; its first byte must not be zero.
fn bit_length(magnitude: &[u8]) -> usize {
    let unused = magnitude.first().map_or(0, |first| first.leading_zeros());
    magnitude
        .len()
        .saturating_mul(8)
        .saturating_sub(usize::try_from(unused).unwrap_or(0))
}

/// Returns an error that names the key: the object identifier of its algorithm, and of its curve if the parameters are
/// one.
fn unsupported(algorithm: &[u8]) -> ParseError {
    let mut reader = Reader::new(algorithm, "public key");
    let mut kind = match reader.tagged(OBJECT_IDENTIFIER) {
        Ok(oid) => dotted(oid.contents),
        Err(error) => return error,
    };
    if let Ok(curve) = reader.tagged(OBJECT_IDENTIFIER) {
        kind.push_str(" with ");
        kind.push_str(&dotted(curve.contents));
    }
    ParseError::UnsupportedKey { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap();
        let header = match length {
            0..=0x7f => vec![tag, length.to_be_bytes()[1]],
            0x80..=0xff => vec![tag, 0x81, length.to_be_bytes()[1]],
            _ => [&[tag, 0x82][..], &length.to_be_bytes()].concat(),
        };
        [&header, contents].concat()
    }

    fn read(algorithm: &[u8], key: &[u8]) -> Result<KeyAlgorithm, ParseError> {
        let bits = tlv(3, &[&[0], key].concat());
        let spki = tlv(SEQUENCE, &[tlv(SEQUENCE, algorithm), bits].concat());
        PublicKey::read(&spki).map(|(key, _)| key.algorithm())
    }

    /// An RSA key of this many bits with this exponent; its modulus is not a product of primes, which parsers do not
    /// check.
    fn rsa(bits: usize, exponent: &[u8]) -> Result<KeyAlgorithm, ParseError> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= bits.next_multiple_of(8).abs_diff(bits);
        let sign = if modulus[0] & 0x80 == 0 {
            vec![]
        } else {
            vec![0]
        };
        let modulus = tlv(2, &[sign, modulus].concat());
        read(RSA, &tlv(SEQUENCE, &[modulus, tlv(2, exponent)].concat()))
    }

    #[test]
    fn takes_rsa_keys_of_2048_to_8192_bits() {
        for bits in [2048, 2049, 3072, 4096, 8191, 8192] {
            assert_eq!(rsa(bits, &[1, 0, 1]), Ok(KeyAlgorithm::Rsa), "{bits}");
        }
        for bits in [8, 1024, 2040, 2047, 8193, 16384] {
            assert_eq!(rsa(bits, &[1, 0, 1]), Err(ParseError::RsaKeySize { bits }));
        }
    }

    #[test]
    fn takes_rsa_exponents_that_go_takes() {
        for exponent in [&[3][..], &[1, 0, 1], &[0x7f, 0xff, 0xff, 0xff]] {
            assert_eq!(rsa(2048, exponent), Ok(KeyAlgorithm::Rsa), "{exponent:?}");
        }
        for exponent in [
            &[1][..],
            &[2],
            &[1, 0, 0],
            &[0, 0x80, 0, 0, 1],
            &[1, 0, 0, 0, 1],
        ] {
            assert_eq!(
                rsa(2048, exponent).unwrap_err().as_str(),
                "MalformedKey",
                "{exponent:?}"
            );
        }
        for exponent in [&[][..], &[0], &[0xff], &[0, 3]] {
            assert_eq!(
                rsa(2048, exponent).unwrap_err().as_str(),
                "MalformedDer",
                "{exponent:?}"
            );
        }
    }

    #[test]
    fn refuses_an_even_modulus() {
        let modulus = tlv(2, &[&[0x7f; 256][..], &[0xfe]].concat());
        let key = tlv(SEQUENCE, &[modulus, tlv(2, &[3])].concat());
        assert_eq!(read(RSA, &key).unwrap_err().as_str(), "MalformedKey");
    }

    #[test]
    fn points_are_uncompressed_and_of_their_curve() {
        let point = |first, length| [&[first][..], &vec![1; length]].concat();
        assert_eq!(read(ECDSA_P256, &point(4, 64)), Ok(KeyAlgorithm::EcdsaP256));
        assert_eq!(read(ECDSA_P384, &point(4, 96)), Ok(KeyAlgorithm::EcdsaP384));
        for (algorithm, key) in [
            (ECDSA_P256, point(2, 32)),
            (ECDSA_P256, point(6, 64)),
            (ECDSA_P256, point(4, 96)),
            (ECDSA_P384, point(4, 64)),
            (ECDSA_P256, vec![0]),
            (ECDSA_P256, vec![]),
        ] {
            assert_eq!(
                read(algorithm, &key).unwrap_err().as_str(),
                "MalformedKey",
                "{key:?}"
            );
        }
    }

    #[test]
    fn ed25519_keys_have_32_bytes() {
        assert_eq!(read(ED25519, &[9; 32]), Ok(KeyAlgorithm::Ed25519));
        assert_eq!(
            read(ED25519, &[9; 31]).unwrap_err().as_str(),
            "MalformedKey"
        );
    }

    #[test]
    fn says_which_key_it_does_not_take() {
        let p521 = [
            &ECDSA_P256[..9],
            &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        ]
        .concat();
        let kind = "1.2.840.10045.2.1 with 1.3.132.0.35".to_owned();
        assert_eq!(read(&p521, &[4]), Err(ParseError::UnsupportedKey { kind }));
        // RSA without the NULL that RFC 3279 requires, and Ed25519 with one: Go accepts neither.
        assert_eq!(
            read(&RSA[..11], &[]).unwrap_err().as_str(),
            "UnsupportedKey"
        );
        assert_eq!(
            read(&[ED25519, &[5, 0]].concat(), &[9; 32])
                .unwrap_err()
                .as_str(),
            "UnsupportedKey"
        );
        assert_eq!(read(&[5, 0], &[]).unwrap_err().as_str(), "MalformedDer");
    }

    #[test]
    fn hashes_are_written_as_hexadecimal() {
        // The SHA-256 of the empty input (FIPS 180-4 test vectors).
        let hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(KeyHash::of_spki(&[]).to_string(), hash);
    }

    #[test]
    fn hashes_are_read_back_from_their_one_text() {
        let hash = KeyHash::of_spki(b"key");
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        let digits = text.strip_prefix("sha256:").unwrap();
        for wrong in [
            digits.to_owned(),
            text.to_uppercase(),
            format!("sha256:{}", digits.to_uppercase()),
            format!("sha256:+{}", digits.split_at(1).1),
            format!("sha256:{}", digits.split_at(1).1),
            format!("{text}0"),
            format!("{text}00"),
            format!("{text}\n"),
            String::new(),
        ] {
            assert_eq!(wrong.parse::<KeyHash>(), Err(NotAKeyHash), "{wrong:?}");
        }
    }
}
