//! The parser against Go: whatever Rust accepts, Go accepts and the signer issues as it was read. What only Rust
//! refuses is fine. And the decision against the signer: whatever is approved, is signed. Needs the Go toolchain, no
//! control plane.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

mod go;
mod mutants;
mod signer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use go::{Content, Go, Input};
use rollcall_csr::{CertificationRequest, NODES_GROUP, NodeName, ParseError, request_name};
use serde::Deserialize;

/// An entry of `expected.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    file: String,
    refused: Option<String>,
    /// What Go takes out of a request that Rust refuses; only what is listed counts.
    go_sees: Option<BTreeMap<String, serde_json::Value>>,
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/csr")
}

fn vectors() -> Vec<(Vector, Input)> {
    let expected = std::fs::read(cases().join("expected.json")).unwrap();
    let vectors: Vec<Vector> = serde_json::from_slice(&expected).unwrap();
    let read = |vector: Vector| {
        let data = std::fs::read(cases().join(&vector.file)).unwrap();
        let pem = vector.file.ends_with(".pem");
        (vector, Input { data, pem })
    };
    vectors.into_iter().map(read).collect()
}

fn parse(input: &Input) -> Result<CertificationRequest, ParseError> {
    if input.pem {
        CertificationRequest::from_pem(&input.data)
    } else {
        CertificationRequest::from_der(&input.data)
    }
}

/// Asks Go about the inputs that Rust accepts, compares, and tells how many there were.
#[track_caller]
fn assert_go_agrees(go: &Go, inputs: impl IntoIterator<Item = Input>) -> usize {
    let accepted: Vec<(Input, Content)> = inputs
        .into_iter()
        .filter_map(|input| parse(&input).ok().map(|read| (input, Content::from(&read))))
        .collect();
    let views = go.look(accepted.iter().map(|(input, _)| input));
    assert_eq!(views.len(), accepted.len());
    for ((input, read), view) in accepted.iter().zip(&views) {
        let input = input.data.escape_ascii();
        assert_eq!(view.error, None, "{input}");
        assert_eq!(view.seen.as_ref(), Some(read), "{input}");
        assert_eq!(view.issued.as_ref(), Some(read), "{input}");
    }
    accepted.len()
}

#[test]
fn go_sees_and_issues_what_rust_accepts() {
    let go = Go::build();
    let (accepted, refused): (Vec<_>, Vec<_>) = vectors()
        .into_iter()
        .partition(|(vector, _)| vector.refused.is_none());
    assert!(
        accepted.len() >= 20 && refused.len() >= 100,
        "{} and {}",
        accepted.len(),
        refused.len()
    );
    let count = accepted.len();
    assert_eq!(
        assert_go_agrees(&go, accepted.into_iter().map(|(_, input)| input)),
        count
    );
    assert_eq!(
        assert_go_agrees(&go, refused.into_iter().map(|(_, input)| input)),
        0
    );
}

/// A trap is one only while Go falls for it: it must still issue what Rust refuses.
#[test]
fn go_still_issues_what_the_traps_hide() {
    let traps: Vec<_> = vectors()
        .into_iter()
        .filter(|(vector, _)| vector.go_sees.is_some())
        .collect();
    let views = Go::build().look(traps.iter().map(|(_, input)| input));
    let mut names = BTreeSet::new();
    for ((vector, _), view) in traps.iter().zip(&views) {
        assert_eq!(view.error, None, "{}", vector.file);
        let issued = serde_json::to_value(view.issued.as_ref().unwrap()).unwrap();
        for (field, value) in vector.go_sees.iter().flatten() {
            assert_eq!(issued.get(field), Some(value), "{}: {field}", vector.file);
        }
        names.insert(vector.file.as_str());
    }
    for named in [
        "two-extension-requests.der",
        "subject-two-common-names.pem",
        "subject-unit.pem",
    ] {
        assert!(names.contains(named), "{named} is no trap any more");
    }
}

#[test]
fn request_names_are_those_of_kubelet() {
    let requests: Vec<(Input, NodeName, CertificationRequest)> = vectors()
        .into_iter()
        .filter_map(|(_, input)| {
            let request = parse(&input).ok()?;
            let node = NodeName::from_username(&request.subject().common_name).ok()?;
            (request.subject().organization == NODES_GROUP).then_some((input, node, request))
        })
        .collect();
    let views = Go::build().look(requests.iter().map(|(input, _, _)| input));
    let names: BTreeSet<&str> = views
        .iter()
        .filter_map(|view| view.request_name.as_deref())
        .collect();
    assert!(names.len() >= 5, "{names:?}");
    for ((_, node, request), view) in requests.iter().zip(&views) {
        let name = request_name(request.public_key().spki_der(), node);
        assert_eq!(view.request_name.as_ref(), Some(&name));
    }
}

/// Requests with one thing changed, signed anew so that only the parser stands between them and a certificate.
#[test]
fn go_agrees_about_every_mutant_that_rust_accepts() {
    let seeds = mutants::seeds();
    let go = Go::build();
    for seed in &seeds {
        assert_eq!(assert_go_agrees(&go, [seed.request(seed.info())]), 1);
    }
    let bytes = assert_go_agrees(
        &go,
        seeds.iter().flat_map(mutants::Seed::with_one_byte_changed),
    );
    let structure = assert_go_agrees(
        &go,
        seeds.iter().flat_map(mutants::Seed::with_one_value_changed),
    );
    let armour = assert_go_agrees(
        &go,
        seeds.iter().flat_map(mutants::Seed::with_armour_changed),
    );
    // Letters of names can change, and names can go, double and change places; much less would mean that the
    // mutants do not get past the frame.
    println!(
        "accepted: {bytes} with another byte, {structure} with another value, {armour} in other armour"
    );
    assert!(
        bytes > 1000 && structure > 20 && armour > 5,
        "{bytes}, {structure}, {armour}"
    );
}

/// Runs the generator of vectors and cases.
fn generate(arguments: &[&str], folder: &Path) {
    let mut generate = Command::new("go");
    generate
        .args(["run", "./generate"])
        .args(arguments)
        .arg(folder)
        .current_dir(go::module());
    let output = generate.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[track_caller]
fn assert_same_files(checked_in: &Path, generated: &Path) {
    let (checked_in, generated) = (files(checked_in), files(generated));
    assert!(
        checked_in.keys().eq(generated.keys()),
        "run the generator (tests/differential) and check in its output"
    );
    for (name, data) in &checked_in {
        assert_eq!(
            generated.get(name),
            Some(data),
            "{} differs; run the generator",
            name.display()
        );
    }
}

#[test]
fn the_vectors_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let kept = "two-extension-requests.der";
    std::fs::copy(cases().join(kept), folder.path().join(kept)).unwrap();
    generate(&[], folder.path());
    assert_same_files(&cases(), folder.path());
}

#[test]
fn the_cases_that_nobody_wrote_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    generate(&["-cases"], folder.path());
    let mut generated = BTreeSet::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let checked_in = rollcall_e2e::cases::folder().join(entry.file_name());
        assert_same_files(&checked_in, &entry.path());
        generated.insert(entry.file_name());
    }
    for entry in std::fs::read_dir(rollcall_e2e::cases::folder()).unwrap() {
        let entry = entry.unwrap();
        let case = std::fs::read(entry.path().join("case.json")).unwrap();
        let case: serde_json::Value = serde_json::from_slice(&case).unwrap();
        let by = case.get("by").is_some();
        let name = entry.file_name();
        assert_eq!(by, generated.contains(&name), "{}", name.display());
    }
}
