//! Validated settings: what [`Args`] mean on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use rollcall_csr::{NodeName, NodeNameError};

use crate::args::Args;
use crate::console::LogFormat;

/// Shortest lifetime that the API takes, in seconds (Kubernetes `pkg/apis/certificates/validation`: 10 minutes).
const MIN_EXPIRATION_SECONDS: i32 = 600;

/// What the agent does and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kubeconfig to begin with.
    pub bootstrap_kubeconfig: PathBuf,
    /// Kubelet's folder for certificates; absolute.
    pub cert_dir: PathBuf,
    /// The CA that must have signed the certificate, when the cluster's own CA does not.
    pub client_ca: Option<PathBuf>,
    /// The lifetime to ask for, in seconds.
    pub expiration_seconds: Option<i32>,
    /// The private key that is pinned in the Machine.
    pub join_key: Option<PathBuf>,
    /// Kubelet's kubeconfig; absolute.
    pub kubeconfig: PathBuf,
    /// How lines are written.
    pub log_format: LogFormat,
    /// Who this machine is.
    pub node: NodeName,
    /// How long a request may be pending before a new one is filed.
    pub resubmit_after: Duration,
    /// When to give up; `None` is never.
    pub timeout: Option<Duration>,
}

impl Settings {
    /// Checks the arguments; `host_name` stands in for a missing `--node-name`.
    ///
    /// # Errors
    /// The first flag that does not hold, with what to write instead.
    pub fn new(args: Args, host_name: &str) -> Result<Self, SettingsError> {
        let Args {
            bootstrap_kubeconfig,
            kubeconfig,
            cert_dir,
            node_name,
            client_ca,
            join_key,
            timeout,
            resubmit_after,
            expiration_seconds,
            log_format,
        } = args;
        if let Some(seconds) =
            expiration_seconds.filter(|seconds| *seconds < MIN_EXPIRATION_SECONDS)
        {
            return Err(SettingsError::Expiration(seconds));
        }
        let settings = Self {
            node: node_name.map_or_else(|| from_host_name(host_name), |name| from_flag(&name))?,
            bootstrap_kubeconfig: absolute("--bootstrap-kubeconfig", &bootstrap_kubeconfig)?,
            kubeconfig: absolute("--kubeconfig", &kubeconfig)?,
            cert_dir: absolute("--cert-dir", &cert_dir)?,
            client_ca: client_ca
                .map(|file| absolute("--client-ca", &file))
                .transpose()?,
            join_key: join_key
                .map(|file| absolute("--join-key", &file))
                .transpose()?,
            timeout: timeout
                .map(|text| duration("--timeout", &text))
                .transpose()?,
            resubmit_after: duration("--resubmit-after", &resubmit_after)?,
            expiration_seconds,
            log_format,
        };
        if settings.kubeconfig == settings.bootstrap_kubeconfig {
            return Err(SettingsError::SameKubeconfig(settings.kubeconfig));
        }
        Ok(settings)
    }
}

/// The name that the kernel has for this machine, `uname -n`.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn from_flag(name: &str) -> Result<NodeName, SettingsError> {
    // No folding here: who names a node means that name, and the API server takes lower case only.
    name.parse().map_err(|reason| SettingsError::NodeName {
        name: name.to_owned(),
        reason,
    })
}

fn from_host_name(name: &str) -> Result<NodeName, SettingsError> {
    let folded = name.trim().to_ascii_lowercase();
    // The first label decides: `localhost.localdomain` is what a machine without a name calls itself.
    if folded == "(none)"
        || folded
            .split('.')
            .next()
            .is_some_and(|label| label == "localhost")
    {
        return Err(SettingsError::NamelessHost(name.to_owned()));
    }
    NodeName::from_dns_name(&folded).map_err(|reason| SettingsError::HostName {
        name: name.to_owned(),
        reason,
    })
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

/// Which flag does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A duration that cannot be read, or is not positive.
    #[error("{flag} is {text:?}, which is not a positive duration; write 90s, 10m or 1h30m")]
    Duration {
        /// The flag.
        flag: &'static str,
        /// What was written.
        text: String,
    },
    /// A path of no characters.
    #[error("{0} is empty; name a file or folder, or leave the flag out")]
    EmptyPath(&'static str),
    /// Too short a lifetime; in seconds.
    #[error(
        "--expiration-seconds is {0}, but the API server takes nothing below {MIN_EXPIRATION_SECONDS}"
    )]
    Expiration(i32),
    /// The host name is no node name.
    #[error(
        "the host name {name:?} cannot be the name of a node: {reason}; set another one or use --node-name"
    )]
    HostName {
        /// The host name.
        name: String,
        /// Why not.
        reason: NodeNameError,
    },
    /// The machine has no name yet.
    #[error(
        "this machine is called {0:?}, which every machine without a name is; set its host name or use --node-name"
    )]
    NamelessHost(String),
    /// `--node-name` is no node name.
    #[error("--node-name {name:?} cannot be the name of a node: {reason}")]
    NodeName {
        /// The flag's value.
        name: String,
        /// Why not.
        reason: NodeNameError,
    },
    /// The credential to begin with would be overwritten.
    #[error(
        "--kubeconfig and --bootstrap-kubeconfig are both {0}; the agent never overwrites what it begins with"
    )]
    SameKubeconfig(PathBuf),
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::CommandLine;

    fn settings(flags: &[&str], host: &str) -> Result<Settings, SettingsError> {
        let line = CommandLine::parse_from(["rollcall-node-agent"].iter().chain(flags));
        Settings::new(line.args, host)
    }

    #[test]
    fn the_host_name_is_the_node_name_unless_a_flag_says_otherwise() {
        assert_eq!(
            settings(&[], "Worker-0.Example.COM").unwrap().node.as_str(),
            "worker-0.example.com"
        );
        assert_eq!(
            settings(&["--node-name", "a"], "localhost")
                .unwrap()
                .node
                .as_str(),
            "a"
        );
    }

    #[test]
    fn machines_without_a_name_are_refused() {
        for host in ["localhost", "LOCALHOST.localdomain", "localhost.", "(none)"] {
            assert_eq!(
                settings(&[], host),
                Err(SettingsError::NamelessHost(host.to_owned()))
            );
        }
        assert!(settings(&[], "localhost-7").is_ok());
    }

    #[test]
    fn names_that_no_node_can_have_are_refused_with_the_reason() {
        let message = settings(&[], "my_host").unwrap_err().to_string();
        assert!(
            message.contains("\"my_host\"") && message.contains("RFC 1123"),
            "{message}"
        );
        assert!(matches!(
            settings(&[], ""),
            Err(SettingsError::HostName {
                reason: NodeNameError::Empty,
                ..
            })
        ));
        assert!(matches!(
            settings(&["--node-name", "Worker"], "a"),
            Err(SettingsError::NodeName { .. })
        ));
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
