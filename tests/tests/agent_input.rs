//! Bad input of both programs: each ends or waits with one clear sentence that names the file, host or time in
//! question, with the right exit code, and leaves nothing half-written.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Client;
use kube::api::{Patch, PatchParams};
use rollcall_e2e::agent::{Host, NODE_AGENT};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, approver_kubeconfig, binary};
use rollcall_e2e::{Authority, ControlPlane, Credentials, requests};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long. A refused token is believed after a minute.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The exit codes of node-agent's `--help`.
const USAGE: i32 = 64;
const DISK: i32 = 74;
const GAVE_UP: i32 = 75;
const REFUSED: i32 = 77;

const NOTHING: [String; 0] = [];

async fn create_machine(admin: &Client, name: &str) {
    let status = MachineStatus::provisioned(name, "192.0.2.10");
    machines::create_machine(admin, name, &status)
        .await
        .unwrap();
}

/// Waits for the end with this code; the last line holds all these words.
async fn assert_ends(program: &mut Program, code: i32, words: &[&str]) {
    let ended = program.end(TIMEOUT).await.unwrap();
    let log = program.log();
    let last = log.lines().last().unwrap_or_default();
    assert_eq!(ended.code(), Some(code), "{log}");
    for word in words {
        assert!(
            last.contains(word),
            "{word:?} is not in the last line:\n{log}"
        );
    }
}

#[tokio::test]
async fn a_kubeconfig_or_configuration_that_cannot_be_used_ends_both_programs() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let kubeconfigs = [
        (directory.path().join("missing"), "does not exist"),
        (folder, "cannot be read"),
        (file("empty", ""), ""),
        (file("garbage", "\u{1}\u{2} not: [YAML"), ""),
        (file("no-cluster", "apiVersion: v1\nkind: Config\n"), ""),
    ];
    for (number, (path, words)) in kubeconfigs.iter().enumerate() {
        let name = path.display().to_string();
        let host = Host::create_in(directory.path(), &format!("worker-{number}")).unwrap();
        let mut agent = host.start(path, &[]).unwrap();
        assert_ends(&mut agent, USAGE, &[&name, words]).await;
        assert_eq!(host.files().unwrap(), NOTHING, "{}", agent.log());

        let flags = ["run", "--kubeconfig", &name];
        let logs = directory.path().join(format!("approver-{number}"));
        let mut approver = Program::start("rollcall-approver", &logs, &flags).unwrap();
        let ended = approver.end(TIMEOUT).await.unwrap();
        let log = approver.log();
        assert_eq!(ended.code(), Some(USAGE), "{log}");
        assert!(
            log.contains(&format!("error: kubeconfig {name}: ")),
            "{log}"
        );
    }
    let head = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";
    let bad = file("config", &format!("{head}bootstrap: {{joinwindow: 1h}}\n"));
    let bad = bad.display().to_string();
    let logs = directory.path().join("approver-config");
    let flags = ["run", "--config", &bad];
    let mut approver = Program::start("rollcall-approver", &logs, &flags).unwrap();
    let ended = approver.end(TIMEOUT).await.unwrap();
    let log = approver.log();
    assert_eq!(ended.code(), Some(USAGE), "{log}");
    for word in [bad.as_str(), "joinwindow", "line 3"] {
        assert!(log.contains(word), "{word:?}: {log}");
    }
}

#[tokio::test]
async fn both_programs_wait_for_an_api_server_that_is_not_there_yet() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let kubeconfig = approver_kubeconfig(&control_plane).await.unwrap();
    create_machine(&control_plane.admin(), "worker-0").await;
    let host = Host::create(&control_plane, "worker-0").unwrap();
    let server = control_plane.server();

    control_plane.stop_api_server().await.unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let mut approver = Program::approver_as(&control_plane, &kubeconfig, &[]).unwrap();
    let words = [server.as_str(), "cannot be reached", "refused"];
    agent.line(&words, TIMEOUT).await.unwrap();
    approver.line(&[&server], TIMEOUT).await.unwrap();
    let words = ["the watch broke", "cannot be reached", "refused"];
    approver.line(&words, TIMEOUT).await.unwrap();
    assert_eq!((agent.ended(), approver.ended()), (None, None));

    control_plane.start_api_server().await.unwrap();
    assert_ends(
        &mut agent,
        0,
        &["identity of system:node:worker-0 installed"],
    )
    .await;
    approver
        .line(&["the watch is back"], TIMEOUT)
        .await
        .unwrap();
    assert_eq!(approver.ended(), None);
}

