//! `rollcall-node-agent`: reads the command line, does it, returns the exit code of [`rollcall_node_agent::exit`].

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_node_agent::{Args, Exit, run};

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run(args).into(),
        Err(error) => {
            // A closed standard output must not turn --help into a failure.
            error.print().ok();
            if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            }
        }
    }
}
