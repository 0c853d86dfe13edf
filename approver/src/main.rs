//! `rollcall-approver`: parse the arguments, run, turn the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_approver::{Args, exit};

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => exit::report(rollcall_approver::run(args)),
        Err(error) => exit::usage(&error),
    }
}
