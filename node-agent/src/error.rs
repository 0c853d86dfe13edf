//! Why the agent ends in vain: one sentence, one stable word and one exit code for each.

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

/// The last line of a run that failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The API server takes the new certificate for somebody else's.
    #[error(
        "the API server takes the new certificate for {user:?} in the groups {groups:?} instead of {expected}; nothing \
         was installed"
    )]
    AnotherIdentity {
        /// Whom it sees.
        user: String,
        /// In which groups.
        groups: String,
        /// Whom it should see.
        expected: String,
    },
    /// The bootstrap kubeconfig cannot be used.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The certificate that came back is not what was asked for.
    #[error("the certificate issued for {name} {error}; nothing was installed")]
    Certificate {
        /// The request.
        name: String,
        /// What is wrong.
        error: CertificateError,
    },
    /// `--client-ca` cannot be used.
    #[error("the --client-ca file {} {why}", file.display())]
    ClientAuthority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody denied the request.
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
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The credential ended before it was used.
    #[error(
        "{credential} expired at {}, {} ago by this machine's clock ({}); make a new one, for example with \
         rollcall-approver bootstrap-kubeconfig, and put it there", words::moment(*at),
        words::span(words::distance(*now, *at)), words::moment(*now)
    )]
    ExpiredCredential {
        /// What and where it is.
        credential: String,
        /// Its end.
        at: jiff::Timestamp,
        /// The clock of this machine.
        now: jiff::Timestamp,
    },
    /// The signer will not sign the request.
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
    /// `--join-key` cannot be used.
    #[error("the --join-key file {} {why}", file.display())]
    JoinKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Kubelet's kubeconfig cannot be written as YAML.
    #[error("could not put the kubeconfig into YAML: {0}")]
    Kubeconfig(#[from] serde_saphyr::ser::Error),
    /// Another agent is at work.
    #[error("another rollcall-node-agent works on {}; wait for it to end", .0.display())]
    Locked(PathBuf),
    /// The bootstrap credential may not do what it must.
    #[error(
        "{what} (for {}); give it the ClusterRole system:node-bootstrapper and start again",
        words::span(*lasted)
    )]
    MissingRight {
        /// What the API server says.
        what: String,
        /// For how long.
        lasted: Duration,
    },
    /// The API server does not accept the new identity.
    #[error("the new certificate is not accepted: {what} (for {}); nothing was installed", words::span(*lasted))]
    NotRecognised {
        /// What the API server says.
        what: String,
        /// For how long.
        lasted: Duration,
    },
    /// The API server does not know the bootstrap credential.
    #[error(
        "{what} (for {}); it may be expired, revoked or another cluster's: make a new one and start again",
        words::span(*lasted)
    )]
    RefusedCredential {
        /// What the API server says.
        what: String,
        /// For how long.
        lasted: Duration,
    },
    /// The API server will never take the request.
    #[error("{0}")]
    Rejected(String),
    /// A flag does not hold.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A signal came while waiting.
    #[error(
        "stopped by {signal} while waiting for {waiting_for}; starting again goes on with the same key"
    )]
    Stopped {
        /// The signal's name.
        signal: &'static str,
        /// What was waited for.
        waiting_for: String,
        /// The exit code for it.
        exit: Exit,
    },
    /// The identity could not be installed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time limit passed.
    #[error("gave up after {} (--timeout) while waiting for {waiting_for}", words::span(*after))]
    TimedOut {
        /// The limit.
        after: Duration,
        /// What was waited for.
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

    /// One stable word, for logs and metrics.
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
