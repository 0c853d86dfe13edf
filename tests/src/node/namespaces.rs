//! The namespaces of a node, and commands that run in them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Pid;

use crate::command::{clean_command, find_program};
use crate::process::Process;

/// The timeout for the first process to set up its mounts.
const DEADLINE: Duration = Duration::from_secs(20);

/// The interval at which that is checked. One file in our own folder is not worth an inotify watch.
const POLL: Duration = Duration::from_millis(5);

/// The kernel settings that kubelet sets for the whole machine, and their values
/// (`k8s.io/component-helpers/node/util/sysctl`, `pkg/kubelet/cm/container_manager_linux.go`). A test must not change
/// the machine it runs on, so the node sees files with the expected values.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// The script of the first process: `$1` is the node's folder. Mounts are private to it. Folders that kubelet writes to and no
/// setting moves (links to pod logs, the socket for device plugins) are on tmpfs. Then it waits to be killed, and reaps orphans
/// meanwhile.
const FIRST_PROCESS: &str = r#"
set -e
mount -t tmpfs node-log /var/log
mkdir -p /var/lib/kubelet/device-plugins
mount -t tmpfs node-plugins /var/lib/kubelet/device-plugins
cd "$1/tunables"
find . -type f | while read -r file; do mount --bind "$file" "/proc/sys/$file"; done
: > "$1/namespaces-ready"
cd /
trap : CHLD
while :; do sleep 1000000 & wait $!; done
"#;

/// A network, mount, process and host name namespace, alive as long as this value.
#[derive(Debug)]
pub(super) struct Namespaces {
    first: Process,
    id: Pid,
}

impl Namespaces {
    pub(super) fn create(directory: &Path, log: &Path) -> Result<Self> {
        for (name, value) in TUNABLES {
            let file = directory.join("tunables").join(name);
            let parent = file.parent().unwrap_or(directory);
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(&file, format!("{value}\n")))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let mut command = clean_command(&program("unshare")?);
        command.args([
            "--mount",
            "--net",
            "--uts",
            "--pid",
            "--fork",
            "--mount-proc",
        ]);
        command.args([
            "--kill-child=KILL",
            "--",
            "/bin/sh",
            "-c",
            FIRST_PROCESS,
            "node",
        ]);
        command.arg(directory);
        let mut first = Process::spawn("the node's first process", &command, log)?;
        let begin = Instant::now();
        while !directory.join("namespaces-ready").exists() {
            if first.exited().is_some() || begin.elapsed() >= DEADLINE {
                return Err(first.failure("cannot set up its namespaces"));
            }
            std::thread::sleep(POLL);
        }
        first.stand_in();
        let id = first
            .stood_for()
            .context("the node's first process has no child")?;
        Ok(Self { first, id })
    }

    /// The process id of the first process, on the host.
    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// A command that runs inside. It is a child of the started process: see [`Process::stand_in`].
    pub(super) fn command(&self, program_path: &Path) -> Result<Command> {
        let mut command = clean_command(&program("nsenter")?);
        command.arg(format!("--target={}", self.id.as_raw_nonzero()));
        command
            .args(["--mount", "--net", "--uts", "--pid", "--"])
            .arg(program_path);
        Ok(command)
    }

    /// Runs a program inside to its end.
    pub(super) fn run(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(&program(name)?)?;
        command.args(arguments);
        run(&mut command)
    }

    pub(super) fn set_host_name(&self, name: &str) -> Result<()> {
        self.run(
            "sh",
            &[
                "-c",
                "printf %s \"$1\" > /proc/sys/kernel/hostname",
                "set-host-name",
                name,
            ],
        )
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // No process in the namespaces has data to save.
        self.first.kill();
    }
}

/// Finds a program, or returns an error that names it.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    find_program(name).with_context(|| format!("{name} is not installed"))
}

/// Runs a short command to its end; an error includes its output.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let line = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .collect::<Vec<_>>();
    let line = line.join(OsStr::new(" ")).to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {line}"))?;
    if !output.status.success() {
        bail!(
            "{line} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
