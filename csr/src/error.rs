//! The errors of parsing a request: one variant and one stable word per cause.

use std::net::IpAddr;

use crate::MAX_REQUEST_SIZE;

/// The reason why a request is unreadable, or asks for more than a kubelet may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// An IP address with a length other than 4 or 16 bytes.
    #[error("a requested IP address has {length} bytes; 4 or 16 are an address")]
    BadIpAddress {
        /// Length in bytes.
        length: usize,
    },
    /// The signature does not verify with the public key in the request.
    #[error("the signature of the request does not belong to its content and its public key")]
    BadSignature,
    /// An empty organization or common name.
    #[error("the {attribute} of the subject is empty")]
    EmptySubjectAttribute {
        /// `organization` or `common name`.
        attribute: &'static str,
    },
    /// A subjectAltName extension without a name (forbidden by RFC 5280 section 4.2.1.6).
    #[error("the subjectAltName extension names nothing")]
    EmptySubjectAltName,
    /// A NUL, a control character, or anything else outside printable ASCII.
    #[error(
        "the {attribute} holds a character that is not printable ASCII, or not one of its string type"
    )]
    ForbiddenCharacter {
        /// `organization`, `common name`, or the kind of requested name.
        attribute: &'static str,
    },
    /// An attribute of the request other than an extension request, for example a challenge password.
    #[error("the request holds the attribute {oid}; only an extension request is taken")]
    ForeignAttribute {
        /// Object identifier, dotted.
        oid: String,
    },
    /// A requested extension other than subjectAltName, for example basicConstraints.
    #[error("the request asks for the extension {oid}; only subjectAltName is taken")]
    ForeignExtension {
        /// Object identifier, dotted.
        oid: String,
    },
    /// A subject attribute other than organization and common name, for example OU.
    #[error(
        "the subject holds the attribute {oid}; only organization (O) and common name (CN) are taken"
    )]
    ForeignSubjectAttribute {
        /// Object identifier, dotted.
        oid: String,
    },
    /// Data before the first PEM block, or before its BEGIN on the same line.
    #[error("something other than white space stands before the first PEM block; remove it")]
    LeadingData,
    /// The bytes are not in DER, the one encoding that the signer and this parser are sure to read alike.
    #[error("the {what} is not what it must be, in strict DER")]
    MalformedDer {
        /// The part of the request.
        what: &'static str,
    },
    /// A public key with bytes that do not fit its algorithm.
    #[error("the public key does not fit its algorithm: {why}")]
    MalformedKey {
        /// The mismatch.
        why: &'static str,
    },
    /// The PEM block is not in the form of RFC 7468 section 3.
    #[error("the PEM block cannot be read: {why}")]
    MalformedPem {
        /// The violation.
        why: &'static str,
    },
    /// An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`): the signer would issue it as the IPv4 address.
    #[error(
        "the requested address {address} is an IPv4 address written as IPv6; ask for the IPv4 address itself"
    )]
    MappedIpAddress {
        /// The address as written in the request.
        address: IpAddr,
    },
    /// The subject has no common name.
    #[error("the subject has no common name (CN)")]
    MissingCommonName,
    /// The subject has no organization.
    #[error("the subject has no organization (O)")]
    MissingOrganization,
    /// More than one attribute in one relative distinguished name, as in `CN=a+O=b`.
    #[error("the subject joins several attributes in one relative distinguished name")]
    MultiValuedRdn,
    /// The text has no PEM block.
    #[error("it holds no PEM block; a block CERTIFICATE REQUEST is expected")]
    NotPem,
    /// The PEM block has headers (RFC 1421), which requests do not need.
    #[error("the PEM block carries headers; only base64 is taken between its BEGIN and END")]
    PemHeaders,
    /// An RSA public key that is too small or too large.
    #[error("the RSA key has {bits} bits; {} to {} are taken", crate::key::RSA_BITS.start(), crate::key::RSA_BITS.end())]
    RsaKeySize {
        /// Size of the modulus in bits.
        bits: usize,
    },
    /// An attribute with no value or more than one; the signer would read the first only.
    #[error("the extension request attribute does not hold exactly one value")]
    SeveralAttributeValues,
    /// More than one common name; the signer would use the last.
    #[error("the subject has more than one common name (CN)")]
    SeveralCommonNames,
    /// More than one extension request attribute; the signer would merge them.
    #[error("the request holds more than one extension request attribute")]
    SeveralExtensionRequests,
    /// More than one organization, and so more than one group.
    #[error("the subject has more than one organization (O)")]
    SeveralOrganizations,
    /// More than one subjectAltName extension.
    #[error("the request asks for more than one subjectAltName extension")]
    SeveralSubjectAltNames,
    /// Larger than [`MAX_REQUEST_SIZE`].
    #[error("the request has {size} bytes; {MAX_REQUEST_SIZE} are taken")]
    TooLarge {
        /// Size in bytes.
        size: usize,
    },
    /// Data other than evidence after the PEM block.
    #[error(
        "something other than ROLLCALL EVIDENCE blocks stands after the first PEM block; remove it"
    )]
    TrailingData,
    /// Bytes after the last expected value.
    #[error("the {what} goes on after its end")]
    TrailingDer {
        /// The part of the request.
        what: &'static str,
    },
    /// A form of name that the signer silently drops: otherName, directoryName, registeredID and the like.
    #[error(
        "the request asks for a name of the form {form}, which the signer would drop without a word"
    )]
    UnsupportedGeneralName {
        /// The form, as RFC 5280 section 4.2.1.6 calls it.
        form: &'static str,
    },
    /// A public key of an unsupported kind.
    #[error(
        "the public key is of the kind {kind}; ECDSA P-256 and P-384, RSA and Ed25519 are taken"
    )]
    UnsupportedKey {
        /// Object identifier of the algorithm, dotted, and of the curve if there is one.
        kind: String,
    },
    /// A signature algorithm that is too weak, unsupported, or does not match the key.
    #[error(
        "the signature algorithm {oid} is not taken with this key; use SHA-256, SHA-384 or SHA-512, or Ed25519"
    )]
    UnsupportedSignatureAlgorithm {
        /// Object identifier, dotted.
        oid: String,
    },
    /// A subject attribute of a string type that parsers read differently (T61String, BMPString and the like).
    #[error(
        "the {attribute} of the subject is neither a UTF8String nor a PrintableString (ASN.1 tag {tag:#04x})"
    )]
    UnsupportedStringType {
        /// `organization` or `common name`.
        attribute: &'static str,
        /// The tag byte.
        tag: u8,
    },
    /// A URI that is not plainly `scheme://host/path`, the only form that all parsers read alike.
    #[error("a requested URI is not of the plain form scheme://host/path")]
    UnsupportedUri,
    /// A version other than 0, the only one (RFC 2986 section 4.1).
    #[error("the request is not of PKCS#10 version 0")]
    UnsupportedVersion,
    /// The first PEM block has another label.
    #[error("the first PEM block is \"{label}\"; CERTIFICATE REQUEST is expected")]
    WrongPemLabel {
        /// The label, with anything unprintable escaped.
        label: String,
    },
}

