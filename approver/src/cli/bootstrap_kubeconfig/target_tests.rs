//! The server and the CA that machines get.

use clap::Parser as _;
use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::{Args, Command};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn der() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    certificate.der().to_vec()
}

fn target(connection: &Config, flags: &[&str]) -> Result<Target, String> {
    let program = ["rollcall-approver", "bootstrap-kubeconfig"];
    let args = Args::parse_from(program.iter().chain(flags));
    let Command::BootstrapKubeconfig(args) = args.command else {
        panic!("another command")
    };
    Target::of(connection, &args, now()).map_err(|error| error.to_string())
}

fn connection(url: &str) -> Config {
    let mut connection = Config::new(url.parse().unwrap());
    connection.root_cert = Some(vec![der()]);
    connection.tls_server_name = Some("kubernetes".to_owned());
    connection
}

#[test]
fn the_current_context_is_what_machines_use_unless_flags_say_otherwise() {
    let connection = connection("https://api.example.com:6443");
    let own = target(&connection, &[]).unwrap();
    assert_eq!(own.server, "https://api.example.com:6443");
    assert_eq!(own.tls_server_name.as_deref(), Some("kubernetes"));
    let other = target(&connection, &["--server", "https://lb.example.com"]).unwrap();
    assert_eq!(other.server, "https://lb.example.com");
    assert_eq!(
        (other.tls_server_name, &other.authority),
        (None, &own.authority)
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(
        &path,
        Authority::from_der(vec![der().into()], now())
            .unwrap()
            .to_pem(),
    )
    .unwrap();
    let other = target(&connection, &["--ca", path.to_str().unwrap()]).unwrap();
    assert_ne!(other.authority, own.authority);
}

#[test]
fn a_server_that_nobody_can_be_sure_of_is_refused() {
    let mut insecure = connection("https://api.example.com:6443");
    insecure.accept_invalid_certs = true;
    // Not even with a CA for the machines: the credential itself would be made by whoever answers.
    let refusal = target(
        &insecure,
        &["--server", "https://a", "--ca", "/nonexistent"],
    )
    .unwrap_err();
    assert!(
        refusal.contains("current context: it has insecure-skip-tls-verify"),
        "{refusal}"
    );

    let refusal = target(&connection("http://api.example.com"), &[]).unwrap_err();
    assert!(refusal.contains("no https URL"), "{refusal}");
    let sound = connection("https://api.example.com");
    for server in ["http://a", "a:6443", "https://", ""] {
        let refusal = target(&sound, &["--server", server]).unwrap_err();
        assert!(refusal.starts_with("--server: "), "{refusal}");
    }

    let mut nameless = connection("https://api.example.com");
    nameless.root_cert = None;
    let refusal = target(&nameless, &[]).unwrap_err();
    assert!(
        refusal.contains("names no CA") && refusal.contains("--ca"),
        "{refusal}"
    );
}

#[test]
fn a_pods_own_address_is_of_no_use_to_machines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    let ca = Authority::from_der(vec![der().into()], now()).unwrap();
    std::fs::write(&path, ca.to_pem()).unwrap();
    let mut pod = connection("https://kubernetes.default.svc");
    pod.root_cert_file = Some(path);
    let refusal = target(&pod, &[]).unwrap_err();
    assert!(
        refusal.starts_with("--server: is needed in a pod"),
        "{refusal}"
    );
    let named = target(&pod, &["--server", "https://api.example.com"]).unwrap();
    assert_eq!(named.authority, ca);
}
