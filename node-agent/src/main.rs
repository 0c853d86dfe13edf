//! `rollcall-node-agent`: parses the command line, runs it, returns an exit code of [`rollcall_node_agent::exit`].

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_node_agent::console::LogFormat;
use rollcall_node_agent::{CommandLine, Exit, end_with_a_sentence, run};

fn main() -> ExitCode {
    end_with_a_sentence(LogFormat::Text);
    match CommandLine::try_parse() {
        Ok(line) => run(line).into(),
        Err(error) => {
            // A closed standard output is not a failure of --help.
            error.print().ok();
            if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            }
        }
    }
}
