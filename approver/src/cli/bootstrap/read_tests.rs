//! What is wrong with a kubeconfig is told by field, and what is right comes out whole.

use rcgen::{CertificateParams, DnType, KeyPair};

use super::*;
use crate::KubeconfigFormat;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A certificate of this organization, and its key, both in PEM.
fn certificate(organization: &str) -> (String, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, key.serialize_pem())
}

fn ca() -> String {
    STANDARD.encode(certificate("ca").0)
}

/// A kubeconfig with these fields in its cluster and its user.
fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "current-context: a\ncontexts: [{{name: a, context: {{cluster: b, user: c}}}}]\n\
         clusters: [{{name: b, cluster: {{{cluster}}}}}]\nusers: [{{name: c, user: {{{user}}}}}]\n"
    )
}

fn sound_cluster() -> String {
    format!(
        "server: https://api.example.com:6443, certificate-authority-data: {}",
        ca()
    )
}

fn refusal(text: &str) -> String {
    parse(text, Path::new(""), None, now())
        .err()
        .unwrap_or_else(|| panic!("not refused: {text}"))
}

#[test]
fn what_is_missing_or_wrong_is_told_by_its_field() {
    let token = "token: abcdef.0123456789abcdef";
    let cases = [
        ("clusters: []".to_owned(), "current-context: is missing"),
        ("current-context: a".to_owned(), "contexts: has no \"a\""),
        (
            kubeconfig("server: http://a:1", token),
            "clusters[b].cluster.server: ",
        ),
        (kubeconfig("", token), "clusters[b].cluster.server: "),
        (
            kubeconfig("server: 'https://a:1'", token),
            "clusters[b].cluster.certificate-authority-data: is missing",
        ),
        (
            kubeconfig(
                "server: 'https://a:1', certificate-authority-data: '%'",
                token,
            ),
            "clusters[b].cluster.certificate-authority-data: is not base64",
        ),
        (
            kubeconfig(
                "server: 'https://a:1', certificate-authority-data: YQ==",
                token,
            ),
            "clusters[b].cluster.certificate-authority: holds no PEM block",
        ),
        (
            kubeconfig(
                &format!("{}, insecure-skip-tls-verify: true", sound_cluster()),
                token,
            ),
            "clusters[b].cluster.insecure-skip-tls-verify: ",
        ),
        (
            kubeconfig(&sound_cluster(), ""),
            "users[c].user.token: is missing",
        ),
        (
            kubeconfig(&sound_cluster(), "exec: {command: aws}"),
            "users[c].user.exec: ",
        ),
        (
            kubeconfig(&sound_cluster(), "username: ada, password: x"),
            "users[c].user.username: ",
        ),
        (
            kubeconfig(&sound_cluster(), "token: 'a b'"),
            "users[c].user.token: ",
        ),
        (
            kubeconfig(&sound_cluster(), "tokenFile: /nonexistent/token"),
            "users[c].user.tokenFile: /nonexistent/token cannot be read",
        ),
    ];
    for (text, message) in cases {
        let refusal = refusal(&text);
        assert!(refusal.starts_with(message), "{refusal}");
    }
}

#[test]
fn an_authority_that_expired_is_refused() {
    let later = "9999-01-01T00:00:00Z".parse().unwrap();
    let text = kubeconfig(&sound_cluster(), "token: t");
    let refusal = parse(&text, Path::new(""), None, later);
    // rcgen's certificates end in the year 4096.
    assert!(
        refusal.is_err_and(|message| message.contains("certificate-authority: expired at 4096"))
    );
}

#[test]
fn no_error_repeats_what_stands_in_the_file() {
    let broken = "users: [{name: a, user: {token: abcdef.secret}}\nclusters: 7\n";
    let message = refusal(broken);
    assert!(
        message.contains("line ") && !message.contains("secret"),
        "{message}"
    );
}

#[test]
fn an_administrator_goes_to_no_machine() {
    let user = |organization: &str| {
        let (certificate, key) = certificate(organization);
        format!(
            "client-certificate-data: {}, client-key-data: {}",
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        )
    };
    let message = refusal(&kubeconfig(&sound_cluster(), &user("system:masters")));
    assert!(message.contains("system:masters"), "{message}");
    let text = kubeconfig(&sound_cluster(), &user("system:bootstrappers"));
    assert!(parse(&text, Path::new(""), None, now()).is_ok());
}

#[test]
fn what_is_written_reads_back_and_holds_nothing_else() {
    let (bundle, key) = certificate("ca");
    let folder = tempfile::tempdir().unwrap();
    // A key in the CA's file must not go to machines, nor must another user's credential.
    std::fs::write(folder.path().join("ca.pem"), format!("{key}{bundle}")).unwrap();
    std::fs::write(folder.path().join("token"), "abcdef.0123456789abcdef\n").unwrap();
    let cluster =
        "server: 'https://a:1', certificate-authority: ca.pem, tls-server-name: kubernetes";
    let more = ", {name: admin, user: {token: of-an-administrator}}]";
    let text = kubeconfig(cluster, "tokenFile: token");
    let text = text.strip_suffix("]\n").unwrap().to_owned() + more;
    let bootstrap = parse(&text, folder.path(), None, now()).ok().unwrap();
    for format in [KubeconfigFormat::Yaml, KubeconfigFormat::Json] {
        let written = bootstrap.write(format).unwrap();
        assert!(!written.contains("of-an-administrator"), "{written}");
        let again = parse(&written, Path::new("/nowhere"), None, now())
            .ok()
            .unwrap();
        assert_eq!(again.server, "https://a:1");
        assert_eq!(again.tls_server_name.as_deref(), Some("kubernetes"));
        assert_eq!(again.authority.to_pem(), bundle.replace("\r\n", "\n"));
        assert_eq!(again.credential.name(), "the bootstrap token abcdef");
        assert_eq!(again.write(format).unwrap(), written);
    }
}
