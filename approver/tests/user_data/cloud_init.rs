//! What cloud-init itself makes of the outputs: its schema, and its own way of taking MIME messages and gzip apart.
//!
//! `cargo xtask test` installs cloud-init, and then says with a variable that it has to be there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::golden::OUTPUTS;
use super::{answer, golden, inputs, text};

/// Set where a test must not go without what it needs.
const COMPLETE: &str = "ROLLCALL_TEST_COMPLETE";

/// Whether cloud-init is here. Where tests are to be complete, it has to be.
fn is_installed() -> bool {
    let found = Command::new("cloud-init")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let complete = std::env::var_os(COMPLETE).is_some();
    assert!(
        found || !complete,
        "cloud-init is missing (package cloud-init)"
    );
    found
}

/// Lets `cloud-init schema` judge one document.
#[track_caller]
fn assert_valid(path: &Path) {
    let done = Command::new("cloud-init")
        .args(["schema", "--config-file"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("Valid cloud-config"),
        "{}: {said}{}",
        path.display(),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Takes user-data apart and merges it as cloud-init does at boot; the answer holds the cloud-config that comes out, and
/// the content types of all parts.
const PROCESS: &str = r#"
import json, sys, tempfile
from cloudinit import handlers, helpers, safeyaml
from cloudinit.handlers.cloud_config import CloudConfigPartHandler
from cloudinit.user_data import UserDataProcessor

with tempfile.TemporaryDirectory() as folder:
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    message = UserDataProcessor(paths).process(sys.stdin.buffer.read())
    handler = CloudConfigPartHandler(paths)
    handler.handle_part(None, handlers.CONTENT_START, None, None, None, None)
    types = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        body = part.get_payload(decode=True).decode()
        types.append([kind, body])
        if kind == "text/cloud-config":
            handler.handle_part(None, kind, part.get_filename(), body, None, dict(part))
    print(json.dumps({"config": handler.cloud_buf, "parts": types}))
"#;

fn process(user_data: &[u8]) -> Value {
    // Debian's cloud-init is a module of the distribution's Python, whatever else is on the PATH.
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PROCESS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(user_data).unwrap();
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    serde_json::from_slice(&done.stdout).unwrap()
}

fn paths(config: &Value) -> Vec<&str> {
    let files = config["write_files"].as_array().unwrap();
    files
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect()
}

#[test]
fn every_output_passes_cloud_inits_schema() {
    if !is_installed() {
        println!("skipped: cloud-init is missing (package cloud-init)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, flags) in OUTPUTS {
        if name.ends_with(".yaml") && name != "secret.yaml" {
            assert_valid(&golden().join(name));
        }
        // What is inside of the others is what cloud-init gets in the end.
        let inside: Vec<&str> = flags
            .iter()
            .copied()
            .filter(|flag| {
                !["--format", "--name=", "--merge"]
                    .iter()
                    .any(|begin| flag.starts_with(begin))
            })
            .collect();
        let path = folder.path().join(name);
        std::fs::write(&path, answer(&inside)).unwrap();
        assert_valid(&path);
    }
}

#[test]
fn cloud_init_merges_somebodys_own_user_data_with_ours() {
    if !is_installed() {
        println!("skipped: cloud-init is missing (package cloud-init)");
        return;
    }
    let ours = process(&answer(&[]));
    let merged = process(&std::fs::read(golden().join("merged.mime")).unwrap());
    let config = &merged["config"];
    let mut expected = vec!["/etc/sysctl.d/90-own.conf"];
    expected.extend(paths(&ours["config"]));
    assert_eq!(paths(config), expected);
    assert_eq!(config["hostname"], "worker-0");
    assert_eq!(config["ssh_pwauth"], false);
    let commands = config["runcmd"].as_array().unwrap();
    assert_eq!(commands[0], serde_json::json!(["sysctl", "--system"]));
    assert_eq!(
        commands[1..],
        ours["config"]["runcmd"].as_array().unwrap()[..]
    );

    let parts = merged["parts"].as_array().unwrap();
    let script = parts
        .iter()
        .find(|part| part[0] == "text/x-shellscript")
        .unwrap();
    let own = std::fs::read_to_string(inputs().join("own.sh")).unwrap();
    assert_eq!(script[1], own.as_str());
}

#[test]
fn cloud_init_finds_every_type_of_part_and_messages_within_messages() {
    if !is_installed() {
        println!("skipped: cloud-init is missing (package cloud-init)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        format!("--merge={}", path.display())
    };
    let message = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"own\"\n\n--own\n\
                   Content-Type: text/cloud-config\n\n#cloud-config\nruncmd:\n- [own]\n\n--own--\n";
    let flags = [
        file("message", message),
        file("hook", "#cloud-boothook\n#!/bin/sh\ntrue\n"),
        file("handler", "#part-handler\n"),
        file(
            "jinja",
            "## template: jinja\n#cloud-config\nhostname: '{{ v1.region }}'\n",
        ),
        file("archive", "#cloud-config-archive\n- '#!/bin/sh'\n"),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for compressed in [false, true] {
        let mut flags = flags.clone();
        flags.extend(compressed.then_some("--gzip"));
        let processed = process(&answer(&flags));
        let parts = processed["parts"].as_array().unwrap();
        let types: Vec<&str> = parts.iter().map(|part| part[0].as_str().unwrap()).collect();
        let expected = [
            "text/cloud-config",
            "text/cloud-boothook",
            "text/part-handler",
            "text/jinja2",
            "text/x-shellscript",
            "text/cloud-config",
        ];
        assert_eq!(types, expected);
        let config = &processed["config"];
        assert_eq!(config["runcmd"][0], serde_json::json!(["own"]));
        assert!(paths(config).contains(&"/etc/kubernetes/bootstrap-kubelet.conf"));
    }
}

#[test]
fn compressed_user_data_is_the_same_user_data_and_smaller() {
    if !is_installed() {
        println!("skipped: cloud-init is missing (package cloud-init)");
        return;
    }
    let flags = ["--kubelet-config=kubelet-config.yaml"];
    let plain = text(&flags);
    let compressed = answer(&[&flags[..], &["--gzip"]].concat());
    assert_eq!(compressed[..2], [0x1f, 0x8b]);
    assert!(compressed.len() < plain.len());
    assert_eq!(
        process(&compressed)["config"],
        process(plain.as_bytes())["config"]
    );
}
