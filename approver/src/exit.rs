//! Exit codes and the output of failures: one table for code, `--help` and docs.

use std::process::ExitCode;

use crate::ConfigError;
use crate::cli::{FlagError, InputError};

/// Invalid usage, configuration or input (`EX_USAGE` of `sysexits.h`): a restart without a change is useless.
pub const USAGE: u8 = 64;
/// Any other failure.
pub const FAILURE: u8 = 1;

/// Prints the result of a run: nothing on success, else every cause on one line each.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    for (depth, cause) in error.chain().enumerate() {
        let prefix = if depth == 0 { "error: " } else { "  because: " };
        print(&format!("{prefix}{cause}"));
    }
    let bad_usage = error.chain().any(|cause| {
        cause.is::<ConfigError>() || cause.is::<FlagError>() || cause.is::<InputError>()
    });
    ExitCode::from(if bad_usage { USAGE } else { FAILURE })
}

/// Makes a panic, which is a defect, print one sentence on standard error. Its message is left out: a library could have put
/// a credential into it. The backtrace follows if `RUST_BACKTRACE` is set.
pub fn tell_of_panics() {
    let with_text = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(|at| format!(" at {}:{}", at.file(), at.line()))
            .unwrap_or_default();
        print(&format!(
            "error: this program met a defect{place} and cannot go on; please report it with this line \
             (rollcall-approver {})",
            env!("CARGO_PKG_VERSION")
        ));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
            with_text(panic);
        }
    }));
}

/// Runs something, and returns the code of [`FAILURE`] for a panic, which [`tell_of_panics`] has printed.
pub fn guard(run: impl FnOnce() -> ExitCode) -> ExitCode {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    outcome.unwrap_or_else(|_| ExitCode::from(FAILURE))
}

/// Prints what is wrong with a command line; `--help` and `--version` also come here and are not failures.
pub fn usage(error: &clap::Error) -> ExitCode {
    // If the terminal is gone, nothing more can be done.
    error.print().ok();
    if error.use_stderr() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the last words of a command belong on standard error"
)]
fn print(line: &str) {
    eprintln!("{line}");
}
