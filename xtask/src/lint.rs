//! `cargo xtask lint`: all checks that do not run the product.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{cargo, run, say, tool};

/// The version of cargo-deny that the configuration was written for.
const CARGO_DENY: &str = "0.20.2";

/// The crates that do no I/O, and those that they must not depend on, even indirectly.
const PURE: [&str; 2] = ["rollcall-csr", "rollcall-approver-core"];
const IMPURE: [&str; 9] = [
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "reqwest",
    "kube",
    "k8s-openapi",
    "rcgen",
    "tracing",
];

/// Runs every check.
pub(crate) fn run_all() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    run(cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--quiet",
        "--document-private-items",
    ])
    .env("RUSTDOCFLAGS", "-D warnings"))?;
    PURE.iter().try_for_each(|name| check_purity(name))?;
    deny()
}

/// Fails if a pure crate depends on one that does I/O, even indirectly.
fn check_purity(name: &str) -> Result<()> {
    let arguments = [
        "tree", "-p", name, "-e", "normal", "--prefix", "none", "--locked",
    ];
    let output = cargo(&arguments)
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!(
            "cargo tree -p {name} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    let reached = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let impure = |dependency: &&str| {
        IMPURE.iter().any(|impure| {
            dependency == impure
                || dependency
                    .strip_prefix(impure)
                    .is_some_and(|rest| rest.starts_with('-'))
        })
    };
    match reached.into_iter().find(impure) {
        Some(dependency) => bail!("{name} must do no I/O, and depends on {dependency}"),
        None => Ok(()),
    }
}

/// Checks licences, bans and sources, and advisories if their database is available.
fn deny() -> Result<()> {
    let program = tool("cargo-deny", CARGO_DENY)?;
    let mut check = Command::new(&program);
    check.args([
        "--workspace",
        "check",
        "-D",
        "warnings",
        "bans",
        "licenses",
        "sources",
    ]);
    run(check.current_dir(crate::process::root()))?;
    let mut advisories = Command::new(&program);
    advisories
        .args(["--workspace", "check", "advisories"])
        .current_dir(crate::process::root());
    if let Err(error) = run(&mut advisories) {
        // New advisories, or an unreachable database, must not block an unrelated change.
        say(&format!(
            "advisories are not checked, or there is news: {error:#}"
        ));
    }
    Ok(())
}
