//! The output of the demo.

use std::io::IsTerminal as _;
use std::time::Duration;

use crate::join::Join;

/// Standard output, with colours on a terminal only.
pub(crate) struct Screen {
    colours: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            colours: std::io::stdout().is_terminal(),
        }
    }

    /// Prints the title of a part.
    pub(crate) fn title(&self, text: &str) {
        self.line("");
        self.line(&self.paint("1", &format!("== {text}")));
    }

    /// Prints a successful step.
    pub(crate) fn done(&self, text: &str) {
        self.line(&format!("  {} {text}", self.paint("32", "ok")));
    }

    /// Prints a note.
    pub(crate) fn note(&self, text: &str) {
        self.line(&format!("     {text}"));
    }

    /// Prints a warning.
    pub(crate) fn warn(&self, text: &str) {
        self.line(&format!("  {} {text}", self.paint("33", "!!")));
    }

    /// Prints the failure that ends the demo.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.line(&self.paint("31", "FAILED"));
        for cause in error.chain() {
            self.line(&format!("  {cause}"));
        }
    }

    /// Prints the results.
    pub(crate) fn summary(&self, joins: &[Join], elapsed: Duration) {
        let kubelets = joins.iter().filter(|join| join.has_kubelet()).count();
        self.title("Summary");
        self.done(&format!(
            "{} machines joined by themselves ({kubelets} with a real kubelet), 1 stranger did not; {:.1} s in all",
            joins.len(),
            elapsed.as_secs_f64()
        ));
    }

    #[expect(clippy::print_stdout, reason = "the demo's output is its purpose")]
    pub(crate) fn line(&self, text: &str) {
        println!("{text}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
