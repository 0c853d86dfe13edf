//! Images: the installed files, the check that nothing outside is changed, and the files that must not be in one.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics fails, which is what it should do"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_node_agent::exit::Exit;

const AGENT: &str = env!("CARGO_BIN_EXE_rollcall-node-agent");

/// The maximum exposure in `systemd-analyze security`, in tenths.
const EXPOSURE: &str = "30";

/// The output and exit code of a command.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn agent(command: &str, root: &Path) -> Ran {
    let output = Command::new(AGENT)
        .args([command, "--root"])
        .arg(root)
        .env_clear()
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The tree that `install` must create, in this checkout.
fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist")
}

/// Files below a folder, relative to it, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn write(root: &Path, path: &str, contents: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn install_puts_every_file_of_dist_and_the_program_itself() {
    let root = tempfile::tempdir().unwrap();
    let ran = agent("install", root.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let program = PathBuf::from("usr/local/bin/rollcall-node-agent");
    let mut expected = files(&dist());
    expected.push(program.clone());
    expected.sort();
    assert_eq!(files(root.path()), expected);
    for path in files(&dist()) {
        let installed = root.path().join(&path);
        assert_eq!(
            fs::read(&installed).unwrap(),
            fs::read(dist().join(&path)).unwrap()
        );
        assert_eq!(mode(&installed), 0o644, "{path:?}");
        assert!(
            ran.out.contains(&installed.display().to_string()),
            "{}",
            ran.out
        );
    }
    assert_eq!(mode(&root.path().join(&program)), 0o755);
    assert_eq!(
        fs::read(root.path().join(program)).unwrap(),
        fs::read(AGENT).unwrap()
    );
    assert_eq!(agent("image-check", root.path()).code, 0);
}

#[test]
fn install_again_keeps_the_configuration_and_replaces_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let unit = "usr/lib/systemd/system/rollcall-node-agent.service";
    write(
        root.path(),
        "etc/rollcall/node-agent.env",
        "ROLLCALL_NODE_NAME=a\n",
    );
    write(root.path(), unit, "old");
    let ran = agent("install", root.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("kept"), "{}", ran.out);
    let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!(
        read("etc/rollcall/node-agent.env"),
        "ROLLCALL_NODE_NAME=a\n"
    );
    assert!(read(unit).contains("ExecStart="));
}

#[test]
fn install_never_leaves_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    // On the machine that boots this image, /usr/lib is /lib; on this machine it is elsewhere.
    fs::create_dir_all(root.path().join("lib")).unwrap();
    fs::create_dir_all(root.path().join("usr")).unwrap();
    symlink("/lib", root.path().join("usr/lib")).unwrap();
    symlink(
        format!("../../../../../..{}", outside.path().display()),
        root.path().join("etc"),
    )
    .unwrap();
    let ran = agent("install", root.path());
    assert_eq!(
        files(outside.path()),
        Vec::<PathBuf>::new(),
        "{}{}",
        ran.out,
        ran.err
    );
    // A dangling link within the image is an error that names it.
    assert_eq!(ran.code, 74, "{}", ran.err);
    assert!(ran.err.contains("etc"), "{}", ran.err);
    let unit = "lib/systemd/system/rollcall-node-agent.service";
    assert!(root.path().join(unit).exists());
}

#[test]
fn a_root_that_is_no_folder_is_a_mistake_of_the_caller() {
    for command in ["install", "image-check"] {
        let ran = agent(command, Path::new("/no/such/folder"));
        assert_eq!(ran.code, 64);
        assert!(ran.err.contains("/no/such/folder"), "{}", ran.err);
        let without = Command::new(AGENT)
            .arg(command)
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(without.status.code(), Some(64));
    }
}

#[test]
fn image_check_finds_all_that_only_one_machine_may_have() {
    let bad = [
        (
            "etc/kubernetes/bootstrap-kubelet.conf",
            "bootstrap credential",
        ),
        ("etc/kubernetes/kubelet.conf", "kubeconfig"),
        ("etc/machine-id", "machine id"),
        (
            "etc/origin/node/bootstrap.kubeconfig",
            "bootstrap credential",
        ),
        ("etc/ssh/ssh_host_ed25519_key", "SSH host key"),
        ("etc/ssh/ssh_host_ed25519_key.pub", "SSH host key"),
        ("run/cloud-init/instance-data.json", "cloud-init"),
        ("var/lib/cloud/instances/i-1/user-data.txt", "cloud-init"),
        ("var/lib/dbus/machine-id", "machine id"),
        (
            "var/lib/kubelet/pki/kubelet-client-current.pem",
            "kubelet's keys",
        ),
        ("var/lib/rollcall/identity.json", "node-agent's record"),
        ("var/lib/systemd/random-seed", "secret of systemd"),
    ];
    for (path, problem) in bad {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), path, "0123456789abcdef0123456789abcdef\n");
        let ran = agent("image-check", root.path());
        assert_eq!(ran.code, i32::from(Exit::Failure.code()), "{path}");
        let lines: Vec<_> = ran.out.lines().collect();
        assert_eq!(lines.len(), 2, "{}", ran.out);
        assert!(
            lines[0].contains(problem) && lines[0].contains("remedy: "),
            "{}",
            ran.out
        );
        // The remedy is a valid command.
        let (_, remedy) = lines[0].split_once("remedy: ").unwrap();
        assert!(
            Command::new("sh")
                .args(["-c", remedy])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(agent("image-check", root.path()).code, 0, "{remedy}");
    }
}

#[test]
fn image_check_takes_a_clean_image() {
    let root = tempfile::tempdir().unwrap();
    for (path, contents) in [
        ("etc/machine-id", ""),
        ("etc/kubernetes/kubelet.yaml", "kind: KubeletConfiguration"),
        ("etc/ssh/sshd_config", ""),
        ("var/lib/cloud/scripts/per-boot/own", ""),
    ] {
        write(root.path(), path, contents);
    }
    fs::create_dir_all(root.path().join("var/lib/dbus")).unwrap();
    symlink(
        "/etc/machine-id",
        root.path().join("var/lib/dbus/machine-id"),
    )
    .unwrap();
    let ran = agent("image-check", root.path());
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{}", ran.out);
    write(root.path(), "etc/machine-id", "uninitialized\n");
    assert_eq!(agent("image-check", root.path()).code, 0);
}

#[test]
fn the_units_are_confined() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    assert!(version.status.success());
    let all = files(&dist());
    let units: Vec<_> = all
        .iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "service")
        })
        .collect();
    assert!(!units.is_empty());
    for unit in units {
        let unit = dist().join(unit);
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE}"))
            .arg(&unit)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&security.stdout);
        assert!(security.status.success(), "{text}");
        let text = fs::read_to_string(&unit).unwrap();
        assert!(
            text.contains("ExecStart=/usr/local/bin/rollcall-node-agent"),
            "{text}"
        );
    }
}

#[test]
fn the_unit_restarts_by_exit_code() {
    let unit = dist().join("usr/lib/systemd/system/rollcall-node-agent.service");
    let text = fs::read_to_string(unit).unwrap();
    let never = format!("RestartPreventExitStatus={}\n", Exit::Usage.code());
    for line in [
        &never,
        "Restart=on-failure\n",
        "Before=kubelet.service\n",
        "RequiredBy=kubelet.service\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
