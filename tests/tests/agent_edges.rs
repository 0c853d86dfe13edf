//! What kubelets and people leave at the edge of a join: a token with a line end, a certificate from the future.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rollcall_e2e::agent::Host;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, binary};
use rollcall_e2e::{CertificateProfile, ControlPlane};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);
const HOUR: Duration = Duration::from_secs(3600);

async fn expect_machine(control_plane: &ControlPlane, name: &str, ip: &str) {
    let status = MachineStatus::provisioned(name, ip);
    let created = machines::create_machine(&control_plane.admin(), name, &status).await;
    created.unwrap();
}

/// The kubeconfig with this in the place of its token, where `TOKEN` stands for the token.
fn with_token(kubeconfig: &Path, name: &str, user: &str) -> PathBuf {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let line = text.lines().find(|line| line.trim().starts_with("token: "));
    let line = line.unwrap();
    let (indent, token) = line.split_once("token: ").unwrap();
    let user = user.replace("TOKEN", token.trim_matches('"'));
    let path = kubeconfig.with_file_name(name);
    std::fs::write(&path, text.replace(line, &format!("{indent}{user}"))).unwrap();
    path
}

/// Exit code and standard error of a command of the approver.
fn approver(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary("rollcall-approver").unwrap());
    let done = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), said)
}

#[tokio::test]
async fn a_token_with_a_line_end_joins_and_one_that_no_header_holds_is_named_by_every_program() {
    let control_plane = ControlPlane::start().await.unwrap();
    let running = Program::approver(&control_plane, &[]).await.unwrap();
    let kubeconfig = control_plane
        .bootstrap_token_kubeconfig(HOUR)
        .await
        .unwrap();
    let sound = [
        ("line-end", "token: \"TOKEN\\n\""),
        ("around", "token: \" \\tTOKEN\\r\\n\\r\\n\""),
        ("in-a-file", "tokenFile: token-of-the-file"),
    ];
    for (number, (node, user)) in sound.into_iter().enumerate() {
        let path = with_token(&kubeconfig, node, user);
        let token = with_token(&kubeconfig, "token-of-the-file", "TOKEN");
        let text = std::fs::read_to_string(&token).unwrap();
        let is_token = |line: &&str| line.contains('.') && !line.contains(':');
        let text = text.lines().map(str::trim).find(is_token).unwrap();
        std::fs::write(&token, format!("\n{text}\n\n")).unwrap();
        expect_machine(&control_plane, node, &format!("192.0.2.{number}")).await;
        let host = Host::create(&control_plane, node).unwrap();
        let mut agent = host.start(&path, &[]).unwrap();
        let ended = agent.end(TIMEOUT).await.unwrap();
        assert_eq!(ended.code(), Some(0), "{node}: {}", agent.log());
        // Its holder may list requests and nothing else: the API server knows whose it is.
        let (code, said) = approver(&["list", "--kubeconfig", path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{node}: {said}");
        assert!(said.contains("\"system:bootstrap:"), "{node}: {said}");
    }
    for (name, user) in [("blank", "token: TO KEN"), ("break", "token: \"a\\nb\"")] {
        let path = with_token(&kubeconfig, name, user);
        let path = path.to_str().unwrap();
        let host = Host::create(&control_plane, name).unwrap();
        let mut agent = host.start(Path::new(path), &[]).unwrap();
        let ended = agent.end(TIMEOUT).await.unwrap();
        let mut said = vec![(ended.code(), agent.log())];
        for command in ["run", "list", "explain"] {
            said.push(approver(&[command, "--kubeconfig", path]));
        }
        said.push(approver(&["user-data", "--bootstrap-kubeconfig", path]));
        for (code, said) in said {
            assert_eq!(code, Some(64), "{said}");
            let words = [path, "].user.token", "no Authorization header"];
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
    running.stop();
}

/// The certificate begins tomorrow, whichever clock is asked: the machine asks anew, and proves whose key it holds.
#[tokio::test]
async fn a_certificate_from_the_future_is_replaced_while_the_clocks_agree() {
    let control_plane = ControlPlane::start().await.unwrap();
    let _running = Program::approver(&control_plane, &[]).await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    expect_machine(&control_plane, "tomorrow", "192.0.2.10").await;
    let host = Host::create(&control_plane, "tomorrow").unwrap();
    let in_hours = |hours| {
        SystemTime::now()
            .checked_add(HOUR.saturating_mul(hours))
            .unwrap()
    };
    let lifetime = CertificateProfile::node("tomorrow").valid(in_hours(24), in_hours(48));
    let identity = control_plane.issue_certificate(&lifetime).unwrap();
    host.put_identity(&control_plane, &identity).unwrap();

    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    let log = agent.log();
    assert_eq!(ended.code(), Some(0), "{log}");
    for words in [
        "the certificate is wrong and not this machine's clock",
        "holds the key of its previous certificate",
        "identity of system:node:tomorrow installed",
    ] {
        assert!(log.contains(words), "no {words:?} in {log}");
    }
}
