//! The errors that end the agent, each with a message, a stable reason and an exit code.

use std::path::PathBuf;
use std::time::Duration;

use crate::bootstrap::{BootstrapError, Problem};
use crate::certificate::CertificateError;
use crate::exit::Exit;
use crate::files::DiskError;
use crate::pending_key::KeyError;
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::words;

/// The error in the last line of a failed run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The API server identifies the new certificate as another user.
    #[error(
        "the API server takes the new certificate for {user:?} in the groups {groups:?} instead of {expected}; nothing \
         was installed"
    )]
    AnotherIdentity {
        /// The user that it identifies.
        user: String,
        /// The user's groups.
        groups: String,
        /// The expected user.
        expected: String,
    },
    /// The bootstrap kubeconfig is unusable.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The issued certificate does not match the request.
    #[error("the certificate issued for {name} {error}; nothing was installed")]
    Certificate {
        /// The request.
        name: String,
        /// The mismatch.
        error: CertificateError,
    },
    /// `--client-ca` is unusable.
    #[error("the --client-ca file {} {why}", file.display())]
    ClientAuthority {
        /// The file.
        file: PathBuf,
        /// The problem.
        why: String,
    },
    /// The request was denied.
    #[error(
        "{name} was denied{because}; the key stays; once the cause is gone, delete the request (kubectl delete csr \
         {name}) and start again"
    )]
    Denied {
        /// The request.
        name: String,
        /// The condition's reason and message.
        because: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The credential expired before it was used.
    #[error(
        "{credential} expired at {}, {} ago by this machine's clock ({}); make a new one, for example with \
         rollcall-approver bootstrap-kubeconfig, and put it there", words::moment(*at),
        words::span(words::distance(*now, *at)), words::moment(*now)
    )]
    ExpiredCredential {
        /// The kind and place of the credential.
        credential: String,
        /// The expiry.
        at: jiff::Timestamp,
        /// The time of this machine's clock.
        now: jiff::Timestamp,
    },
    /// The signer refused to sign the request.
    #[error(
        "the signer refused {name}{because}; the key stays; once the cause is gone, delete the request (kubectl delete \
         csr {name}) and start again"
    )]
    Failed {
        /// The request.
        name: String,
        /// The condition's reason and message.
        because: String,
    },
    /// `--join-key` is unusable.
    #[error("the --join-key file {} {why}", file.display())]
    JoinKey {
        /// The file.
        file: PathBuf,
        /// The problem.
        why: String,
    },
    /// The key could not be read or created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Kubelet's kubeconfig cannot be written as YAML.
    #[error("could not put the kubeconfig into YAML: {0}")]
    Kubeconfig(#[from] serde_saphyr::ser::Error),
    /// Another agent is running.
    #[error("another rollcall-node-agent works on {}; wait for it to end", .0.display())]
    Locked(PathBuf),
    /// The bootstrap credential lacks a required RBAC permission.
    #[error(
        "{what} (for {}); give it the ClusterRole system:node-bootstrapper and start again",
        words::span(*lasted)
    )]
    MissingRight {
        /// The message of the API server.
        what: String,
        /// The time for which this lasted.
        lasted: Duration,
    },
    /// The API server does not accept the new identity.
    #[error("the new certificate is not accepted: {what} (for {}); nothing was installed", words::span(*lasted))]
    NotRecognised {
        /// The message of the API server.
        what: String,
        /// The time for which this lasted.
        lasted: Duration,
    },
    /// The API server does not know the bootstrap credential.
    #[error(
        "{what} (for {}); it may be expired, revoked or another cluster's: make a new one and start again",
        words::span(*lasted)
    )]
    RefusedCredential {
        /// The message of the API server.
        what: String,
        /// The time for which this lasted.
        lasted: Duration,
    },
    /// The API server rejects the request permanently.
    #[error("{0}")]
    Rejected(String),
    /// A flag is invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A signal arrived while waiting.
    #[error(
        "stopped by {signal} while waiting for {waiting_for}; starting again goes on with the same key"
    )]
    Stopped {
        /// The signal's name.
        signal: &'static str,
        /// The wait that it interrupted.
        waiting_for: String,
        /// The exit code for it.
        exit: Exit,
    },
    /// The identity could not be installed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time limit was exceeded.
    #[error("gave up after {} (--timeout) while waiting for {waiting_for}", words::span(*after))]
    TimedOut {
        /// The limit.
        after: Duration,
        /// The wait that it interrupted.
        waiting_for: String,
    },
}

impl AgentError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::AnotherIdentity { .. }
            | Self::Certificate { .. }
            | Self::Key(KeyError::Make(_))
            | Self::Kubeconfig(_)
            | Self::NotRecognised { .. }
            | Self::Rejected(_) => Exit::Failure,
            Self::Bootstrap(BootstrapError { problem, .. }) => match problem {
                Problem::Client(_)
                | Problem::Credential(_)
                | Problem::Insecure
                | Problem::NoAuthority(_)
                | Problem::NoServer
                | Problem::NotAUrl(_)
                | Problem::NotHttps(_)
                | Problem::Program
                | Problem::Proxy(_)
                | Problem::Unusable(_) => Exit::Usage,
            },
            Self::ClientAuthority { .. } | Self::JoinKey { .. } | Self::Settings(_) => Exit::Usage,
            Self::Denied { .. }
            | Self::ExpiredCredential { .. }
            | Self::Failed { .. }
            | Self::MissingRight { .. }
            | Self::RefusedCredential { .. } => Exit::Refused,
            Self::Disk(_) | Self::Key(KeyError::Disk(_)) | Self::Store(_) => Exit::Disk,
            Self::Locked(_) | Self::TimedOut { .. } => Exit::GaveUp,
            Self::Stopped { exit, .. } => *exit,
        }
    }

    /// The stable word, for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AnotherIdentity { .. } => "AnotherIdentity",
            Self::Bootstrap(_) => "BootstrapKubeconfigInvalid",
            Self::Certificate { .. } => "CertificateInvalid",
            Self::ClientAuthority { .. } => "ClientCAInvalid",
            Self::Denied { .. } => "RequestDenied",
            Self::Disk(_) | Self::Key(KeyError::Disk(_)) | Self::Store(StoreError::Disk(_)) => {
                "DiskFailed"
            }
            Self::ExpiredCredential { .. } => "CredentialExpired",
            Self::Failed { .. } => "RequestFailed",
            Self::JoinKey { .. } => "JoinKeyInvalid",
            Self::Key(KeyError::Make(_)) => "KeyNotMade",
            Self::Kubeconfig(_) => "KubeconfigNotMade",
            Self::Locked(_) => "Locked",
            Self::MissingRight { .. } => "RightMissing",
            Self::NotRecognised { .. } => "IdentityNotRecognised",
            Self::RefusedCredential { .. } => "CredentialRefused",
            Self::Rejected(_) => "RequestRejected",
            Self::Settings(_) => "SettingsInvalid",
            Self::Stopped { .. } => "Stopped",
            Self::Store(StoreError::NotALink(_)) => "NotASymlink",
            Self::TimedOut { .. } => "TimedOut",
        }
    }
}
