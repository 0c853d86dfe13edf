//! `user-data`: the outputs that are checked in, byte for byte, and what they mean to cloud-init.
//!
//! Run with `ROLLCALL_GOLDEN=write` to write them anew.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

#[path = "user_data/cloud_init.rs"]
mod cloud_init;
#[path = "user_data/golden.rs"]
mod golden;
#[path = "user_data/meaning.rs"]
mod meaning;
#[path = "user_data/published_recipe.rs"]
mod published_recipe;
#[path = "user_data/refusals.rs"]
mod refusals;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the outputs that are checked in are.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init/golden")
}

/// What they are made of.
fn inputs() -> PathBuf {
    golden().join("inputs")
}

/// Runs `user-data` where the inputs are, with the bootstrap kubeconfig there.
fn user_data(arguments: &[&str]) -> Output {
    run(&[
        &["--bootstrap-kubeconfig", "bootstrap.kubeconfig"],
        arguments,
    ]
    .concat())
}

/// Runs `user-data` where the inputs are.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall-approver"))
        .arg("user-data")
        .args(arguments)
        .current_dir(inputs())
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What it answers; it must succeed.
fn answer(arguments: &[&str]) -> Vec<u8> {
    let done = user_data(arguments);
    assert!(
        done.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    done.stdout
}

/// What it answers, as text.
fn text(arguments: &[&str]) -> String {
    String::from_utf8(answer(arguments)).unwrap()
}

/// What it says on standard error.
fn complaints(arguments: &[&str]) -> String {
    String::from_utf8(user_data(arguments).stderr).unwrap()
}
