//! The log of the agent: one line per step on standard error, as text or JSON.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::notify::Notify;
use crate::words;

/// The format of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line: time, elapsedSeconds, level, step, message, and a reason on the last line of a failure.
    Json,
    /// Elapsed time, step and a sentence.
    #[default]
    Text,
}

/// The subject of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The kubeconfig, the API server and the bootstrap credential.
    Bootstrap,
    /// The issued certificate.
    Certificate,
    /// The result.
    Done,
    /// The evidence in the request.
    Evidence,
    /// The identity installed before.
    Identity,
    /// The installed files.
    Install,
    /// The private key.
    Key,
    /// The request object.
    Request,
    /// The event that the agent waits for.
    Waiting,
}

impl Topic {
    /// The word at the start of the line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Certificate => "cert",
            Self::Done => "done",
            Self::Evidence => "evidence",
            Self::Identity => "identity",
            Self::Install => "install",
            Self::Key => "key",
            Self::Request => "request",
            Self::Waiting => "waiting",
        }
    }
}

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The agent failed.
    Error,
    /// Normal operation.
    Info,
    /// The agent continues, but an administrator may have to act.
    Warning,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }

    /// The escape sequence for the colour of the first word (ECMA-48, SGR).
    fn colour(self) -> &'static str {
        match self {
            Self::Error => "\x1b[31m",
            Self::Info => "\x1b[32m",
            Self::Warning => "\x1b[33m",
        }
    }
}

/// The destination of the lines.
pub struct Console {
    start: Instant,
    clock: Clock,
    format: LogFormat,
    colours: bool,
    sink: Mutex<Box<dyn Write + Send>>,
    waiting_for: Mutex<String>,
    notify: Option<Notify>,
}

impl Console {
    /// Creates a console that writes to `sink`; elapsed time starts now.
    pub fn new(
        sink: Box<dyn Write + Send>,
        format: LogFormat,
        colours: bool,
        clock: Clock,
    ) -> Self {
        Self {
            start: Instant::now(),
            clock,
            format,
            colours,
            sink: Mutex::new(sink),
            waiting_for: Mutex::new("the start".to_owned()),
            notify: None,
        }
    }

    /// Also sends every line to the service manager, if there is one.
    #[must_use]
    pub fn with_service_manager(mut self) -> Self {
        self.notify = Notify::from_environment();
        self
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Writes a line about normal operation.
    pub fn say(&self, topic: Topic, message: &str) {
        self.line(topic.as_str(), Level::Info, None, message);
    }

    /// Writes a warning; the agent continues.
    pub fn warn(&self, topic: Topic, message: &str) {
        self.line(topic.as_str(), Level::Warning, None, message);
    }

    /// Writes the last line of a failed run, with its stable one-word reason.
    pub fn fail(&self, reason: &str, message: &str) {
        self.line("error", Level::Error, Some(reason), message);
    }

    /// Remembers the current wait, for the line that a timeout or a signal writes.
    pub fn wait_for(&self, what: &str) {
        if let Ok(mut waiting_for) = self.waiting_for.lock() {
            what.clone_into(&mut waiting_for);
        }
    }

    /// Returns the current wait.
    pub fn waiting_for(&self) -> String {
        self.waiting_for
            .lock()
            .map(|what| what.clone())
            .unwrap_or_default()
    }

    fn line(&self, word: &str, level: Level, reason: Option<&str>, message: &str) {
        let elapsed = self.elapsed();
        let message = words::printable(message);
        let line = match self.format {
            LogFormat::Json => self.json(word, level, reason, &message, elapsed),
            LogFormat::Text if self.colours => {
                format!(
                    "[{:5.1}s] {}{word:<9}\x1b[0m {message}\n",
                    elapsed.as_secs_f64(),
                    level.colour()
                )
            }
            LogFormat::Text => format!("[{:5.1}s] {word:<9} {message}\n", elapsed.as_secs_f64()),
        };
        if let Some(notify) = &self.notify {
            notify.status(&format!("{word}: {message}"));
            if word == Topic::Done.as_str() {
                notify.ready();
            }
        }
        // A closed standard error must not stop a machine from joining.
        if let Ok(mut sink) = self.sink.lock() {
            sink.write_all(line.as_bytes())
                .and_then(|()| sink.flush())
                .ok();
        }
    }

    fn json(
        &self,
        word: &str,
        level: Level,
        reason: Option<&str>,
        message: &str,
        elapsed: Duration,
    ) -> String {
        let mut line = serde_json::json!({
            "time": words::moment(self.clock.now()),
            "elapsedSeconds": elapsed.as_secs_f64(),
            "level": level.as_str(),
            "step": word,
            "message": message,
        });
        if let (Some(reason), Some(fields)) = (reason, line.as_object_mut()) {
            fields.insert("reason".to_owned(), reason.into());
        }
        format!("{line}\n")
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, colours: bool, speak: impl Fn(&Console)) -> String {
        let sink = Sink::default();
        let clock = Clock::fixed("2026-01-02T03:04:05Z".parse().unwrap());
        speak(&Console::new(
            Box::new(sink.clone()),
            format,
            colours,
            clock,
        ));
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_lines_carry_time_step_and_sentence() {
        let line = written(LogFormat::Text, false, |console| {
            console.say(Topic::Request, "submitted\nas x")
        });
        assert!(
            line.starts_with("[  0.") && line.ends_with("s] request   submitted as x\n"),
            "{line:?}"
        );
    }

    #[test]
    fn colours_only_on_demand() {
        let plain = written(LogFormat::Text, false, |console| {
            console.warn(Topic::Key, "x")
        });
        let coloured = written(LogFormat::Text, true, |console| {
            console.warn(Topic::Key, "x")
        });
        assert!(
            !plain.contains('\x1b') && coloured.contains("\x1b[33mkey"),
            "{plain:?} {coloured:?}"
        );
    }

    #[test]
    fn json_lines_carry_the_reason_of_a_failure() {
        let line = written(LogFormat::Json, false, |console| {
            console.fail("Denied", "no")
        });
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "2026-01-02T03:04:05Z");
        assert_eq!(
            (&value["level"], &value["reason"], &value["message"]),
            (&"error".into(), &"Denied".into(), &"no".into())
        );
    }
}
