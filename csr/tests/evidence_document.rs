//! The example in `docs/evidence.md` is what this crate writes and verifies.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::cell::RefCell;

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rollcall_csr::{Binding, CertificationRequest, ClusterId, Evidence, EvidenceError, Statement};

const DOCUMENT: &str = include_str!("../../docs/evidence.md");

/// The fenced blocks of this kind in the document.
fn blocks(kind: &str) -> Vec<&'static str> {
    let begin = format!("```{kind}\n");
    let after = DOCUMENT.split(&begin).skip(1);
    after
        .map(|text| text.split("```").next().unwrap())
        .collect()
}

/// The bytes of an annotated dump; what follows `--` on a line is the annotation.
fn bytes(dump: &str) -> Vec<u8> {
    let hex = dump.lines().map(|line| line.split("--").next().unwrap());
    hex.flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The DER of a SubjectPublicKeyInfo with this Ed25519 key (RFC 8410 section 10.1).
fn spki(key: &Ed25519KeyPair) -> Vec<u8> {
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    [&head, key.public_key().as_ref()].concat()
}

#[test]
fn the_example_is_what_is_written() {
    let request = include_bytes!("../../tests/cases/csr/client.der");
    let request = CertificationRequest::from_der(request).unwrap();
    let binding = Binding {
        request_key: request.public_key().hash(),
        node: "worker-0".parse().unwrap(),
        cluster: ClusterId::of_ca(b"a CA certificate"),
    };
    let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let signed = RefCell::new(Vec::new());
    let sign = |message: &[u8]| -> Result<Vec<u8>, EvidenceError> {
        signed.replace(message.to_vec());
        Ok(key.sign(message).as_ref().to_vec())
    };
    let statement = Statement::join_key(&spki(&key), &binding, sign).unwrap();
    let evidence = Evidence::new(vec![statement]).unwrap();

    let dumps: Vec<Vec<u8>> = blocks("hex").into_iter().map(bytes).collect();
    assert_eq!(dumps, [signed.take(), evidence.to_der()]);
    assert_eq!(blocks("pem"), [evidence.to_pem()]);
}

/// Every word that an implementer can encounter is documented.
#[test]
fn every_word_is_explained() {
    for word in EvidenceError::ALL_WORDS {
        assert!(DOCUMENT.contains(&format!("| `{word}` |")), "{word}");
    }
}
