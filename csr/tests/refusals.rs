//! The table of refusals: every vector of `tests/cases/csr` is taken with the content, or refused with the word, that
//! `expected.json` beside it says. What Go sees in the same files is compared in the end-to-end crate.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the vectors are files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rollcall_csr::{CertificationRequest, ParseError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    file: String,
    about: String,
    refused: Option<String>,
    accepted: Option<Content>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Content {
    organization: String,
    common_name: String,
    dns: Vec<String>,
    emails: Vec<String>,
    ips: Vec<String>,
    uris: Vec<String>,
    key_hash: String,
}

impl From<CertificationRequest> for Content {
    fn from(request: CertificationRequest) -> Self {
        let names = request.names();
        Self {
            organization: request.subject().organization.clone(),
            common_name: request.subject().common_name.clone(),
            dns: names.dns.clone(),
            emails: names.emails.clone(),
            ips: names.ips.iter().map(ToString::to_string).collect(),
            uris: names.uris.clone(),
            key_hash: request.public_key().hash().to_string(),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/csr")
}

fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&std::fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn read(file: &str) -> Result<CertificationRequest, ParseError> {
    let data = std::fs::read(folder().join(file)).unwrap();
    match Path::new(file)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("pem") => CertificationRequest::from_pem(&data),
        _ => CertificationRequest::from_der(&data),
    }
}

#[test]
fn every_vector_is_taken_or_refused_as_expected() {
    for Vector {
        file,
        about,
        refused,
        accepted,
    } in vectors()
    {
        let seen = read(&file)
            .map(Content::from)
            .map_err(|error| error.as_str().to_owned());
        let expected = accepted.map_or_else(|| Err(refused.clone().unwrap()), Ok);
        assert_eq!(seen, expected, "{file}: {about}");
    }
}

#[test]
fn every_word_has_a_vector_and_every_vector_a_known_word() {
    let used: BTreeSet<String> = vectors()
        .into_iter()
        .filter_map(|vector| vector.refused)
        .collect();
    let known: BTreeSet<String> = ParseError::ALL_WORDS
        .iter()
        .map(|&word| word.to_owned())
        .collect();
    assert_eq!(used, known);
}

#[test]
fn every_file_has_an_expectation() {
    let listed: BTreeSet<String> = vectors().into_iter().map(|vector| vector.file).collect();
    let found: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "expected.json")
        .collect();
    assert_eq!(listed, found);
}

/// Messages go into conditions and terminals: one line each, without a full stop, and nothing that an attacker put
/// into the request can break out of it.
#[test]
fn every_message_is_one_plain_line() {
    for vector in vectors()
        .into_iter()
        .filter(|vector| vector.refused.is_some())
    {
        let message = read(&vector.file).unwrap_err().to_string();
        assert!(message.len() < 200, "{}: {message}", vector.file);
        assert!(
            message.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{}: {message:?}",
            vector.file
        );
        assert!(!message.ends_with('.'), "{}: {message}", vector.file);
    }
}
