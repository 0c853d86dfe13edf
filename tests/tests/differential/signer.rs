//! The program of `tests/control-plane/signer`: what Kubernetes' own signer makes of the cases that Rollcall approves.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_csr::CertificationRequest;
use rollcall_e2e::cases::{self, text};
use serde::Deserialize;
use serde_json::Value;

use crate::go::Content;

/// What the signer makes of a request.
#[derive(Debug, Deserialize)]
struct View {
    error: Option<String>,
    issued: Option<Content>,
}

/// Builds the program and asks it about the specs of requests.
fn ask(specs: &[Value]) -> Vec<View> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane");
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("signer");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg("./signer")
        .current_dir(module);
    let output = build.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // Through a file, so that neither side waits for the other to read.
    let path = folder.path().join("requests");
    let mut file = File::create(&path).unwrap();
    for spec in specs {
        writeln!(file, "{spec}").unwrap();
    }
    let mut program = Command::new(program);
    let output = program.stdin(File::open(&path).unwrap()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    lines.map(Result::unwrap).collect()
}

/// Name and spec of every request of the cases that comes to this verdict for any of these reasons, or any at all.
fn requests(verdict: &str, reasons: &[&str]) -> Vec<(String, Value)> {
    let mut requests = Vec::new();
    for case in cases::load().unwrap() {
        for answer in &case.answers {
            let wanted = reasons.is_empty() || reasons.contains(&answer.reason.as_str());
            if answer.verdict != verdict || !wanted {
                continue;
            }
            let object = case.request(answer).unwrap();
            // Requests of v1beta1 may name no signer, and the one of today takes none without.
            if cases::spec(object, "signerName").is_null() {
                continue;
            }
            let spec = ["request", "signerName", "usages"]
                .map(|field| (field.to_owned(), cases::spec(object, field)));
            let name = format!("{}/{}", case.name, answer.csr);
            requests.push((name, Value::Object(spec.into_iter().collect())));
        }
    }
    requests
}

fn specs(requests: &[(String, Value)]) -> Vec<Value> {
    requests.iter().map(|(_, spec)| spec.clone()).collect()
}

#[test]
fn the_signer_signs_what_rollcall_approves_as_rollcall_read_it() {
    let approved = requests("approve", &[]);
    assert!(approved.len() >= 80, "{} requests", approved.len());
    let views = ask(&specs(&approved));
    assert_eq!(views.len(), approved.len());
    for ((name, spec), view) in approved.iter().zip(&views) {
        assert_eq!(view.error, None, "{name}");
        let pem = STANDARD.decode(text(spec, "/request")).unwrap();
        let read = CertificationRequest::from_pem(&pem).unwrap();
        assert_eq!(view.issued.as_ref(), Some(&Content::from(&read)), "{name}");
    }
}

/// What is denied for its profile by rules that the signer has too, the signer does not sign: nobody loses a certificate.
#[test]
fn the_signer_refuses_what_is_denied_by_its_own_rules() {
    let rules = ["NamesMissing", "NamesNotAllowed", "OrganizationNotNodes"];
    let denied = requests("deny", &rules);
    assert!(denied.len() >= 8, "{} requests", denied.len());
    for ((name, _), view) in denied.iter().zip(ask(&specs(&denied))) {
        assert!(view.error.is_some(), "{name}: {view:?}");
        assert!(view.issued.is_none(), "{name}");
    }
}
