//! `cargo xtask fuzz`: runs each fuzz target for a while, seeded with the checked-in inputs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{root, run as run_command, say, shown, tool};

/// The version of cargo-fuzz that the targets were written for.
const CARGO_FUZZ: &str = "0.13.2";

/// The number of targets that run in parallel: each keeps one processor busy.
const AT_ONE_TIME: usize = 2;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
struct Target {
    name: &'static str,
    /// The folder of the seed inputs; read-only.
    seeds: &'static str,
    /// The longest input, in bytes.
    max_len: u32,
}

const TARGETS: [Target; 5] = [
    Target {
        name: "csr_der",
        seeds: "tests/cases/csr",
        max_len: 4096,
    },
    Target {
        name: "csr_pem",
        seeds: "tests/cases/csr",
        max_len: 20_000,
    },
    Target {
        name: "decide",
        seeds: "fuzz/seeds/decide",
        max_len: 1024,
    },
    Target {
        name: "dump_yaml",
        seeds: "fuzz/seeds/dump_yaml",
        max_len: 512,
    },
    Target {
        name: "evidence",
        seeds: "fuzz/seeds/evidence",
        max_len: 4096,
    },
];

/// Runs every target for this many seconds.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let fuzz = Fuzz {
        program: tool("cargo-fuzz", CARGO_FUZZ)?,
        nightly: has_nightly(),
    };
    say(if fuzz.nightly {
        "fuzzing with the nightly toolchain"
    } else {
        "there is no nightly toolchain here; fuzzing with this one and RUSTC_BOOTSTRAP=1"
    });
    run_command(&mut fuzz.command(&["build"]))?;
    let mut failed = Vec::new();
    for together in TARGETS.chunks(AT_ONE_TIME) {
        let running = together
            .iter()
            .map(|target| fuzz.start(*target, seconds))
            .collect::<Result<Vec<_>>>()?;
        for run in running {
            let name = run.target.name;
            if !run.finish()? {
                failed.push(name);
            }
        }
    }
    ensure!(failed.is_empty(), "fuzzing failed: {}", failed.join(", "));
    Ok(())
}

fn has_nightly() -> bool {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--version"]);
    rustc.output().is_ok_and(|output| output.status.success())
}

/// The command line of cargo-fuzz.
struct Fuzz {
    program: PathBuf,
    nightly: bool,
}

impl Fuzz {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            // The workspace has no unsafe code, and without a sanitizer many more inputs are tried.
            .args(["--sanitizer", "none"])
            .current_dir(root().join("fuzz"))
            // The calling cargo is from another toolchain.
            .env_remove("CARGO");
        if self.nightly {
            command.env("RUSTUP_TOOLCHAIN", "nightly");
        } else {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    fn start(&self, target: Target, seconds: u32) -> Result<Running> {
        let Target {
            name,
            seeds,
            max_len,
        } = target;
        // New inputs go to the first folder; the second is read-only.
        let corpus = root().join("fuzz/corpus").join(name);
        let artifacts = root().join("fuzz/artifacts").join(name);
        for folder in [&corpus, &artifacts] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let log = artifacts.with_extension("log");
        let output =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = self.command(&["run", name]);
        command
            .arg(&corpus)
            .arg(root().join(seeds))
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={max_len}"))
            .stdout(output.try_clone()?)
            .stderr(output);
        say(&format!("$ {}", shown(&command)));
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok(Running {
            target,
            child,
            log,
            artifacts,
        })
    }
}

/// A running target.
struct Running {
    target: Target,
    child: std::process::Child,
    log: PathBuf,
    artifacts: PathBuf,
}

impl Running {
    /// Waits for the end, and prints the result. Returns true on success.
    fn finish(mut self) -> Result<bool> {
        let status = self.child.wait()?;
        let log = std::fs::read(&self.log)
            .with_context(|| format!("cannot read {}", self.log.display()))?;
        // A crash prints the input, which may be arbitrary bytes.
        let log = String::from_utf8_lossy(&log);
        let name = self.target.name;
        if status.success() {
            let Some(done) = log.lines().rev().find(|line| line.starts_with("Done ")) else {
                bail!("{name} ended without a word; see {}", self.log.display());
            };
            say(&format!("{name}: {done}"));
            return Ok(true);
        }
        self.complain(status, &log);
        Ok(false)
    }

    fn complain(&self, status: ExitStatus, log: &str) {
        let name = self.target.name;
        for line in tail(log) {
            say(line);
        }
        say(&format!(
            "{name} ended with {status}; all it said is in {}",
            self.log.display()
        ));
        for input in inputs(&self.artifacts) {
            say(&format!("{name}: the input is kept in {}", input.display()));
        }
    }
}

/// The last lines of a log.
fn tail(log: &str) -> Vec<&str> {
    /// Enough for a panic and libFuzzer's own output.
    const LINES: usize = 40;
    let lines: Vec<&str> = log.lines().collect();
    lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .to_vec()
}

/// Returns the inputs of all failures, including earlier ones.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_target_is_run() {
        let files = std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
        let files: BTreeSet<String> = files
            .map(|file| file.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let known: BTreeSet<String> = TARGETS
            .iter()
            .map(|target| target.name.to_owned())
            .collect();
        assert_eq!(files, known);
        for target in TARGETS {
            assert!(root().join(target.seeds).is_dir(), "{}", target.seeds);
        }
    }
}
