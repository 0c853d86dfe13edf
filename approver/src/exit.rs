//! Exit codes, and how a failure is told: one table for code, `--help` and docs.

use std::process::ExitCode;

use crate::ConfigError;
use crate::cli::{FlagError, InputError};

/// Bad usage, configuration or input (`EX_USAGE` of `sysexits.h`): starting again without a change is useless.
pub const USAGE: u8 = 64;
/// Any other failure.
pub const FAILURE: u8 = 1;

/// Tells how a run ended: nothing on success, else every cause on one line each.
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

/// Lets a panic, which is a defect, end with a sentence on standard error. Its text stays out: a library could have put a
/// credential into it. It comes with the backtrace that `RUST_BACKTRACE` asks for.
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

/// Runs something, and returns the code of [`FAILURE`] for a panic, of which [`tell_of_panics`] has told.
pub fn guard(run: impl FnOnce() -> ExitCode) -> ExitCode {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    outcome.unwrap_or_else(|_| ExitCode::from(FAILURE))
}

/// Tells what is wrong with a command line; `--help` and `--version` come here too and are no failure.
pub fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to be done when the terminal is gone.
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
