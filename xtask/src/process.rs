//! Runs other programs, and prints their command lines.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Prints a line for the user.
#[expect(clippy::print_stderr, reason = "progress belongs on standard error")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints a line of another program.
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

/// The target folder of cargo.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cache for slow builds, outside the work tree.
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

/// Returns a command for `cargo`, the one that runs this, in the root of the checkout.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // The outer cargo's variables about xtask would make build scripts that read them run again.
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

/// Returns the path of a cargo tool of this version, and builds the tool if it is missing. The build is not optimized: that
/// takes minutes less, and the tools run for seconds or only start other programs.
pub(crate) fn tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = cache()?.join(format!("tools/{name}-{version}"));
    let program = folder.join("bin").join(name);
    if !program.is_file() {
        say(&format!("building {name} (once; some minutes)"));
        let what = ["install", name, "--version", version, "--locked", "--debug"];
        run(cargo(&what).arg("--root").arg(&folder))?;
    }
    Ok(program)
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

/// Runs a command to its end, prints its standard output line by line, and passes each line to `look`.
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

/// Returns true if a program is installed.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .any(|folder| folder.join(program).is_file())
}

/// Formats a command as a user would type it.
pub(crate) fn shown(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    // The path of cargo is not useful.
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
