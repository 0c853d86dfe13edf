//! Answers on standard output, complaints on standard error.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use super::table::Table;
use crate::Output;
use crate::telemetry::coloured;
use crate::text::{escaped_json, plain, steers};

/// Writes an answer in the form that was asked for.
pub(super) fn answer<T: Serialize>(
    output: Output,
    rows: &[T],
    table: impl FnOnce() -> Table,
) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => {
            let json =
                serde_json::to_string_pretty(rows).context("cannot write the answer as JSON")?;
            format!("{}\n", escaped_json(&json))
        }
        Output::Yaml => {
            let yaml = serde_saphyr::to_string(&rows).context("cannot write the answer as YAML")?;
            format!("{}\n", shown(yaml.trim_end()))
        }
        Output::Table => table().render(coloured(&std::io::stdout())),
    };
    write(text.as_bytes())
}

/// Takes out of YAML what could steer a terminal, but for its own line ends.
fn shown(yaml: &str) -> String {
    let hidden = |c: char| steers(c) && c != '\n';
    yaml.replace(hidden, "\u{fffd}")
}

/// Writes bytes to standard output.
pub(super) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut standard_output = std::io::stdout().lock();
    let written = standard_output
        .write_all(bytes)
        .and_then(|()| standard_output.flush());
    match written {
        // Whoever reads has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Tells what is wrong with a part of the input, while the rest goes on.
pub(super) fn complain(severity: &str, sentence: &str) {
    let line = format!("{severity}: {}\n", plain(sentence));
    // Nothing is left to be done when standard error is gone.
    std::io::stderr().write_all(line.as_bytes()).ok();
}
