//! The Go program of `tests/differential`: asks it what Go sees in requests.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_csr::{CertificationRequest, KeyAlgorithm};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// The folder of the Go module.
pub(crate) fn module() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differential")
}

/// A request to look at.
pub(crate) struct Input {
    pub(crate) data: Vec<u8>,
    pub(crate) pem: bool,
}

/// What Go makes of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) error: Option<String>,
    pub(crate) seen: Option<Content>,
    pub(crate) issued: Option<Content>,
    pub(crate) request_name: Option<String>,
}

/// What is in a request or a certificate, as Go writes it and as Rust read it.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    organization: String,
    common_name: String,
    #[serde(rename = "otherRDNs")]
    other_rdns: Vec<String>,
    dns: Vec<String>,
    emails: Vec<String>,
    ips: Vec<String>,
    uris: Vec<String>,
    key_algorithm: String,
    key_hash: String,
}

impl From<&CertificationRequest> for Content {
    fn from(request: &CertificationRequest) -> Self {
        let names = request.names();
        let key_algorithm = match request.public_key().algorithm() {
            KeyAlgorithm::EcdsaP256 => "ECDSA P-256",
            KeyAlgorithm::EcdsaP384 => "ECDSA P-384",
            KeyAlgorithm::Ed25519 => "Ed25519",
            KeyAlgorithm::Rsa => "RSA",
        };
        Self {
            organization: request.subject().organization.clone(),
            common_name: request.subject().common_name.clone(),
            other_rdns: vec![],
            dns: names.dns.clone(),
            emails: names.emails.clone(),
            ips: names.ips.iter().map(ToString::to_string).collect(),
            uris: names.uris.clone(),
            key_algorithm: key_algorithm.to_owned(),
            key_hash: request.public_key().hash().to_string(),
        }
    }
}

/// The program, built in a folder of its own.
pub(crate) struct Go {
    folder: TempDir,
}

impl Go {
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut build = Command::new("go");
        build
            .arg("build")
            .arg("-o")
            .arg(folder.path().join("look"))
            .arg(".")
            .current_dir(module());
        let output = build.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { folder }
    }

    /// What Go makes of each of these requests.
    pub(crate) fn look<'a>(&self, inputs: impl IntoIterator<Item = &'a Input>) -> Vec<View> {
        // Through a file, so that neither side waits for the other to read.
        let path = self.folder.path().join("requests");
        let mut file = File::create(&path).unwrap();
        for Input { data, pem } in inputs {
            let line = serde_json::json!({"data": STANDARD.encode(data), "pem": pem});
            writeln!(file, "{line}").unwrap();
        }
        let mut look = Command::new(self.folder.path().join("look"));
        let output = look.stdin(File::open(&path).unwrap()).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        lines.map(Result::unwrap).collect()
    }
}
