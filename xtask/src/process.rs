//! Runs other programs, and says which.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Says a line to the person who called.
#[expect(clippy::print_stderr, reason = "progress belongs on standard error")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Passes a line of another program on.
#[expect(
    clippy::print_stdout,
    reason = "what a test prints is passed on as it is"
)]
pub(crate) fn pass_on(line: &str) {
    println!("{line}");
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where what takes long to build is kept, outside of the work tree.
pub(crate) fn cache() -> Result<PathBuf> {
    let given = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = given("XDG_CACHE_HOME").or_else(|| given("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("rollcall"))
}

/// `cargo`, the one that runs this, in the root of the checkout.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // What the outer cargo says of xtask would make build scripts that look at it run again.
    let outer = |name: &str| {
        [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(outer) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(&format!("$ {}", shown(command)));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs a command to its end, passes its standard output on line by line, and shows each line to `look`.
pub(crate) fn run_seen(command: &mut Command, mut look: impl FnMut(&str)) -> Result<()> {
    say(&format!("$ {}", shown(command)));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let output = child
        .stdout
        .take()
        .context("the child has no standard output")?;
    for line in BufReader::new(output).lines() {
        let line = line.context("the output is not text")?;
        look(&line);
        pass_on(&line);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Whether a program can be found.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .any(|folder| folder.join(program).is_file())
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    // The path of cargo tells nobody anything.
    match parts.split_first() {
        Some((program, rest)) => {
            let name = Path::new(program.as_ref())
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            format!("{name} {}", rest.join(" "))
        }
        None => String::new(),
    }
}
