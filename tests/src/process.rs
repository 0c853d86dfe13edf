//! A child process: its log file, its readiness, and its end in every case.
//!
//! Three things can end a run: `stop`, a panic (then `Drop` stops it), and the death of this process. The kernel's
//! parent-death signal covers the last one. That signal is tied to the *thread* that started the child, so a single
//! thread that lives as long as the process starts all children.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::find_program;

/// The time that a process gets to end by itself before it is killed. kube-apiserver waits for open watches for up to a
/// minute (`--request-timeout`), and no data here is worth keeping.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The interval at which an ending process is checked. `waitpid` has no timeout, so it is polled.
const POLL: Duration = Duration::from_millis(10);

/// The maximum length of a log excerpt in an error, in bytes.
const TAIL_BYTES: u64 = 16 * 1024;

/// The number of log lines in an error.
pub(crate) const TAIL_LINES: usize = 20;

/// If set, a test that panics prints the end of each program's log to standard error.
const LOGS_VARIABLE: &str = "ROLLCALL_LOGS";

/// A running program that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
    stands_in: bool,
}

impl Process {
    /// Starts `command`, with both outputs appended to `log`, in a process group of its own: Ctrl-C in a terminal
    /// reaches this process only, which then stops the others in order.
    pub(crate) fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open the log file {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("cannot share the log file {}", log.display()))?;
        let mut command = end_with_parent(command);
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let program = command.get_program().to_owned();
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("cannot start {name} ({})", program.to_string_lossy()))?;
        tracing::debug!(name, pid = child.id(), "started");
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            status: None,
            stands_in: false,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns the exit status if the process has ended; it is then also reaped.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Returns an error with the program's name, its exit status and the last lines of its log.
    pub(crate) fn failure(&mut self, what: &str) -> anyhow::Error {
        let state = self
            .exited()
            .map_or_else(|| "still running".to_owned(), |status| status.to_string());
        let tail = tail(&self.log, TAIL_LINES);
        anyhow!(
            "{} {what} ({state}); the last lines of its log {}:\n{tail}",
            self.name,
            self.log.display()
        )
    }

    /// The name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes the end of the log to standard error if this thread panics and [`LOGS_VARIABLE`] is set.
    pub(crate) fn show_log_if_panicking(&self) {
        if std::thread::panicking() && std::env::var_os(LOGS_VARIABLE).is_some() {
            let tail = tail(&self.log, TAIL_LINES);
            // A closed standard error is ignored.
            drop(writeln!(
                std::io::stderr(),
                "--- {} ({}):\n{tail}",
                self.name,
                self.log.display()
            ));
        }
    }

    /// Sends the process a signal to end; does not wait.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Ends the process at once, and reaps it.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
    }

    /// Asks the process to end, kills it after [`GRACE`], and reaps it.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let deadline = deadline(GRACE);
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                tracing::debug!(name = self.name, "did not end in time and is killed");
                return self.kill();
            }
            std::thread::sleep(POLL);
        }
    }

    /// Pauses the process, as when its machine freezes.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        if self.exited().is_some() {
            return;
        }
        let target = self.target();
        if let Err(error) = kill_process(target, signal) {
            tracing::warn!(name = self.name, %error, "cannot signal");
        }
    }

    /// Marks this process as one that only waits for its one child, as `nsenter` and `unshare` do when they enter a
    /// process namespace, and forwards no signal: signals go to the child then.
    pub(crate) fn stand_in(&mut self) {
        self.stands_in = true;
    }

    /// The child that this process waits for.
    pub(crate) fn stood_for(&self) -> Option<Pid> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        let child = children.split_whitespace().next()?.parse().ok()?;
        Pid::from_raw(child)
    }

    /// The process to signal. It is not reaped yet, so its id cannot be reused.
    fn target(&self) -> Pid {
        let child = if self.stands_in {
            self.stood_for()
        } else {
            None
        };
        child.unwrap_or_else(|| Pid::from_child(&self.child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stops several processes in parallel, so that their grace periods overlap.
pub(crate) fn stop_all<'p>(processes: impl IntoIterator<Item = &'p mut Process>) {
    let mut processes: Vec<_> = processes.into_iter().collect();
    for process in &mut processes {
        process.terminate();
    }
    let deadline = deadline(GRACE);
    while Instant::now() < deadline
        && processes
            .iter_mut()
            .any(|process| process.exited().is_none())
    {
        std::thread::sleep(POLL);
    }
    for process in processes {
        process.kill();
    }
}

fn deadline(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or(now)
}

/// Returns the last `lines` lines of a file, or an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let skipped = text.lines().count().saturating_sub(lines);
        Ok(text.lines().skip(skipped).collect::<Vec<_>>().join("\n"))
    };
    read().unwrap_or_else(|error| format!("(cannot read {}: {error})", path.display()))
}