impl ParseError {
    /// Every word that [`ParseError::as_str`] can return, in alphabetical order.
    pub const ALL_WORDS: &[&str] = &[
        "BadIpAddress",
        "BadSignature",
        "EmptySubjectAltName",
        "EmptySubjectAttribute",
        "ForbiddenCharacter",
        "ForeignAttribute",
        "ForeignExtension",
        "ForeignSubjectAttribute",
        "LeadingData",
        "MalformedDer",
        "MalformedKey",
        "MalformedPem",
        "MappedIpAddress",
        "MissingCommonName",
        "MissingOrganization",
        "MultiValuedRdn",
        "NotPem",
        "PemHeaders",
        "RsaKeySize",
        "SeveralAttributeValues",
        "SeveralCommonNames",
        "SeveralExtensionRequests",
        "SeveralOrganizations",
        "SeveralSubjectAltNames",
        "TooLarge",
        "TrailingData",
        "TrailingDer",
        "UnsupportedGeneralName",
        "UnsupportedKey",
        "UnsupportedSignatureAlgorithm",
        "UnsupportedStringType",
        "UnsupportedUri",
        "UnsupportedVersion",
        "WrongPemLabel",
    ];

    /// The stable word for the cause, as used in conditions, Events, metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BadIpAddress { .. } => "BadIpAddress",
            Self::BadSignature => "BadSignature",
            Self::EmptySubjectAltName => "EmptySubjectAltName",
            Self::EmptySubjectAttribute { .. } => "EmptySubjectAttribute",
            Self::ForbiddenCharacter { .. } => "ForbiddenCharacter",
            Self::ForeignAttribute { .. } => "ForeignAttribute",
            Self::ForeignExtension { .. } => "ForeignExtension",
            Self::ForeignSubjectAttribute { .. } => "ForeignSubjectAttribute",
            Self::LeadingData => "LeadingData",
            Self::MalformedDer { .. } => "MalformedDer",
            Self::MalformedKey { .. } => "MalformedKey",
            Self::MalformedPem { .. } => "MalformedPem",
            Self::MappedIpAddress { .. } => "MappedIpAddress",
            Self::MissingCommonName => "MissingCommonName",
            Self::MissingOrganization => "MissingOrganization",
            Self::MultiValuedRdn => "MultiValuedRdn",
            Self::NotPem => "NotPem",
            Self::PemHeaders => "PemHeaders",
            Self::RsaKeySize { .. } => "RsaKeySize",
            Self::SeveralAttributeValues => "SeveralAttributeValues",
            Self::SeveralCommonNames => "SeveralCommonNames",
            Self::SeveralExtensionRequests => "SeveralExtensionRequests",
            Self::SeveralOrganizations => "SeveralOrganizations",
            Self::SeveralSubjectAltNames => "SeveralSubjectAltNames",
            Self::TooLarge { .. } => "TooLarge",
            Self::TrailingData => "TrailingData",
            Self::TrailingDer { .. } => "TrailingDer",
            Self::UnsupportedGeneralName { .. } => "UnsupportedGeneralName",
            Self::UnsupportedKey { .. } => "UnsupportedKey",
            Self::UnsupportedSignatureAlgorithm { .. } => "UnsupportedSignatureAlgorithm",
            Self::UnsupportedStringType { .. } => "UnsupportedStringType",
            Self::UnsupportedUri => "UnsupportedUri",
            Self::UnsupportedVersion => "UnsupportedVersion",
            Self::WrongPemLabel { .. } => "WrongPemLabel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_unique_and_pascal_case() {
        assert!(
            ParseError::ALL_WORDS.is_sorted_by(|one, next| one < next),
            "{:?}",
            ParseError::ALL_WORDS
        );
        for word in ParseError::ALL_WORDS {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        }
    }
}
