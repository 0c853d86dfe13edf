//! The program from outside: exit codes, messages, signals.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;
#[path = "support/tls.rs"]
mod tls;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall_node_agent::console::LogFormat;
use rollcall_node_agent::exit;
use rustix::process::{Pid, Signal, kill_process};

use authority::Authority;
use machine::{Machine, TOKEN, bootstrap_kubeconfig};
use tls::{serve, server_params};

/// A server without a listener: port 1 is never bound without root's intent.
const NOWHERE: &str = "https://127.0.0.1:1";

/// The result of a command line.
struct Ran {
    code: i32,
    text: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = String::from_utf8(output.stderr).unwrap();
        Self {
            code: output.status.code().unwrap(),
            text,
        }
    }

    /// Asserts this exit code and a last line with all these parts.
    fn assert(&self, code: i32, parts: &[&str]) {
        let last = self.text.lines().last().unwrap_or_default();
        assert_eq!(self.code, code, "{}", self.text);
        for part in parts {
            assert!(
                last.contains(part),
                "{part:?} is not in the last line of\n{}",
                self.text
            );
        }
        assert!(!self.text.contains(TOKEN), "the token was printed");
    }
}

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-node-agent"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .args(["--node-name", "worker-0"]);
    command
}

/// The agent with the folders of this machine and a timeout of one second.
fn agent_on(machine: &Machine) -> Command {
    patient_agent_on(machine, "1s")
}

fn patient_agent_on(machine: &Machine, patience: &str) -> Command {
    let mut command = agent();
    command.args([
        "--keep-bootstrap",
        "--timeout",
        patience,
        "--bootstrap-kubeconfig",
    ]);
    command.arg(machine.path("bootstrap.conf"));
    command
        .arg("--kubeconfig")
        .arg(machine.path("etc/kubelet.conf"));
    command.arg("--cert-dir").arg(machine.path("pki"));
    command
}

/// The agent with this bootstrap kubeconfig; it must write nothing before it has validated it.
fn with_bootstrap(contents: &str) -> Ran {
    let machine = Machine::new(&Authority::new());
    fs::write(machine.path("bootstrap.conf"), contents).unwrap();
    let ran = Ran::of(agent_on(&machine).output().unwrap());
    if ran.code == 64 {
        assert!(
            !machine.path("pki").exists() && !machine.path("etc").exists(),
            "{}",
            ran.text
        );
    }
    ran
}

fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
    )
}

