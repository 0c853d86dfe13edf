//! The last line of the program after a panic.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use crate::clock::Clock;
use crate::console::{Console, LogFormat};
use crate::exit::Exit;

/// The stable word for a panic, like those of [`crate::AgentError::reason`].
const REASON: &str = "Defect";

/// Makes a panic end the process with one line in this format and the code of [`Exit::Failure`], with either panic
/// strategy. The panic's own text is omitted, because a library could have put a credential into it: it is printed with
/// the backtrace only, on `RUST_BACKTRACE`.
pub fn end_with_a_sentence(format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let stderr = Box::new(std::io::stderr());
        let console = Console::new(stderr, format, false, Clock::system());
        console.fail(REASON, &sentence(panic));
        end();
    }));
}

fn sentence(panic: &PanicHookInfo<'_>) -> String {
    let place = panic
        .location()
        .map(|at| format!(" at {}:{}", at.file(), at.line()))
        .unwrap_or_default();
    let trace = Backtrace::capture();
    let more = if trace.status() == BacktraceStatus::Captured {
        format!(": {}\n{trace}", panic.payload_as_str().unwrap_or("no text"))
    } else {
        String::new()
    };
    format!(
        "this program met a defect{place} and cannot go on; nothing was left half-written; please report it with this \
         line (rollcall-node-agent {}){more}",
        env!("CARGO_PKG_VERSION")
    )
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a panic that is compiled to abort has no other way to return a code"
)]
fn end() {
    std::process::exit(i32::from(Exit::Failure.code()));
}
