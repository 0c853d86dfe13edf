//! Where log lines go: standard error, as text or JSON, as much as `RUST_LOG` asks for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::LogFormat;

/// What is logged when nobody says otherwise. kube tells every failed call itself, at the level of errors; here each is
/// told once, by the part that made it.
const DEFAULT: &str = "info,kube_client=off,hyper=warn,tower=warn";

/// Starts logging. A later call changes nothing, so that tests may run in one process.
pub(crate) fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    // An error says that logging has been started already.
    started.ok();
}
