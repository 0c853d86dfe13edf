//! A machine's serial console: the output of its kernel, cloud-init and node-agent.

use std::path::PathBuf;

use crate::process;

/// The number of lines in an error.
const LINES: usize = 40;

/// The console of one boot.
#[derive(Debug)]
pub struct Console {
    file: PathBuf,
}

impl Console {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// The last lines.
    pub fn end(&self) -> String {
        process::tail(&self.file, LINES)
    }

    /// The first line with all these texts, if there is one.
    pub fn find(&self, texts: &[&str]) -> Option<String> {
        let all = self.text();
        all.lines()
            .find(|line| texts.iter().all(|text| line.contains(text)))
            .map(str::to_owned)
    }
}