fn jwt(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn help_and_version_are_for_people() {
    let help = agent().arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        text.contains(&exit::table()) && text.contains("Example:"),
        "{text}"
    );
    for flag in [
        "bootstrap-kubeconfig",
        "kubeconfig",
        "cert-dir",
        "node-name",
        "client-ca",
        "join-key",
        "timeout",
    ] {
        let variable = format!("ROLLCALL_{}", flag.to_uppercase().replace('-', "_"));
        assert!(
            text.contains(&format!("--{flag} <")) && text.contains(&variable),
            "{flag}"
        );
    }
    let version = agent().arg("--version").output().unwrap();
    let expected = format!("rollcall-node-agent {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[test]
fn what_to_do_may_be_said_and_left_out() {
    let machine = Machine::new(&Authority::new());
    let missing = machine.path("none.conf");
    let flags = ["--node-name", "worker-0", "--bootstrap-kubeconfig"];
    for word in [&["run"][..], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-node-agent"));
        command.env_clear().args(word).args(flags).arg(&missing);
        command
            .arg("--kubeconfig")
            .arg(machine.path("etc/kubelet.conf"));
        command.arg("--cert-dir").arg(machine.path("pki"));
        Ran::of(command.output().unwrap()).assert(64, &["none.conf"]);
    }
    // A machine without an identity keeps what cloud-init may still need.
    let mut wipe = Command::new(env!("CARGO_BIN_EXE_rollcall-node-agent"));
    wipe.env_clear()
        .args(["wipe", "--state-dir"])
        .arg(machine.path("state"));
    Ran::of(wipe.output().unwrap()).assert(0, &["no identity is installed yet"]);
}

#[test]
fn bad_usage_exits_64() {
    for flags in [
        &["--no-such-flag"][..],
        &["walk"],
        &["--timeout", "soon"],
        &["--timeout", ""],
        &["--resubmit-after", "0s"],
        &["--expiration-seconds", "5"],
        &["--expiration-seconds", "many"],
        &["--log-format", "xml"],
        &["--cert-dir", ""],
        &["--kubeconfig", "/a", "--bootstrap-kubeconfig", "/a"],
    ] {
        let ran = Ran::of(agent().args(flags).output().unwrap());
        assert_eq!(ran.code, 64, "{flags:?}: {}", ran.text);
        assert!(!ran.text.is_empty());
    }
}

#[test]
fn a_name_no_node_can_have_is_refused_with_the_reason() {
    for (name, reason) in [
        ("Worker_0", "RFC 1123"),
        ("", "empty"),
        (&"a".repeat(254), "254"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-node-agent"));
        let output = command
            .env_clear()
            .env("ROLLCALL_NODE_NAME", name)
            .output()
            .unwrap();
        Ran::of(output).assert(64, &["--node-name", reason]);
    }
}

#[test]
fn a_bootstrap_kubeconfig_that_is_missing_or_unreadable_is_named() {
    let machine = Machine::new(&Authority::new());
    let file = machine.path("bootstrap.conf");
    fs::remove_file(&file).unwrap();
    let name = file.to_str().unwrap().to_owned();
    Ran::of(agent_on(&machine).output().unwrap()).assert(64, &[&name, "does not exist"]);
    fs::create_dir(&file).unwrap();
    Ran::of(agent_on(&machine).output().unwrap()).assert(64, &[&name, "cannot be read"]);
    assert!(!machine.path("pki").exists());
}

#[test]
fn a_bootstrap_kubeconfig_without_permission_is_named() {
    let machine = Machine::new(&Authority::new());
    let file = machine.path("bootstrap.conf");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = agent_on(&machine);
    if fs::read(&file).is_ok() {
        // Root may read everything, so the agent runs as `nobody` (65534 in Linux, `/proc/sys/kernel/overflowuid`).
        fs::set_permissions(machine.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65_534);
    }
    match command.output() {
        Ok(output) => Ran::of(output).assert(64, &[file.to_str().unwrap(), "Permission denied"]),
        Err(error) => eprintln!("skipped: nobody may not run what root built: {error}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_bootstrap_kubeconfig_with_anything_wrong_says_what() {
    let token = &format!("token: {TOKEN}");
    let server = "server: 'https://api.test'";
    let at = |extra: &str| kubeconfig(&format!("{server}, {extra}"), token);
    for (contents, words) in [
        (String::new(), "no current-context"),
        (format!("{TOKEN}: [\n"), "not a kubeconfig in YAML"),
        (format!("users: {TOKEN}\n"), "not a kubeconfig in YAML"),
        (kubeconfig("", token), "names no server"),
        (kubeconfig("server: 'api.test:6443'", token), "not a URL"),
        (kubeconfig("server: 'http://api.test'", token), "use https"),
        (
            at("insecure-skip-tls-verify: true"),
            "insecure-skip-tls-verify",
        ),
        (at("proxy-url: 'http://proxy'"), "connects directly only"),
        (at("certificate-authority: ca.crt"), "ca.crt"),
        (
            at("certificate-authority: bootstrap.conf"),
            "no CA certificate in PEM",
        ),
        (at("certificate-authority-data: '!'"), "not base64"),
        (
            at("certificate-authority-data: Z2FyYmFnZQ=="),
            "no CA certificate in PEM",
        ),
        (kubeconfig(server, ""), "no credential"),
        (
            kubeconfig(server, "tokenFile: /nonexistent/token"),
            "/nonexistent/token",
        ),
        (kubeconfig(server, "tokenFile: /dev/null"), "empty"),
        (kubeconfig(server, "token: 'a b'"), "users[u].user.token"),
        (kubeconfig(server, "token: \"a\\nb\""), "on one line"),
        (
            kubeconfig(server, "token: \"a\\tb\""),
            "no Authorization header",
        ),
        (
            kubeconfig(server, "token: \"\\xe4\""),
            "no Authorization header",
        ),
        (
            kubeconfig(server, "tokenFile: bootstrap.conf"),
            "users[u].user.tokenFile",
        ),
        (
            kubeconfig(server, "exec: {command: /bin/true}"),
            "--allow-exec",
        ),
        (
            kubeconfig(server, "auth-provider: {name: gcp}"),
            "--allow-exec",
        ),
        (
            kubeconfig(server, token).replace("users: [", "users: [{name: u, user: {}}, "),
            "two entries named \"u\" in users",
        ),
        (
            format!("kind: Secret\n{}", kubeconfig(server, token)),
            "\"Secret\"",
        ),
        (
            kubeconfig(server, "client-certificate-data: Z2FyYmFnZQ=="),
            "cannot be read as one",
        ),
    ] {
        with_bootstrap(&contents).assert(64, &["bootstrap.conf", words]);
    }
}

/// White space that an editor, a heredoc or a block scalar leaves around a token is not part of it; all programs agree
/// on that.
#[test]
fn white_space_around_a_token_is_left_out() {
    let head = kubeconfig(&format!("server: '{NOWHERE}'"), "").replace("{}", "");
    for user in [
        format!("token: |\n      {TOKEN}\n"),
        format!("token: >\n      {TOKEN}\n"),
        format!("token: \"{TOKEN}\\n\"\n"),
        format!("token: \" {TOKEN}\\r\\n\"\n"),
    ] {
        let text = head.replace(
            "users: [{name: u, user: }]",
            &format!("users:\n- name: u\n  user:\n    {user}"),
        );
        with_bootstrap(&text).assert(75, &["gave up after 1.0s", NOWHERE]);
        with_bootstrap(&format!("\u{feff}{text}---\n[")).assert(75, &["gave up", NOWHERE]);
    }
    let machine = Machine::new(&Authority::new());
    fs::write(machine.path("token"), format!("\n{TOKEN}\n\n")).unwrap();
    let text = kubeconfig(&format!("server: '{NOWHERE}'"), "tokenFile: token");
    fs::write(machine.path("bootstrap.conf"), text).unwrap();
    let ran = Ran::of(agent_on(&machine).output().unwrap());
    ran.assert(75, &["gave up after 1.0s", NOWHERE]);
    assert!(ran.text.contains("refused"), "{}", ran.text);
}

#[test]
fn a_program_in_the_bootstrap_kubeconfig_runs_only_where_that_is_allowed() {
    let machine = Machine::new(&Authority::new());
    let ran = machine.path("ran");
    let user = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: ['{}']}}",
        ran.display()
    );
    fs::write(
        machine.path("bootstrap.conf"),
        kubeconfig(&format!("server: '{NOWHERE}'"), &user),
    )
    .unwrap();
    let path = ("PATH", "/usr/bin:/bin");
    let refused = agent_on(&machine).envs([path]).output().unwrap();
    Ran::of(refused).assert(64, &["bootstrap.conf", "exec", "--allow-exec"]);
    assert!(!ran.exists());
    agent_on(&machine)
        .envs([path])
        .arg("--allow-exec")
        .output()
        .unwrap();
    assert!(ran.exists());
}

/// A panic of a library also ends with a message. The test re-executes itself as the program that panics.
#[test]
fn a_panic_is_one_sentence_and_a_code() {
    const CHILD: &str = "ROLLCALL_TEST_PANICS";
    if let Some(format) = std::env::var_os(CHILD) {
        rollcall_node_agent::end_with_a_sentence(if format == "json" {
            LogFormat::Json
        } else {
            LogFormat::Text
        });
        panic!("se\ncret");
    }
    for (format, words) in [
        (
            "text",
            "error     this program met a defect at node-agent/tests/cli.rs:",
        ),
        ("json", "\"reason\":\"Defect\""),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "a_panic_is_one_sentence_and_a_code",
            "--nocapture",
        ]);
        command.env(CHILD, format).env_remove("RUST_BACKTRACE");
        let ran = Ran::of(command.output().unwrap());
        ran.assert(1, &[words, "please report it"]);
        assert!(
            !ran.text.contains("panicked at") && !ran.text.contains("cret"),
            "{}",
            ran.text
        );
    }
}

