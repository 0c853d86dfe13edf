//! The readable list of findings.

use std::path::Path;

use super::findings::{Finding, Remedy};

/// Returns one line per finding, and a summary as the last line.
pub(super) fn lines(root: &Path, findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let path = root.join(&finding.path);
            let path = path.display();
            let remedy = match finding.remedy {
                Remedy::Remove => format!("rm -r {path}"),
                Remedy::Truncate => format!("truncate -s 0 {path}"),
            };
            format!("{path}: {}; remedy: {remedy}", finding.problem)
        })
        .collect();
    lines.push(match findings.len() {
        0 => format!(
            "{} holds nothing that only one machine may have",
            root.display()
        ),
        1 => "1 finding: this image must not be used for more than one machine".to_owned(),
        count => format!("{count} findings: this image must not be used for more than one machine"),
    });
    lines
}
