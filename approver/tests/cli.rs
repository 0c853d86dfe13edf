//! The binary as a person calls it: exit codes, and sentences that name the file in question.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_approver::exit;
use tempfile::TempDir;

/// How long a call may take that has to end by itself; one that does not is stopped and has no exit code.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a call ended: exit code, standard output, standard error.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Calls the binary with nothing in its environment that could name a cluster.
fn call(arguments: &[&str], environment: &[(&str, &Path)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-approver"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The little that is written fits into the pipes.
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().ok();
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Asserts that a call ended as bad usage, before anything was started, and says all of these words.
fn assert_usage(arguments: &[&str], environment: &[(&str, &Path)], words: &[&str]) {
    let ended = call(arguments, environment);
    assert_eq!(ended.code, Some(64), "{arguments:?}: {}", ended.stderr);
    assert_eq!(ended.stdout, "", "{arguments:?}");
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{arguments:?} does not say {word:?}: {}",
            ended.stderr
        );
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// A file with this content, and its folder, which lives as long as it is held.
fn file(name: &str, content: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_version_is_told() {
    let ended = call(&["--version"], &[]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.stdout,
        concat!("rollcall-approver ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(ended.stderr, "");
}

#[test]
fn help_explains_the_commands_and_the_exit_codes() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let ended = call(arguments, &[]);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stderr, "");
        for line in [
            "Exit codes:",
            "0   done",
            "1   failed while running",
            "64  bad usage",
        ] {
            assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
        }
    }
    let help = call(&["run", "--help"], &[]).stdout;
    for flag in [
        "--config",
        "--kubeconfig",
        "--management-kubeconfig",
        "--mode",
        "--metrics-addr",
        "--leader-elect",
        "--log-format",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
}

#[test]
fn what_is_no_command_line_is_bad_usage() {
    assert_usage(&[], &[], &["Usage"]);
    assert_usage(&["walk"], &[], &["walk"]);
    assert_usage(&["run", "--fast"], &[], &["--fast"]);
    assert_usage(
        &["run", "--mode", "enforced"],
        &[],
        &["enforced", "enforce", "manual", "audit"],
    );
    assert_usage(
        &["run", "--leader-elect=perhaps"],
        &[],
        &["perhaps", "--leader-elect"],
    );
    assert_usage(
        &["run", "--metrics-addr", "8080"],
        &[],
        &["8080", "--metrics-addr"],
    );
}

#[test]
fn machines_of_an_inventory_are_chosen_by_group() {
    let (_folder, path) = file(
        "hosts",
        "[masters]\nm-1\n[nodes]\nw-[1:2] ansible_host=10.0.0.1\n",
    );
    let ended = call(
        &["expect", "--from", &path, "--group", "nodes", "--dry-run"],
        &[],
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let count = |text: &str| ended.stdout.matches(text).count();
    assert_eq!((count("nodeName: w-"), count("nodeName:")), (2, 2));
    assert_eq!((count("10.0.0.1"), count("pool: nodes")), (2, 2));
    let chosen = |group| ["expect", "--from", &path, "--group", group, "--dry-run"];
    assert_usage(&chosen("workers"), &[], &["workers", "masters, nodes"]);
    let alone = ["expect", "w-1", "--group", "nodes"];
    assert_usage(&alone, &[], &["--group", "cannot be used with"]);
}

#[test]
fn a_configuration_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("approver.yaml");
    let missing = missing.to_str().unwrap();
    assert_usage(
        &["run", "--config", missing],
        &[],
        &[&format!("cannot read {missing}"), "No such file"],
    );
    // A folder is no file.
    let folder = folder.path().to_str().unwrap();
    assert_usage(
        &["run", "--config", folder],
        &[],
        &[&format!("cannot read {folder}")],
    );
}

#[test]
fn what_is_wrong_in_a_configuration_file_is_named_with_its_line() {
    const HEAD: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";
    for (body, words) in [
        ("mode: enforced\n", &["line 3", "enforced"][..]),
        ("joinWindow: 2h\n", &["line 3", "joinWindow"]),
        ("bootstrap:\n  joinWindow: soon\n", &["line 4", "soon"]),
        ("mode: [\n", &["line"]),
        ("machines: []\n", &["machines"]),
    ] {
        let (_folder, path) = file("approver.yaml", &format!("{HEAD}{body}"));
        let words: Vec<&str> = words.iter().copied().chain([path.as_str()]).collect();
        assert_usage(&["run", "--config", &path], &[], &words);
    }
}

#[test]
fn settings_and_flags_without_effect_are_named_at_the_start() {
    let body = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nmode: manual\nserving: {enabled: false, port: 1}\n";
    let (_folder, path) = file("approver.yaml", body);
    let missing = "/nonexistent/kubeconfig";
    assert_usage(
        &[
            "run",
            "--config",
            &path,
            "--mode=audit",
            "--leader-elect=false",
            "--kubeconfig",
            missing,
            "--management-kubeconfig",
            missing,
        ],
        &[],
        &[
            "setting=\"mode\"",
            "the flag --mode outweighs it",
            "setting=\"serving.port\"",
            "setting=\"--leader-elect\"",
            "setting=\"--management-kubeconfig\"",
        ],
    );
    let ended = call(&["run", "--kubeconfig", missing], &[]);
    assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.kubeconfig");
    let missing = missing.to_str().unwrap();
    assert_usage(
        &["run", "--kubeconfig", missing],
        &[],
        &["kubeconfig", missing],
    );

    let (_folder, garbage) = file("garbage.kubeconfig", "this is: [no kubeconfig");
    assert_usage(
        &["run", "--kubeconfig", &garbage],
        &[],
        &["kubeconfig", &garbage],
    );

    let empty = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n";
    let (_folder, empty) = file("empty.kubeconfig", empty);
    assert_usage(
        &["run", "--kubeconfig", &empty],
        &[],
        &["kubeconfig", &empty],
    );
}

/// A kubeconfig for a server where nobody listens, trusting this certificate authority.
fn kubeconfig(authority: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1', {authority}}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"
    )
}

#[test]
fn a_file_that_the_kubeconfig_names_and_that_is_not_there_is_named() {
    let (folder, path) = file(
        "kubeconfig",
        &kubeconfig("certificate-authority: absent.crt"),
    );
    let absent = folder.path().join("absent.crt");
    assert_usage(
        &["run", "--kubeconfig", &path],
        &[],
        &[&path, absent.to_str().unwrap()],
    );
}

#[test]
fn a_certificate_authority_that_is_none_is_bad_configuration() {
    let (_folder, path) = file(
        "kubeconfig",
        &kubeconfig("certificate-authority-data: bm9uZQ=="),
    );
    assert_usage(
        &["run", "--kubeconfig", &path],
        &[],
        &[&path, "holds no certificate"],
    );
}

/// A CA that nothing is signed by.
fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    format!("certificate-authority-data: {}", STANDARD.encode(pem))
}

/// Kubelet's habits at the edge: every command that connects ends with a sentence, and none with a panic.
#[test]
fn a_kubeconfig_that_nobody_can_use_ends_every_command_with_its_field() {
    let sound = kubeconfig(&authority());
    let with = |user: &str| sound.replace("{token: t}", user);
    let twice = sound.replace("users:", "users: [{name: u}] #");
    for (text, words) in [
        (with("{token: 'a b'}"), "users[u].user.token"),
        (with("{token: \"a\\nb\"}"), "users[u].user.token"),
        (with("{token: \"\\x7f\"}"), "no Authorization header"),
        (with("{tokenFile: /dev/null}"), "users[u].user.tokenFile"),
        (
            with("{client-certificate-data: 'a b'}"),
            "client-certificate-data",
        ),
        (
            kubeconfig("insecure-skip-tls-verify: true"),
            "insecure-skip-tls-verify",
        ),
        (
            kubeconfig(&format!("{}, proxy-url: 'http://proxy'", authority())),
            "proxy-url",
        ),
        (sound.replace("kind: Config", "kind: Secret"), "Secret"),
        (twice, ""),
    ] {
        let (_folder, path) = file("kubeconfig", &text);
        for command in ["run", "list", "explain"] {
            assert_usage(&[command, "--kubeconfig", &path], &[], &[&path, words]);
        }
    }
}

#[test]
fn what_surrounds_a_token_is_left_out_and_so_is_all_behind_the_first_document() {
    let sound = kubeconfig(&authority());
    for user in [
        "{token: \"t\\n\"}",
        "{token: \" t\\r\\n\"}",
        "{tokenFile: token}",
    ] {
        let text = format!("\u{feff}{}---\n[", sound.replace("{token: t}", user));
        let (folder, path) = file("kubeconfig", &text);
        fs::write(folder.path().join("token"), "\nt\n\n").unwrap();
        let ended = call(&["list", "--kubeconfig", &path], &[]);
        assert_eq!(ended.code, Some(1), "{user}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("Connection refused"),
            "{}",
            ended.stderr
        );
    }
}

/// A panic of a library ends with a sentence as well. The test runs itself, as the program that panics.
#[test]
fn a_panic_is_one_sentence_and_a_code() {
    const CHILD: &str = "ROLLCALL_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        exit::tell_of_panics();
        let code = exit::guard(|| panic!("se\ncret"));
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::from(exit::FAILURE))
        );
        return;
    }
    let ended = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_panic_is_one_sentence_and_a_code",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(
        said.contains("error: this program met a defect at approver/tests/cli.rs:"),
        "{said}"
    );
    assert!(
        !said.contains("panicked at") && !said.contains("cret"),
        "{said}"
    );
}

