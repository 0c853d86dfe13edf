//! What is wrong with a kubeconfig is told by field, and what is right comes out whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
    parse(text.as_bytes(), Path::new(""), None, now())
        .err()
        .unwrap_or_else(|| panic!("not refused: {text}"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_missing_or_wrong_is_told_by_its_field() {
    let token = "token: abcdef.0123456789abcdef";
    let cases = [
        ("clusters: []".to_owned(), "has no current-context"),
        ("current-context: a".to_owned(), "has no context \"a\""),
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
            "holds in clusters[b].cluster.certificate-authority-data what is not base64",
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
            kubeconfig(
                &format!("{}, proxy-url: 'http://proxy:3128'", sound_cluster()),
                token,
            ),
            "clusters[b].cluster.proxy-url: ",
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
            "holds in users[c].user.token a token with a blank",
        ),
        (
            kubeconfig(&sound_cluster(), "tokenFile: /nonexistent/token"),
            "names in users[c].user.tokenFile the file /nonexistent/token, which cannot be read",
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
    let refusal = parse(text.as_bytes(), Path::new(""), None, later);
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
    for group in ["system:masters", "kubeadm:cluster-admins", "system:nodes"] {
        let message = refusal(&kubeconfig(&sound_cluster(), &user(group)));
        assert!(
            message.starts_with("users[c].user.client-certificate: "),
            "{message}"
        );
        assert!(message.contains(group), "{message}");
    }
    for group in [
        "system:bootstrappers",
        "system:nodesx",
        "System:Masters",
        "admins",
    ] {
        let text = kubeconfig(&sound_cluster(), &user(group));
        assert!(
            parse(text.as_bytes(), Path::new(""), None, now()).is_ok(),
            "{group}"
        );
    }
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
    let bootstrap = parse(text.as_bytes(), folder.path(), None, now())
        .ok()
        .unwrap();
    for format in [KubeconfigFormat::Yaml, KubeconfigFormat::Json] {
        let written = bootstrap.write(format).unwrap();
        assert!(!written.contains("of-an-administrator"), "{written}");
        let again = parse(written.as_bytes(), Path::new("/nowhere"), None, now())
            .ok()
            .unwrap();
        assert_eq!(again.server, "https://a:1");
        assert_eq!(again.tls_server_name.as_deref(), Some("kubernetes"));
        assert_eq!(again.authority.to_pem(), bundle.replace("\r\n", "\n"));
        assert_eq!(again.credential.name(), "the bootstrap token abcdef");
        assert_eq!(again.write(format).unwrap(), written);
    }
}
