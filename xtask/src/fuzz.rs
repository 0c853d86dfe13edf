//! `cargo xtask fuzz`: each fuzz target for a while, seeded with the inputs that are checked in for it.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::{cache, cargo, root, run as run_command, say};

/// The version of cargo-fuzz that the targets were written for.
const CARGO_FUZZ: &str = "0.13.2";

/// Runs every target for so many seconds.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let folder = cache()?.join(format!("tools/cargo-fuzz-{CARGO_FUZZ}"));
    let program = folder.join("bin/cargo-fuzz");
    if !program.is_file() {
        say("building cargo-fuzz (once; some minutes)");
        let version = [
            "install",
            "cargo-fuzz",
            "--version",
            CARGO_FUZZ,
            "--locked",
            "--root",
        ];
        run_command(cargo(&version).arg(&folder))?;
    }
    let targets = root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&targets)
        .with_context(|| format!("cannot list {}", targets.display()))?;
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        // New inputs go to the first folder; the second is only read.
        let own_seeds = root().join("fuzz/seeds").join(name);
        let seeds = if own_seeds.is_dir() {
            own_seeds
        } else {
            root().join("tests/cases/csr")
        };
        let corpus = root().join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&corpus)
            .with_context(|| format!("cannot create {}", corpus.display()))?;
        let mut fuzz = Command::new(&program);
        fuzz.env("RUSTUP_TOOLCHAIN", "nightly")
            .current_dir(root().join("fuzz"));
        fuzz.args(["run", name]).arg(&corpus).arg(&seeds);
        run_command(fuzz.args([
            "--",
            &format!("-max_total_time={seconds}"),
            "-max_len=20000",
        ]))?;
    }
    Ok(())
}
