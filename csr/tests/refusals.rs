//! The table of refusals: every vector of `tests/cases/csr` is accepted with the content, or refused with the word, in
//! `expected.json`. The end-to-end crate compares what Go sees in the same files.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "the vectors are files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rollcall_csr::{
    Binding, CertificationRequest, ClusterId, EvidenceError, NodeName, ParseError, Statement,
};
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
    evidence: Vec<Proof>,
    evidence_error: String,
}

/// A statement, and the result of its verification for a node worker-0 in the cluster of the vectors.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Proof {
    kind: String,
    cluster: String,
    key: String,
    worthless: String,
}

impl Proof {
    fn of(statement: &Statement, request: &CertificationRequest) -> Self {
        let binding = Binding {
            request_key: request.public_key().hash(),
            node: "worker-0".parse().unwrap(),
            cluster: ClusterId::of_ca(b"a CA certificate"),
        };
        let (key, verified) = match statement {
            Statement::PreviousCertificate(previous) => {
                (Some(previous.key()), previous.verify(&binding))
            }
            Statement::JoinKey(join_key) => (Some(join_key.key()), join_key.verify(&binding)),
            Statement::Other(_) => (None, Ok(())),
        };
        let word = verified.err().map(|error| error.as_str());
        Self {
            kind: statement.kind().to_owned(),
            cluster: statement.cluster().to_string(),
            key: key.map(|key| key.hash().to_string()).unwrap_or_default(),
            worthless: word.unwrap_or_default().to_owned(),
        }
    }
}

impl From<CertificationRequest> for Content {
    fn from(request: CertificationRequest) -> Self {
        let names = request.names();
        let evidence = request.evidence();
        let error = evidence.err().map(EvidenceError::as_str);
        let proof = |statement| Proof::of(statement, &request);
        Self {
            organization: request.subject().organization.clone(),
            common_name: request.subject().common_name.clone(),
            dns: names.dns.clone(),
            emails: names.emails.clone(),
            ips: names.ips.iter().map(ToString::to_string).collect(),
            uris: names.uris.clone(),
            key_hash: request.public_key().hash().to_string(),
            evidence: evidence.unwrap_or_default().iter().map(proof).collect(),
            evidence_error: error.unwrap_or_default().to_owned(),
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

/// The results of a request for its own statements equal those of each statement, verified for the request's node.
#[test]
fn a_request_verifies_its_statements_for_itself() {
    let mut verified = 0;
    for vector in vectors() {
        let Ok(request) = read(&vector.file) else {
            continue;
        };
        let statements = request.evidence().unwrap_or_default();
        assert_eq!(request.proofs().len(), statements.len(), "{}", vector.file);
        for (statement, proof) in statements.iter().zip(request.proofs()) {
            let Ok(node) = NodeName::from_username(&request.subject().common_name) else {
                assert!(matches!(proof, Some(Err(_))), "{}", vector.file);
                continue;
            };
            let binding = Binding {
                request_key: request.public_key().hash(),
                node,
                cluster: statement.cluster(),
            };
            let expected = match statement {
                Statement::PreviousCertificate(previous) => Some(previous.verify(&binding)),
                Statement::JoinKey(join_key) => Some(join_key.verify(&binding)),
                Statement::Other(_) => None,
            };
            assert_eq!(*proof, expected, "{}", vector.file);
            verified += usize::from(matches!(proof, Some(Ok(()))));
        }
        assert_eq!(request.clone(), read(&vector.file).unwrap());
    }
    assert!(verified > 0);
}

#[test]
fn every_word_of_evidence_has_a_vector_and_every_vector_a_known_word() {
    let contents = vectors().into_iter().filter_map(|vector| vector.accepted);
    let mut used: BTreeSet<String> = contents
        .flat_map(|content| {
            let worthless = content.evidence.into_iter().map(|proof| proof.worthless);
            worthless.chain([content.evidence_error])
        })
        .filter(|word| !word.is_empty())
        .collect();
    // A request with too much evidence is refused as a whole; only its builder gets this word.
    used.insert("TooLarge".to_owned());
    let known: BTreeSet<String> = EvidenceError::ALL_WORDS
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

/// Messages go into conditions and terminals: each is one line without a full stop, and no input of an attacker can
/// break out of it.
#[test]
fn every_message_is_one_plain_line() {
    for vector in vectors() {
        let message = match read(&vector.file) {
            Err(error) => error.to_string(),
            Ok(request) => match request.evidence() {
                Err(error) => error.to_string(),
                Ok(_) => continue,
            },
        };
        assert!(message.len() < 200, "{}: {message}", vector.file);
        assert!(
            message.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{}: {message:?}",
            vector.file
        );
        assert!(!message.ends_with('.'), "{}: {message}", vector.file);
    }
}
