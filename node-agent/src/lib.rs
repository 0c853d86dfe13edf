//! Gets the kubelet's first certificate: from a bootstrap kubeconfig to an installed identity.
//!
//! [`agent::join`] is the complete process. A pure state machine ([`step()`]) decides the next action for the request;
//! around it are the calls ([`requests`]), the files ([`files`], [`store`], [`pending_key`]) and the log lines
//! ([`console`]). Every private file is created 0600, written, synced and renamed; the key is on disk before it is
//! used. So the process can be killed at any moment and restarted.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

mod afterwards;
pub mod agent;
pub mod args;
pub mod backoff;
pub mod bootstrap;
pub mod certificate;
pub mod clock;
mod cluster;
pub mod console;
pub mod credential;
pub mod error;
mod evidence;
pub mod exit;
pub mod fault;
pub mod files;
pub mod follow;
pub mod identity;
pub mod image;
mod join_key;
pub mod kubeconfig;
mod notify;
mod panics;
pub mod pending_key;
pub mod record;
mod report;
pub mod requests;
pub mod review;
mod server_clock;
pub mod settings;
mod signing_key;
pub mod step;
pub mod store;
pub mod surroundings;
pub mod whoami;
pub mod wipe;
pub mod words;

pub use args::{Args, CommandLine};
pub use error::AgentError;
pub use exit::Exit;
pub use panics::end_with_a_sentence;
pub use settings::Settings;
pub use step::step;

use args::Command;
use clock::Clock;
use console::{Console, LogFormat, Topic};
use record::Record;
use surroundings::Surroundings;
use whoami::{Question, Source};

/// Runs the command and returns the exit code.
pub fn run(line: CommandLine) -> Exit {
    match line.command {
        None => run_join(line.args),
        Some(Command::Run(args)) => run_join(*args),
        Some(Command::Wipe(args)) => run_wipe(&args),
        Some(Command::Install(args)) => image::install(&args.root),
        Some(Command::ImageCheck(args)) => image::check(&args.root),
    }
}

/// Runs [`agent::join`], writing to standard error.
fn run_join(args: Args) -> Exit {
    let around = surroundings(args.log_format);
    if ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    {
        around.console.warn(
            Topic::Bootstrap,
            "HTTPS_PROXY is set, but the agent connects directly",
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = settings::timeout(&args)
                .map_err(AgentError::from)
                .and_then(|timeout| {
                    let joined = async {
                        let settings = settings(args, &around).await?;
                        warn_of_long_name(&settings, &around);
                        agent::join(&settings, &around).await
                    };
                    runtime.block_on(limited(timeout, &around, joined))
                });
            // A pending name lookup must not delay the exit.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(AgentError::Rejected(format!(
            "could not start the runtime: {error}"
        ))),
    };
    exit(ended, &around)
}

/// Runs [`wipe::cloud_init`], if an identity is installed. Copies of the bootstrap kubeconfig are removed even if the
/// kubeconfig itself is kept.
fn run_wipe(args: &Args) -> Exit {
    let around = surroundings(args.log_format);
    let say = |message: &str| around.console.say(Topic::Done, message);
    let recorded = args.state_dir.as_deref().and_then(Record::read);
    if recorded.is_none() || !args.kubeconfig.exists() {
        say("no identity is installed yet, so nothing is removed");
        return Exit::Done;
    }
    let ended = wipe::cloud_init(Path::new("/")).map(|removed| {
        let count = removed.len();
        say(&format!(
            "removed {count} files in which cloud-init kept user-data"
        ));
    });
    exit(ended.map_err(AgentError::from), &around)
}

fn surroundings(format: LogFormat) -> Surroundings {
    end_with_a_sentence(format);
    let clock = Clock::system();
    let stderr = std::io::stderr();
    let colours = stderr.is_terminal();
    let console =
        Console::new(Box::new(stderr), format, colours, clock.clone()).with_service_manager();
    Surroundings::real(console, clock)
}

fn exit(ended: Result<(), AgentError>, around: &Surroundings) -> Exit {
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            around.console.fail(error.reason(), &error.to_string());
            error.exit()
        }
    }
}

/// The maximum length of a label value: kubelet puts its host name, usually the node name, into the label
/// `kubernetes.io/hostname`, and the API server rejects a Node with a longer value (Kubernetes
/// `validation.LabelValueMaxLength`).
const LONGEST_LABEL: usize = 63;

/// Warns before the request is made that the certificate may be useless.
fn warn_of_long_name(settings: &Settings, around: &Surroundings) {
    let name = &settings.node;
    let length = name.as_str().len();
    if length > LONGEST_LABEL {
        let message = format!(
            "the name {name} has {length} characters, and the label kubernetes.io/hostname takes {LONGEST_LABEL}: the API \
             server may refuse the Node that kubelet registers; give this machine a shorter host name"
        );
        around.console.warn(Topic::Identity, &message);
    }
}

/// Validates the arguments on this machine.
async fn settings(args: Args, around: &Surroundings) -> Result<Settings, AgentError> {
    let host = Path::new("/");
    let record = args.state_dir.as_deref().and_then(Record::read);
    let name = async |sources: &[Source], metadata_url: Option<&str>| {
        let question = Question {
            host,
            host_name: &settings::host_name(),
            sources,
            metadata_url,
            record: record.as_ref(),
        };
        whoami::name(question, around).await
    };
    Ok(Settings::new(args, whoami::instance(host), name).await?)
}

/// Runs `joined` with the time limit and until a signal. Both take effect only while it waits; installing is not
/// interrupted.
async fn limited(
    timeout: Option<Duration>,
    around: &Surroundings,
    joined: impl Future<Output = Result<(), AgentError>>,
) -> Result<(), AgentError> {
    let stopped = async |kind| match signal(kind) {
        Ok(mut signals) => signals.recv().await,
        // Without a handler the signal ends the process anyway.
        Err(_) => std::future::pending().await,
    };
    let waiting_for = || around.console.waiting_for();
    let expired = async {
        match timeout {
            Some(after) => {
                tokio::time::sleep(after).await;
                after
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = stopped(SignalKind::interrupt()) => {
            Err(AgentError::Stopped { signal: "SIGINT", waiting_for: waiting_for(), exit: Exit::Interrupted })
        }
        _ = stopped(SignalKind::terminate()) => {
            Err(AgentError::Stopped { signal: "SIGTERM", waiting_for: waiting_for(), exit: Exit::Terminated })
        }
        after = expired => Err(AgentError::TimedOut { after, waiting_for: waiting_for() }),
        ended = joined => ended,
    }
}
