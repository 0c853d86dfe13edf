//! Where log lines go: standard error, as text or JSON, as much as `RUST_LOG` asks for.

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::LogFormat;
use crate::text::{Form, LogLines};

/// What a controller logs when `RUST_LOG` does not say. kube tells every failed call itself, at the level of errors;
/// here each is told once, by the part that made it.
pub(crate) const CONTROLLER: &str = "info,kube_client=off,hyper=warn,tower=warn";
/// What a command for people logs when `RUST_LOG` does not say: its answer is what it prints.
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
    // An error says that logging has been started already.
    started.ok();
}

/// Whether colours belong into what is written there.
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    is_coloured(
        stream.is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
    )
}

/// On a terminal only, and not where somebody has set `NO_COLOR` to anything (<https://no-color.org>).
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