/// A device, a pipe or a folder at the path of the kubeconfig has another purpose, so the agent does not start.
#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let machine = Machine::new(&Authority::new());
    fs::create_dir(machine.path("folder")).unwrap();
    let path = |name: &str| machine.path(name);
    for (link, target) in [
        ("to-device", "/dev/null".into()),
        ("to-folder", path("folder")),
        ("to-nothing", path("nothing")),
    ] {
        std::os::unix::fs::symlink(target, path(link)).unwrap();
    }
    let fifo = path("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for target in [
        PathBuf::from("/dev/null"),
        path("folder"),
        path("to-device"),
        path("to-folder"),
        path("to-nothing"),
        fifo,
    ] {
        for flag in ["--kubeconfig", "--name-file"] {
            let mut command = agent();
            command
                .arg("--bootstrap-kubeconfig")
                .arg(path("bootstrap.conf"))
                .arg(flag)
                .arg(&target);
            if flag != "--kubeconfig" {
                command.arg("--kubeconfig").arg(path("etc/kubelet.conf"));
            }
            command
                .args(["--timeout", "1s", "--cert-dir"])
                .arg(path("pki"));
            Ran::of(command.output().unwrap()).assert(
                74,
                &[target.to_str().unwrap(), "no regular file", "not replaced"],
            );
        }
    }
    assert!(!path("pki").exists());
}

