//! `rollcall-node-agent`: reads the command line, does it, returns the exit code of [`rollcall_node_agent::exit`].

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_node_agent::console::LogFormat;
use rollcall_node_agent::{CommandLine, Exit, end_with_a_sentence, run};

fn main() -> ExitCode {
    end_with_a_sentence(LogFormat::Text);
    match CommandLine::try_parse() {
        Ok(line) => run(line).into(),
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
