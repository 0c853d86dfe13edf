//! Machine images: `install` puts the agent into one, `image-check` finds files that must not be in one.

mod check;
mod dist;
mod findings;
mod root;

use std::io::{self, Write as _};
use std::path::Path;

pub use findings::{Finding, Remedy, find};
pub use root::{ImageError, Root};

use crate::exit::Exit;

/// Installs program, unit and configuration below `root`; prints one line per file.
pub fn install(root: &Path) -> Exit {
    report(root, |root| {
        let lines = dist::install(root)?;
        Ok((lines, Exit::Done))
    })
}

/// Lists the files below `root` that must not be in an image; prints one line per finding.
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

/// Prints the lines, or the error.
fn report(
    root: &Path,
    work: impl FnOnce(&Root) -> Result<(Vec<String>, Exit), ImageError>,
) -> Exit {
    match Root::open(root).and_then(|root| work(&root)) {
        Ok((lines, exit)) => {
            let mut out = io::stdout().lock();
            for line in lines {
                // A closed standard output is not a failure.
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
