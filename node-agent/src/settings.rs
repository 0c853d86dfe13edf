//! Validated settings, from [`Args`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use rollcall_csr::{NodeName, NodeNameError};

use crate::args::Args;
use crate::console::LogFormat;
use crate::whoami::{Instance, NoName, Source};

/// Shortest lifetime that the API server accepts, in seconds (Kubernetes `pkg/apis/certificates/validation`: 10
/// minutes).
const MIN_EXPIRATION_SECONDS: i32 = 600;

/// The validated settings of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// True if the bootstrap kubeconfig may name a program to run.
    pub allow_exec: bool,
    /// The bootstrap kubeconfig.
    pub bootstrap_kubeconfig: PathBuf,
    /// Kubelet's folder for certificates; absolute.
    pub cert_dir: PathBuf,
    /// The CA that must have signed the certificate, if it is not the cluster's own CA.
    pub client_ca: Option<PathBuf>,
    /// The requested lifetime, in seconds.
    pub expiration_seconds: Option<i32>,
    /// The current instance.
    pub instance: Instance,
    /// The private key that is pinned in the Machine.
    pub join_key: Option<PathBuf>,
    /// True if the bootstrap kubeconfig is kept after use.
    pub keep_bootstrap: bool,
    /// Kubelet's kubeconfig; absolute.
    pub kubeconfig: PathBuf,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// The file with the name for kubelet's unit.
    pub name_file: Option<PathBuf>,
    /// The node name of this machine.
    pub node: NodeName,
    /// The time after which a pending request is replaced by a new one.
    pub resubmit_after: Duration,
    /// The folder of the record; `None` disables it.
    pub state_dir: Option<PathBuf>,
    /// The time limit; `None` for none.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// Validates the arguments; `name` finds the node name if there is no `--node-name`, after all other flags are
    /// validated.
    ///
    /// # Errors
    /// The first invalid flag, with a valid example, or that there is no name.
    pub async fn new(
        args: Args,
        instance: Instance,
        name: impl AsyncFnOnce(&[Source], Option<&str>) -> Result<NodeName, NoName>,
    ) -> Result<Self, SettingsError> {
        let Args {
            bootstrap_kubeconfig,
            kubeconfig,
            cert_dir,
            node_name,
            node_name_from,
            metadata_url,
            name_file,
            state_dir,
            keep_bootstrap,
            allow_exec,
            client_ca,
            join_key,
            timeout: _,
            resubmit_after,
            expiration_seconds,
            log_format,
        } = args.clone();
        if let Some(seconds) =
            expiration_seconds.filter(|seconds| *seconds < MIN_EXPIRATION_SECONDS)
        {
            return Err(SettingsError::Expiration(seconds));
        }
        let sources = sources(&node_name_from)?;
        check_metadata_url(metadata_url.as_deref())?;
        let optional =
            |flag, file: Option<PathBuf>| file.map(|file| absolute(flag, &file)).transpose();
        let settings = Self {
            allow_exec,
            bootstrap_kubeconfig: absolute("--bootstrap-kubeconfig", &bootstrap_kubeconfig)?,
            kubeconfig: absolute("--kubeconfig", &kubeconfig)?,
            cert_dir: absolute("--cert-dir", &cert_dir)?,
            client_ca: optional("--client-ca", client_ca)?,
            join_key: optional("--join-key", join_key)?,
            name_file: optional("--name-file", name_file)?,
            state_dir: optional("--state-dir", state_dir)?,
            timeout: timeout(&args)?,
            resubmit_after: duration("--resubmit-after", &resubmit_after)?,
            expiration_seconds,
            instance,
            keep_bootstrap,
            log_format,
            // Last, because it may take long.
            node: match node_name {
                Some(name) => from_flag(&name)?,
                None => name(&sources, metadata_url.as_deref()).await?,
            },
        };
        if settings.kubeconfig == settings.bootstrap_kubeconfig {
            return Err(SettingsError::SameKubeconfig(settings.kubeconfig));
        }
        Ok(settings)
    }
}

/// Parses the time limit.
///
/// # Errors
/// If `--timeout` is not a duration.
pub fn timeout(args: &Args) -> Result<Option<Duration>, SettingsError> {
    let text = args.timeout.as_deref();
    text.map(|text| duration("--timeout", text)).transpose()
}

/// Returns the kernel's name for this machine, `uname -n`.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn from_flag(name: &str) -> Result<NodeName, SettingsError> {
    // Not lower-cased: the user means exactly this name, and the API server accepts lower case only.
    name.parse().map_err(|reason| SettingsError::NodeName {
        name: name.to_owned(),
        reason,
    })
}

/// Parses the sources. An empty environment variable yields an empty word.
fn sources(words: &[String]) -> Result<Vec<Source>, SettingsError> {
    let words = words.iter().filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse().map_err(|why| SettingsError::Source {
                word: word.clone(),
                why,
            })
        })
        .collect()
}