/// Wraps the command in `setpriv --pdeathsig` (util-linux) so that it dies with this process. Without that tool the
/// command runs unwrapped, and only survives a kill -9 of this process.
fn end_with_parent(command: &Command) -> Command {
    let mut wrapped = find_program("setpriv").map_or_else(
        || Command::new(command.get_program()),
        |setpriv| {
            let mut wrapped = Command::new(setpriv);
            wrapped
                .args(["--pdeathsig", "KILL", "--"])
                .arg(command.get_program());
            wrapped
        },
    );
    wrapped.args(command.get_args()).env_clear();
    wrapped.envs(
        command
            .get_envs()
            .filter_map(|(key, value)| value.map(|value| (key, value))),
    );
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

type Job = (Command, Sender<std::io::Result<Child>>);

/// Spawns a command from a thread that lives as long as the process.
fn spawn_from_lasting_thread(command: Command) -> Result<Child> {
    static JOBS: OnceLock<Mutex<Option<Sender<Job>>>> = OnceLock::new();
    let (answer, answered) = channel();
    {
        let mut jobs = JOBS
            .get_or_init(|| Mutex::new(None))
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let sender = match jobs.take() {
            Some(sender) => sender,
            None => start_thread()?,
        };
        sender
            .send((command, answer))
            .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
        *jobs = Some(sender);
    }
    Ok(answered
        .recv()
        .context("the thread that starts processes gave no answer")??)
}

fn start_thread() -> Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    std::thread::Builder::new()
        .name("rollcall-spawner".to_owned())
        .spawn(move || {
            for (mut command, answer) in jobs {
                // A dropped receiver needs no answer; its child is dropped unreaped.
                drop(answer.send(command.spawn()));
            }
        })
        .context("cannot start the thread that starts processes")?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::clean_command;

    fn shell(script: &str) -> Command {
        let mut command = clean_command(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    fn wait_for_text(log: &Path, text: &str) {
        let deadline = deadline(Duration::from_secs(10));
        while !std::fs::read_to_string(log)
            .unwrap_or_default()
            .contains(text)
        {
            assert!(
                Instant::now() < deadline,
                "{text} never appeared in {}",
                log.display()
            );
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn a_process_that_ignores_the_request_to_end_is_killed_after_the_grace() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("stubborn.log");
        let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let mut process = Process::spawn("stubborn", &shell(script), &log).unwrap();
        wait_for_text(&log, "ready");
        let begin = Instant::now();
        process.stop();
        assert!(process.exited().is_some());
        assert!(
            begin.elapsed() >= GRACE,
            "killed too early: {:?}",
            begin.elapsed()
        );
        assert!(
            begin.elapsed() < GRACE * 2,
            "killed too late: {:?}",
            begin.elapsed()
        );
    }

    #[test]
    fn an_early_end_shows_the_exit_status_and_the_last_lines_of_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("short.log");
        let script = "for i in $(seq 100); do echo line $i; done; exit 3";
        let mut process = Process::spawn("short", &shell(script), &log).unwrap();
        let deadline = deadline(Duration::from_secs(10));
        while process.exited().is_none() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(POLL);
        }
        let text = process.failure("ended early").to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("line 100"),
            "{text}"
        );
        assert!(!text.contains("line 80\n"), "{text}");
    }

    #[test]
    fn dropping_a_process_ends_it() {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::spawn(
            "sleeper",
            &shell("exec sleep 1000"),
            &directory.path().join("log"),
        )
        .unwrap();
        let entry = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(entry.exists());
        drop(process);
        assert!(!entry.exists());
    }
}
