//! The configuration file while the approver runs: what it says is taken over when it changes.
//!
//! The file is read every second and its content compared. The kernel's notifications belong to an inode, and the file of
//! a ConfigMap changes by a symbolic link to its folder that is put in place of another (Kubernetes:
//! `pkg/volume/util/atomic_writer.go`), as editors and `rename` change a plain file: content is the one thing that all of
//! them change, on every file system. Reading a few kilobytes costs less than a renewal of the Lease.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tracing::{error, info};

use crate::config::{Config, ConfigError};
use crate::metrics::Metrics;

/// How often the file is read. What it says counts when it says the same twice: an editor may be half through, and half
/// a configuration may lack just the line that is strict.
const PERIOD: Duration = Duration::from_secs(1);

/// What reading the file gave: its content, or why there is none.
type Content = Result<Vec<u8>, String>;

/// The file, and how far what it says was taken over.
pub(crate) struct ConfigFile {
    path: PathBuf,
    current: Config,
    seen: Option<Content>,
    handled: Option<Content>,
    metrics: Metrics,
}

impl ConfigFile {
    /// A file of which this configuration was read.
    pub(crate) fn new(path: PathBuf, current: Config, metrics: Metrics) -> Self {
        Self {
            path,
            current,
            seen: None,
            handled: None,
            metrics,
        }
    }

    /// Waits until the file holds another valid configuration. An invalid one is told once, and changes nothing.
    pub(crate) async fn changed(&mut self) -> Config {
        loop {
            tokio::time::sleep(PERIOD).await;
            let content = read(&self.path).await;
            if let Some(config) = self.look(content) {
                return config;
            }
        }
    }

    /// Looks at what the file holds now. Returns a configuration that is to be taken over.
    fn look(&mut self, content: Content) -> Option<Config> {
        let settled = self.seen.as_ref() == Some(&content);
        if !settled {
            self.seen = Some(content);
            return None;
        }
        if self.handled.as_ref() == Some(&content) {
            return None;
        }
        let parsed = parse(&self.path, &content);
        self.handled = Some(content);
        match parsed {
            Ok(config) => self.accept(config),
            Err(error) => {
                self.metrics.config_valid.set(0);
                error!(
                    file = %self.path.display(),
                    error = one_line(&error.to_string()),
                    "the changed configuration is not valid; the one before stays in force"
                );
                None
            }
        }
    }

    fn accept(&mut self, config: Config) -> Option<Config> {
        let file = self.path.display();
        if self.metrics.config_valid.set(1) == 0 {
            info!(%file, "the configuration is valid again");
        }
        if config == self.current {
            return None;
        }
        self.current = config.clone();
        self.metrics.config_taken_over(Timestamp::now());
        Some(config)
    }
}

async fn read(path: &Path) -> Content {
    tokio::fs::read(path)
        .await
        .map_err(|error| error.to_string())
}

fn parse(path: &Path, content: &Content) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    match content {
        Ok(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Config::read(path, text),
            Err(error) => Err(unreadable(std::io::Error::other(error))),
        },
        Err(error) => Err(unreadable(std::io::Error::other(error.clone()))),
    }
}

/// An error with its excerpt of the file, on one line of the log.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
