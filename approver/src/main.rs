//! `rollcall-approver`: parse the arguments, run, turn the outcome into an exit code.

use std::process::ExitCode;

use rollcall_approver::{Args, exit};

fn main() -> ExitCode {
    exit::tell_of_panics();
    let arguments: Vec<_> = std::env::args_os().collect();
    exit::guard(|| match Args::from_command_line(&arguments) {
        Ok(args) => exit::report(rollcall_approver::run(args)),
        Err(error) => exit::usage(&error),
    })
}
