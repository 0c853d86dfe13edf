//! Log output: to standard error, as text or JSON, at the levels of `RUST_LOG`.

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::LogFormat;
use crate::text::{Form, LogLines};

/// The default log filter of the controller, without `RUST_LOG`. kube logs every failed call itself, at the level of errors;
/// here the part that made the call logs it once.
pub(crate) const CONTROLLER: &str = "info,kube_client=off,hyper=warn,tower=warn";
/// The default log filter of other commands, without `RUST_LOG`: their output is their answer.
pub(crate) const COMMAND: &str = "warn,kube_client=off,hyper=error";

/// Starts logging. A later call changes nothing, so that tests may run in one process.
pub(crate) fn init(format: LogFormat, unless_asked: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(unless_asked));
    let coloured = coloured(&std::io::stderr());
    let form = match format {
        LogFormat::Json => Form::Json,
        LogFormat::Text => Form::Text { coloured },
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogLines::new(std::io::stderr(), form))
        .with_target(false);
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(coloured).try_init(),
    };
    // An error means that logging has been started already.
    started.ok();
}

/// Returns true if output to this stream should have colours.
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    is_coloured(
        stream.is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
    )
}

/// Only on a terminal, and not if the user has set `NO_COLOR` to any value (<https://no-color.org>).
fn is_coloured(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        assert!(is_coloured(true, None));
        assert!(is_coloured(true, Some(OsStr::new(""))));
        assert!(!is_coloured(true, Some(OsStr::new("0"))));
        assert!(!is_coloured(false, None));
    }
}