fn check_metadata_url(url: Option<&str>) -> Result<(), SettingsError> {
    let Some(url) = url else { return Ok(()) };
    let parsed = url.parse::<http::Uri>().ok();
    let plain = parsed.filter(|url| {
        url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty())
    });
    match plain {
        Some(_) => Ok(()),
        None => Err(SettingsError::MetadataUrl(url.to_owned())),
    }
}

fn absolute(flag: &'static str, path: &Path) -> Result<PathBuf, SettingsError> {
    std::path::absolute(path).map_err(|_| SettingsError::EmptyPath(flag))
}

fn duration(flag: &'static str, text: &str) -> Result<Duration, SettingsError> {
    let parsed = text
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    parsed
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| SettingsError::Duration {
            flag,
            text: text.to_owned(),
        })
}

/// The error for an invalid flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A duration that is malformed, or not positive.
    #[error("{flag} is {text:?}, which is not a positive duration; write 90s, 10m or 1h30m")]
    Duration {
        /// The flag.
        flag: &'static str,
        /// The value.
        text: String,
    },
    /// An empty path.
    #[error("{0} is empty; name a file or folder, or leave the flag out")]
    EmptyPath(&'static str),
    /// A lifetime that is too short; in seconds.
    #[error(
        "--expiration-seconds is {0}, but the API server takes nothing below {MIN_EXPIRATION_SECONDS}"
    )]
    Expiration(i32),
    /// An invalid URL of the metadata service.
    #[error("--metadata-url is {0:?}, which is not a URL like http://169.254.169.254")]
    MetadataUrl(String),
    /// No source has a valid name.
    #[error(transparent)]
    NoName(#[from] NoName),
    /// `--node-name` is not a node name.
    #[error("--node-name {name:?} cannot be the name of a node: {reason}")]
    NodeName {
        /// The flag's value.
        name: String,
        /// The reason.
        reason: NodeNameError,
    },
    /// An unknown source.
    #[error("--node-name-from {word:?} {why}")]
    Source {
        /// The value.
        word: String,
        /// The valid values.
        why: String,
    },
    /// The bootstrap kubeconfig would be overwritten.
    #[error(
        "--kubeconfig and --bootstrap-kubeconfig are both {0}; the agent never overwrites what it begins with"
    )]
    SameKubeconfig(PathBuf),
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use futures::FutureExt as _;

    use super::*;
    use crate::args::CommandLine;
    use crate::whoami::accept;

    fn settings(flags: &[&str], host: &str) -> Result<Settings, SettingsError> {
        let line = CommandLine::parse_from(["rollcall-node-agent"].iter().chain(flags));
        let name = async |_: &[Source], _: Option<&str>| {
            accept(host).map_err(|refusal| NoName(vec![refusal.to_string()]))
        };
        let settings = Settings::new(line.args, Instance::default(), name);
        settings.now_or_never().unwrap()
    }

    #[test]
    fn the_flag_counts_more_than_what_the_machine_is_called() {
        assert_eq!(settings(&[], "Worker-0").unwrap().node.as_str(), "worker-0");
        let flagged = settings(&["--node-name", "a"], "localhost").unwrap();
        assert_eq!(flagged.node.as_str(), "a");
        assert!(matches!(
            settings(&[], "localhost"),
            Err(SettingsError::NoName(_))
        ));
        assert!(matches!(
            settings(&["--node-name", "Worker"], "a"),
            Err(SettingsError::NodeName { .. })
        ));
    }

    #[test]
    fn sources_and_metadata_urls_are_checked() {
        assert!(settings(&["--node-name-from", "gce,host-name"], "a").is_ok());
        let message = settings(&["--node-name-from", "ec2"], "a")
            .unwrap_err()
            .to_string();
        assert!(message.contains("ec2-private-dns"), "{message}");
        for url in ["https://169.254.169.254", "169.254.169.254", "http://"] {
            assert_eq!(
                settings(&["--metadata-url", url], "a"),
                Err(SettingsError::MetadataUrl(url.to_owned()))
            );
        }
        assert!(settings(&["--metadata-url", "http://[fd00:ec2::254]"], "a").is_ok());
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(
            settings(&["--timeout", "1h30m"], "a").unwrap().timeout,
            Some(Duration::from_secs(5_400))
        );
        for text in ["0s", "-5s", "5", "soon"] {
            let flags = [format!("--timeout={text}")];
            assert!(
                matches!(
                    settings(&[&flags[0]], "a"),
                    Err(SettingsError::Duration { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn short_lifetimes_and_equal_kubeconfigs_are_refused() {
        assert_eq!(
            settings(&["--expiration-seconds", "599"], "a"),
            Err(SettingsError::Expiration(599))
        );
        let same = ["--kubeconfig", "/x", "--bootstrap-kubeconfig", "/x"];
        assert_eq!(
            settings(&same, "a"),
            Err(SettingsError::SameKubeconfig("/x".into()))
        );
    }
}