#[test]
fn the_management_kubeconfig_is_named_too() {
    let (_folder, good) = file("kubeconfig", &kubeconfig(&authority()));
    let (_other, garbage) = file("garbage.kubeconfig", "nothing");
    assert_usage(
        &[
            "run",
            "--kubeconfig",
            &good,
            "--management-kubeconfig",
            &garbage,
        ],
        &[],
        &["kubeconfig", &garbage],
    );
}

#[test]
fn without_any_credentials_the_start_says_where_it_looked() {
    let home = tempfile::tempdir().unwrap();
    assert_usage(&["run"], &[("HOME", home.path())], &["KUBECONFIG", "pod"]);
    let missing = home.path().join("missing.kubeconfig");
    assert_usage(
        &["run"],
        &[("HOME", home.path()), ("KUBECONFIG", &missing)],
        &["KUBECONFIG", missing.to_str().unwrap()],
    );
}

#[test]
fn an_unreachable_server_is_told_once_for_each_watch_and_a_signal_still_ends_the_wait() {
    let (_folder, path) = file("kubeconfig", &kubeconfig(&authority()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall-approver"))
        .args(["run", "--kubeconfig", &path])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (sink, lines) = mpsc::channel();
    thread::spawn(move || stderr.lines().try_for_each(|line| sink.send(line.unwrap())));
    let mut told = Vec::new();
    // Requests to two signers, Nodes, Machines, the kubelet CA of any cluster, and the six kinds that hold its addresses.
    while told.len() < 11 {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        assert!(!line.contains("failed with error"), "{line}");
        if line.contains("the watch broke") {
            assert!(line.contains("Connection refused"), "{line}");
            told.push(line);
        }
    }
    let stopped = Command::new("kill").arg(child.id().to_string()).status();
    assert!(stopped.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let repeated = lines.iter().filter(|line| line.contains("the watch broke"));
    assert_eq!(repeated.count(), 0);
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_folder, path) = file("kubeconfig", &kubeconfig(&authority()));
    let ended = call(
        &["run", "--kubeconfig", &path, "--metrics-addr", &address],
        &[],
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains(&format!("cannot listen on {address}")),
        "{}",
        ended.stderr
    );
}