#[test]
fn an_expired_token_ends_at_once_and_says_when_it_expired() {
    let token = jwt(r#"{"iat":1700000000,"exp":1700003600}"#);
    let ran = with_bootstrap(&kubeconfig(
        "server: 'https://api.test'",
        &format!("token: {token}"),
    ));
    let parts = [
        "the token in",
        "bootstrap.conf",
        "expired at 2023-11-14T23:13:20Z",
        "ago",
        "make a new one",
    ];
    ran.assert(77, &parts);
    assert!(!ran.text.contains(&token));
}

#[test]
fn an_expired_client_certificate_ends_at_once() {
    let mut params = server_params();
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let (certificate, key) = Authority::new().certificate(&params);
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let user = format!(
        "client-certificate-data: {}, client-key-data: {}",
        encode(&certificate),
        encode(&key.serialize_pem())
    );
    let ran = with_bootstrap(&kubeconfig("server: 'https://api.test'", &user));
    ran.assert(
        77,
        &[
            "the client certificate in",
            "expired at 2021-01-01T00:00:00Z",
        ],
    );
}

#[test]
fn a_token_from_the_future_points_at_the_clock_and_is_tried_all_the_same() {
    let token = jwt(r#"{"nbf":4000000000}"#);
    let cluster = format!("server: '{NOWHERE}'");
    let ran = with_bootstrap(&kubeconfig(&cluster, &format!("token: {token}")));
    ran.assert(75, &["gave up after 1.0s"]);
    assert!(
        ran.text.contains("2096-10-02T07:06:40Z") && ran.text.contains("clock"),
        "{}",
        ran.text
    );
}

#[test]
fn a_client_ca_that_is_missing_or_garbage_is_named() {
    let machine = Machine::new(&Authority::new());
    let file = machine.path("client-ca.crt");
    let run = || {
        Ran::of(
            agent_on(&machine)
                .arg("--client-ca")
                .arg(&file)
                .output()
                .unwrap(),
        )
    };
    run().assert(64, &["client-ca.crt", "cannot be read"]);
    fs::write(&file, "garbage").unwrap();
    run().assert(64, &["client-ca.crt", "no CA certificate"]);
    assert!(!machine.path("pki").exists());
}

#[test]
fn an_unreachable_server_is_named_with_its_cause_and_the_next_try() {
    let ran = with_bootstrap(&bootstrap_kubeconfig(NOWHERE, &Authority::new().pem()));
    ran.assert(75, &["gave up after 1.0s (--timeout)", NOWHERE]);
    let tries: Vec<_> = ran
        .text
        .lines()
        .filter(|line| line.contains("next try in"))
        .collect();
    assert_eq!(tries.len(), 1, "once per cause:\n{}", ran.text);
    assert!(
        tries[0].contains(NOWHERE) && tries[0].contains("refused"),
        "{}",
        ran.text
    );
}

#[test]
fn a_host_name_that_nobody_knows_is_named() {
    // `.invalid` never resolves (RFC 6761 section 6.4).
    let server = "https://api.invalid:6443";
    let ran = with_bootstrap(&bootstrap_kubeconfig(server, &Authority::new().pem()));
    ran.assert(75, &[server]);
}

/// The agent's messages about a server with this certificate.
fn facing(authority: &Authority, server: &rcgen::CertificateParams, trusted: &Authority) -> Ran {
    let url = serve(
        authority,
        server,
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    );
    with_bootstrap(&bootstrap_kubeconfig(&url, &trusted.pem()))
}

#[test]
fn a_server_of_another_ca_is_told_with_the_file_of_the_ca() {
    let ran = facing(&Authority::new(), &server_params(), &Authority::new());
    ran.assert(
        75,
        &[
            "is not signed by the CA in",
            "bootstrap.conf",
            "https://127.0.0.1:",
        ],
    );
}

#[test]
fn a_server_certificate_for_other_names_is_told() {
    let authority = Authority::new();
    let mut params = server_params();
    params.subject_alt_names = vec![rcgen::SanType::DnsName("kubernetes".try_into().unwrap())];
    facing(&authority, &params, &authority).assert(75, &["is for other names"]);
}

#[test]
fn a_server_certificate_out_of_its_time_shows_both_times_and_names_the_clock() {
    let authority = Authority::new();
    let mut params = server_params();
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    facing(&authority, &params, &authority)
        .assert(75, &["expired at 2021-01-01T00:00:00Z", "clock says 20"]);
    let mut params = server_params();
    params.not_before = rcgen::date_time_ymd(2088, 1, 1);
    let parts = [
        "valid from 2088-01-01T00:00:00Z",
        "clock says 20",
        "clock is probably wrong",
    ];
    facing(&authority, &params, &authority).assert(75, &parts);
}

#[test]
fn a_trusted_server_that_fails_is_told_by_its_answer() {
    let authority = Authority::new();
    facing(&authority, &server_params(), &authority).assert(75, &["answers 503"]);
}

#[test]
fn json_lines_are_json_to_the_last_one() {
    let machine = Machine::new(&Authority::new());
    fs::write(
        machine.path("bootstrap.conf"),
        bootstrap_kubeconfig(NOWHERE, &Authority::new().pem()),
    )
    .unwrap();
    let output = agent_on(&machine)
        .args(["--log-format", "json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.last().unwrap()["reason"], "TimedOut");
    assert!(
        lines
            .iter()
            .all(|line| line["message"].is_string() && line["step"].is_string())
    );
}

#[test]
fn signals_stop_the_waiting_with_a_line_and_leave_the_key_whole() {
    for (signal, code, name) in [(Signal::TERM, 143, "SIGTERM"), (Signal::INT, 130, "SIGINT")] {
        let machine = Machine::new(&Authority::new());
        let bootstrap = bootstrap_kubeconfig(NOWHERE, &Authority::new().pem());
        fs::write(machine.path("bootstrap.conf"), bootstrap).unwrap();
        let mut command = patient_agent_on(&machine, "1h");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("next try") {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "the agent ended by itself"
            );
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(
            rest.contains(&format!("stopped by {name}")) && rest.contains(NOWHERE),
            "{rest}"
        );
        let names: Vec<PathBuf> = fs::read_dir(machine.path("pki"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(names, [machine.path("pki/kubelet-client-pending.key")]);
    }
}