#[tokio::test]
async fn a_credential_or_ca_that_is_refused_is_named() {
    let control_plane = ControlPlane::start().await.unwrap();
    let approver = Program::approver(&control_plane, &[]).await.unwrap();
    tokio::join!(
        expired_token(&control_plane),
        refused_token(&control_plane),
        wrong_authority(&control_plane),
        denied_request(&control_plane),
    );
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

fn kubeconfig(control_plane: &ControlPlane, name: &str, ca: &str, token: &str) -> PathBuf {
    let credentials = Credentials::Token(token.to_owned());
    control_plane
        .custom_kubeconfig(name, &control_plane.server(), ca, &credentials)
        .unwrap()
}

/// A ServiceAccount's token says itself when it ends, so nobody has to be asked.
async fn expired_token(control_plane: &ControlPlane) {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let times = json!({"iat": 1_699_996_400, "nbf": 1_699_996_400, "exp": 1_700_000_000});
    let token = format!(
        "{}.{}.{}",
        part(json!({"alg": "RS256"})),
        part(times),
        URL_SAFE_NO_PAD.encode("no signature")
    );
    let file = kubeconfig(control_plane, "expired", control_plane.ca_pem(), &token);
    let host = Host::create(control_plane, "expired").unwrap();
    let mut agent = host.start(&file, &[]).unwrap();
    let name = file.display().to_string();
    let words = ["the token in", &name, "expired at 2023-11-14T22:13:20Z"];
    assert_ends(&mut agent, REFUSED, &words).await;
    assert_eq!(host.files().unwrap(), NOTHING, "{}", agent.log());
}

async fn refused_token(control_plane: &ControlPlane) {
    let file = kubeconfig(control_plane, "refused", control_plane.ca_pem(), "garbage");
    let (name, server) = (file.display().to_string(), control_plane.server());
    let logs = control_plane.logs_dir().join("refused");
    let mut approver = Program::approver_in("refused", &logs, &file, &[]).unwrap();
    let host = Host::create(control_plane, "refused").unwrap();
    let mut agent = host.start(&file, &[]).unwrap();
    let words = [
        server.as_str(),
        "does not accept the token in",
        &name,
        "401",
    ];
    agent.line(&words, TIMEOUT).await.unwrap();
    // It may be the API server that is not ready: the agent waits for a minute before it believes this.
    assert_ends(&mut agent, REFUSED, &words).await;
    assert_eq!(host.files().unwrap(), ["pki/kubelet-client-pending.key"]);
    assert_eq!(host.exposed().unwrap(), NOTHING);
    approver.line(&["401 Unauthorized"], TIMEOUT).await.unwrap();
    assert_eq!(approver.ended(), None);
}

async fn wrong_authority(control_plane: &ControlPlane) {
    let stranger = Authority::generate("kubernetes").unwrap();
    let file = kubeconfig(
        control_plane,
        "stranger",
        stranger.certificate_pem(),
        "token",
    );
    let (name, server) = (file.display().to_string(), control_plane.server());
    let host = Host::create(control_plane, "stranger").unwrap();
    let mut agent = host.start(&file, &["--timeout", "3s"]).unwrap();
    let words = [server.as_str(), "is not signed by the CA in", &name];
    assert_ends(&mut agent, GAVE_UP, &words).await;
    assert_eq!(host.files().unwrap(), ["pki/kubelet-client-pending.key"]);

    let logs = control_plane.logs_dir().join("stranger");
    let mut approver = Program::approver_in("stranger", &logs, &file, &[]).unwrap();
    let words = ["connecting", server.as_str()];
    approver.line(&words, TIMEOUT).await.unwrap();
    let words = ["certificate is not accepted", "is the CA in the kubeconfig"];
    approver.line(&words, TIMEOUT).await.unwrap();
    assert_eq!(approver.ended(), None);
}

/// What a person denied stays denied; the agent says who has to do what.
async fn denied_request(control_plane: &ControlPlane) {
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let host = Host::create(control_plane, "unwanted").unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let line = agent.line(&["submitted as"], TIMEOUT).await.unwrap();
    let name = line.rsplit(' ').next().unwrap().to_owned();
    let condition =
        json!({"type": "Denied", "status": "True", "reason": "ByTest", "message": "not wanted"});
    let patch = json!({"status": {"conditions": [condition]}});
    requests::api(&control_plane.admin())
        .patch_approval(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let words = [name.as_str(), "was denied", "ByTest", "not wanted"];
    assert_ends(&mut agent, REFUSED, &words).await;
    assert_eq!(host.files().unwrap(), ["pki/kubelet-client-pending.key"]);
}

/// Runs the agent on a disk of its own: a tmpfs that only its processes see, mounted over the host's folder.
/// `script` finds the agent's command line in its arguments and the folder in `$disk`.
fn on_own_disk(host: &Host, bootstrap: &Path, script: &str) -> Program {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "sh", "-c", script, "sh"])
        .arg(binary(NODE_AGENT).unwrap())
        .args(host.arguments(bootstrap, &[]))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("disk", host.state());
    Program::run(NODE_AGENT, &command, &host.next_run()).unwrap()
}

fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]);
    let status = command.stderr(std::process::Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_full_or_read_only_disk_is_named_and_holds_nothing_half_written() {
    if !may_mount() {
        println!("skipped: making a small disk needs root and mount namespaces");
        return;
    }
    let control_plane = ControlPlane::start().await.unwrap();
    let _approver = Program::approver(&control_plane, &[]).await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    for (node, script, code, words) in DISKS {
        create_machine(&control_plane.admin(), node).await;
        let host = Host::create(&control_plane, node).unwrap();
        let mut disk = on_own_disk(&host, &bootstrap, script);
        let ended = disk.end(TIMEOUT).await.unwrap();
        let log = disk.log();
        assert_eq!(ended.code(), Some(code), "{node}:\n{log}");
        for word in words {
            assert!(log.contains(word), "{node}: no {word:?} in:\n{log}");
        }
        assert!(
            !log.contains("rollcall-tmp"),
            "{node}: half-written:\n{log}"
        );
    }
}

/// Node, script, its exit code, and what must be in the log. `find` lists what is on the disk in the end.
const DISKS: [(&str, &str, i32, &[&str]); 3] = [
    (
        "read-only",
        r#"mount -t tmpfs -o ro tmpfs "$disk" && cd "$disk" || exit
        "$@"; code=$?; find . -type f -o -type l; exit $code"#,
        DISK,
        &[
            "could not make the folder",
            "pki",
            "Read-only file system",
            "mount it writable",
        ],
    ),
    (
        "full-at-once",
        r#"mount -t tmpfs -o size=4k tmpfs "$disk" && cd "$disk" && head -c 4096 /dev/zero >filler || exit
        "$@"; code=$?; find . -type f -o -type l; exit $code"#,
        DISK,
        &[
            "could not write",
            "kubelet-client-pending.key",
            "No space left on device",
            "make room",
            "./filler\n",
        ],
    ),
    // The key still fits, the certificate does not. With more room the same key goes on.
    (
        "full-later",
        r#"mount -t tmpfs -o size=8k tmpfs "$disk" && cd "$disk" && head -c 4096 /dev/zero >filler || exit
        "$@"; [ $? -eq 74 ] || exit 1
        [ "$(find . -type f -o -type l | sort | tr '\n' ' ')" = "./filler ./pki/kubelet-client-pending.key " ] || exit 2
        mount -o remount,size=64k "$disk" && "$@""#,
        0,
        &[
            "could not write",
            "kubelet-client-20",
            "No space left on device",
            "going on with the key",
            "installed",
        ],
    ),
];

/// Where Debian's package `libfaketime` has its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

#[tokio::test]
async fn a_clock_that_is_years_off_is_named_with_both_times() {
    if !Path::new(FAKETIME).is_file() {
        println!("skipped: {FAKETIME} is missing (package libfaketime)");
        return;
    }
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let endless = control_plane
        .bootstrap_token_kubeconfig(Duration::from_secs(3600))
        .await
        .unwrap();
    let server = control_plane.server();
    let this_year = jiff::Timestamp::now().strftime("%Y").to_string();
    let this_year: i16 = this_year.parse().unwrap();
    let past = format!("clock says {}", this_year.saturating_sub(10));
    let future = format!("{}", this_year.saturating_add(10));
    let token = bootstrap.display().to_string();
    // A clock that is behind is waited for: time servers are often reached later than the API server.
    let cases: [(&str, &str, &Path, i32, &[&str]); 3] = [
        (
            "behind",
            "-10y",
            &bootstrap,
            GAVE_UP,
            &[&server, "valid from", &past, "clock"],
        ),
        (
            "ahead",
            "+10y",
            &bootstrap,
            REFUSED,
            &[&token, "expired at", "clock", &future],
        ),
        (
            "ahead-no-end",
            "+10y",
            &endless,
            GAVE_UP,
            &[&server, "expired at", "clock", &future],
        ),
    ];
    for (node, offset, kubeconfig, code, words) in cases {
        let host = Host::create(&control_plane, node).unwrap();
        let environment = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let mut agent = host
            .start_with(kubeconfig, &["--timeout", "3s"], &environment)
            .unwrap();
        assert_ends(&mut agent, code, words).await;
        let left = host.files().unwrap();
        assert!(
            left.is_empty() || left == ["pki/kubelet-client-pending.key"],
            "{node}: {left:?}"
        );
    }
}
