//! Images of machines: what `install` puts into one, and what `image-check` must not find in one.

mod check;
mod dist;
mod findings;
mod root;

use std::io::{self, Write as _};
use std::path::Path;

pub use findings::{Finding, Remedy, find};
pub use root::{ImageError, Root};

use crate::exit::Exit;

/// Puts program, unit and configuration below `root`, one line on standard output for each file.
pub fn install(root: &Path) -> Exit {
    report(root, |root| {
        let lines = dist::install(root)?;
        Ok((lines, Exit::Done))
    })
}

/// Lists what must not be below `root`, one line on standard output for each finding.
pub fn check(root: &Path) -> Exit {
    report(root, |root| {
        let findings = find(root)?;
        let exit = if findings.is_empty() {
            Exit::Done
        } else {
            Exit::Failure
        };
        Ok((check::lines(root.path(), &findings), exit))
    })
}

/// Prints the lines, or the reason why there are none.
fn report(
    root: &Path,
    work: impl FnOnce(&Root) -> Result<(Vec<String>, Exit), ImageError>,
) -> Exit {
    match Root::open(root).and_then(|root| work(&root)) {
        Ok((lines, exit)) => {
            let mut out = io::stdout().lock();
            for line in lines {
                // A closed standard output must not turn what was done into a failure.
                writeln!(out, "{line}").ok();
            }
            exit
        }
        Err(error) => {
            writeln!(io::stderr(), "error: {error}").ok();
            error.exit()
        }
    }
}
