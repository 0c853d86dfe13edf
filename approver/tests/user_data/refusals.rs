//! Bad input ends with exit code 64, names flag and field, gives no answer, and shows no secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{answer, complaints, inputs, run, user_data};

/// Asserts that these flags are refused with all these words.
#[track_caller]
fn assert_refused(arguments: &[&str], words: &[&str]) {
    let done = run(arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(64), "{arguments:?}: {said}");
    assert!(done.stdout.is_empty(), "{arguments:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("0123456789abcdef"), "{said}");
}

/// As above, with a sound bootstrap kubeconfig.
#[track_caller]
fn assert_flag_refused(arguments: &[&str], words: &[&str]) {
    let sound = ["--bootstrap-kubeconfig", "bootstrap.kubeconfig"];
    assert_refused(&[&sound, arguments].concat(), words);
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_bootstrap_kubeconfig_that_no_machine_should_have_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let ca = inputs().join("ca.crt").display().to_string();
    let sound = fs::read_to_string(inputs().join("bootstrap.kubeconfig")).unwrap();
    let sound = sound.replace(
        "certificate-authority: ca.crt",
        &format!("certificate-authority: {ca}"),
    );
    let cases = [
        (
            "current-context: bootstrap",
            "current-context: ''",
            "has no current-context",
        ),
        (
            "https://api",
            "http://api",
            "clusters[example].cluster.server",
        ),
        (
            "    server:",
            "    insecure-skip-tls-verify: true\n    server:",
            "clusters[example].cluster.insecure-skip-tls-verify",
        ),
        (
            "certificate-authority: ",
            "tls-server-name: ",
            "clusters[example].cluster.certificate-authority-data",
        ),
        (
            "    server:",
            "    proxy-url: http://proxy:3128\n    server:",
            "clusters[example].cluster.proxy-url",
        ),
        (
            "token: abcdef.0123456789abcdef",
            "token: \"abcdef.0123 56789abcdef\"",
            "users[bootstrap].user.token",
        ),
        (
            "token: abcdef.0123456789abcdef",
            "exec: {command: x}",
            "users[bootstrap].user.exec",
        ),
        (
            "token: abcdef.0123456789abcdef",
            "token: [abcdef.0123456789abcdef]",
            "line 11",
        ),
    ];
    for (old, new, words) in cases {
        let text = sound.replacen(old, new, 1);
        assert_ne!(text, sound, "{old}");
        let path = write(folder.path(), "kubeconfig", &text);
        let flags = ["--bootstrap-kubeconfig", &path];
        assert_refused(&flags, &["error: --bootstrap-kubeconfig ", &path, words]);
    }
    assert_refused(
        &["--bootstrap-kubeconfig", "nowhere"],
        &["nowhere", "cannot be read"],
    );
    assert_refused(&[], &["--bootstrap-kubeconfig"]);
}

/// Flags, and words of the refusal.
type Case<'a> = (&'a [&'a str], &'a [&'a str]);

#[track_caller]
fn assert_all_refused(cases: &[Case<'_>]) {
    for (flags, words) in cases {
        assert_flag_refused(flags, words);
    }
}

#[test]
fn files_that_are_not_what_their_flag_is_for_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name, content| write(folder.path(), name, content);
    let empty_auths = file("auths.json", "{\"auths\": {}}");
    let list = file("list.yaml", "kind: List\n");
    let unit = file("own.service", "ExecStart=/bin/true\n");
    let agent = file("rollcall-node-agent.service", "[Service]\n");
    let unknown = file("unknown", "runcmd: []\n");
    let broken = file("broken", "#cloud-config\nruncmd: [\n");
    let compressed = folder.path().join("compressed");
    fs::write(&compressed, answer(&["--gzip"])).unwrap();
    let compressed = compressed.display().to_string();
    assert_all_refused(&[
        (
            &["--ca=registry.json"],
            &["--ca registry.json", "no PEM block CERTIFICATE"],
        ),
        (&["--kubelet-client-ca=motd"], &["--kubelet-client-ca motd"]),
        (
            &["--registry-credentials=motd"],
            &["--registry-credentials motd", "not JSON"],
        ),
        (
            &["--registry-credentials", &empty_auths],
            &["auths: names no registry"],
        ),
        (
            &["--kubelet-config", &list],
            &["--kubelet-config", "kind: is not KubeletConfiguration"],
        ),
        (&["--join-key=motd"], &["--join-key motd", "private key"]),
        (
            &["--file=/etc/motd=nowhere"],
            &["--file nowhere", "cannot be read"],
        ),
        (&["--unit=motd"], &["--unit motd", "name of a unit"]),
        (&["--unit", &unit], &["--unit", "no section"]),
        (&["--unit", &agent], &["--unit", "image brings"]),
        (&["--merge", &unknown], &["--merge", "#cloud-config"]),
        (&["--merge", &broken], &["--merge", "line "]),
        (&["--merge=nowhere"], &["--merge nowhere"]),
        (&["--merge", &compressed], &["--merge", "compressed"]),
    ]);
}

#[test]
fn flags_that_do_not_hold_are_refused_by_name() {
    assert_all_refused(&[
        (
            &[
                "--flavour=openshift311",
                "--kubelet-config=kubelet-config.yaml",
            ],
            &["--kubelet-config", "--node-config-name"],
        ),
        (
            &["--node-config-name=node-config-compute"],
            &["--node-config-name", "openshift311"],
        ),
        (
            &["--flavour=openshift311", "--node-config-name=a b"],
            &["--node-config-name", "\"a b\""],
        ),
        (
            &["--node-service=kubelet"],
            &["--node-service", "kubelet.service"],
        ),
        (&["--agent-flag=timeout"], &["--agent-flag", "NAME=VALUE"]),
        (&["--agent-flag=--timeout=1m"], &["--agent-flag", "dashes"]),
        (
            &["--agent-flag=cert-dir=/x"],
            &["--agent-flag", "cert-dir follows from --flavour"],
        ),
        (
            &["--agent-flag=timeout=1m", "--agent-flag=timeout=2m"],
            &["timeout is given twice"],
        ),
        (&["--node-name-from="], &["--node-name-from", "empty"]),
        (&["--file=/etc/motd"], &["--file", "PATH[:MODE]=FILE"]),
        (&["--file=etc/motd=motd"], &["--file", "absolute"]),
        (&["--file=/etc/../motd=motd"], &["--file", "absolute"]),
        (&["--file=/etc/motd:rw=motd"], &["--file", "octal"]),
        (
            &["--file=/etc/motd=motd", "--file=/etc/motd=motd"],
            &["--file", "/etc/motd is written already"],
        ),
        (
            &["--file=/etc/rollcall/node-agent.env=motd"],
            &["written already"],
        ),
        (&["--name=x"], &["--name", "launch-template"]),
        (&["--force"], &["--to"]),
        (&["--flavour=talos"], &["talos", "openshift311"]),
    ]);
}

#[test]
fn a_file_is_private_and_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user-data");
    let to = path.display().to_string();
    let done = user_data(&["--to", &to]);
    assert!(done.status.success() && done.stdout.is_empty());
    assert_eq!(fs::read(&path).unwrap(), answer(&[]));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    fs::write(&path, "mine").unwrap();
    assert_flag_refused(&["--to", &to], &["--to", &to, "--force"]);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert!(user_data(&["--to", &to, "--force"]).status.success());
    assert_eq!(fs::read(&path).unwrap(), answer(&[]));
    assert_flag_refused(
        &["--to", "/nonexistent/folder/file"],
        &["--to", "cannot be written there"],
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_ec2_would_not_take_is_told_and_compression_helps() {
    let folder = tempfile::tempdir().unwrap();
    let big = write(folder.path(), "big", &"0123456789".repeat(2000));
    let flag = format!("--file=/etc/big={big}");
    let said = complaints(&[&flag]);
    assert!(
        said.contains("EC2 takes no more than 16384; use --gzip"),
        "{said}"
    );
    let said = complaints(&[&flag, "--gzip"]);
    assert!(!said.contains("EC2"), "{said}");
}

#[test]
fn what_works_but_is_hardly_meant_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    let path = write(folder.path(), "kubelet.yaml", config);
    let said = complaints(&["--kubelet-config", &path]);
    assert!(said.contains("rotateCertificates is not true"), "{said}");
    let said = complaints(&["--agent-flag=time-out=3m"]);
    assert!(said.contains("no flag --time-out"), "{said}");
    let own = "#cloud-config\nwrite_files:\n- path: /etc/kubernetes/pki/ca.crt\n  content: x\n";
    let own = write(folder.path(), "own.yaml", own);
    let said = complaints(&["--merge", &own]);
    assert!(
        said.contains("own.yaml writes /etc/kubernetes/pki/ca.crt too"),
        "{said}"
    );
}

#[test]
fn the_kubeconfig_may_come_from_standard_input() {
    let text = fs::read_to_string(inputs().join("bootstrap.kubeconfig")).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall-approver"))
        .args(["user-data", "--bootstrap-kubeconfig", "-"])
        .current_dir(inputs())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.stdout, answer(&[]));
}
