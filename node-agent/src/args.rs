//! The command line. [`crate::Settings`] are the validated form.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};

use crate::console::LogFormat;
use crate::exit;

/// The text of `--help` before the flags.
const ABOUT: &str = "\
Gets this machine's first kubelet certificate, so that it can join its Kubernetes or OpenShift cluster.

It makes a private key, asks the API server for a certificate with the credential of a bootstrap kubeconfig, waits until \
the request is approved, checks what comes back and installs it the way kubelet does. When a valid identity is already \
there it says so and ends at once, so it may run before every start of kubelet. Killed at any moment and started again, \
it goes on with the same key.

A machine whose certificate expired while it was off asks again with the bootstrap credential and a new key. Its request \
then carries evidence that it holds the old key, so that the approver can let it back in. With --join-key the same proves \
a key that was pinned in the Machine before.";

/// The text of `--help` after the flags, before the exit codes.
const EXAMPLE: &str = "\
Example:
  rollcall-node-agent --bootstrap-kubeconfig /etc/kubernetes/bootstrap-kubelet.conf
  then start kubelet with --kubeconfig /etc/kubernetes/kubelet.conf

Every flag can be given as an environment variable: ROLLCALL_ and its name in capitals.";

/// The command line of `rollcall-node-agent`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rollcall-node-agent",
    version,
    about = ABOUT,
    after_help = format!("{EXAMPLE}\n\n{}", exit::table()),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct CommandLine {
    /// The command; [`Command::Run`] by default.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of [`Command::Run`], which can be given without the command.
    #[command(flatten)]
    pub args: Args,
}

/// The commands of the agent.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Get and install the first certificate (default).
    // Boxed because it is many times the size of the others.
    Run(Box<Args>),
    /// Remove cloud-init's copies of the user-data, once an identity is installed.
    Wipe(Box<Args>),
    /// Install this program, its systemd unit and its default configuration into an image.
    Install(ImageArgs),
    /// List files that must not be in a machine image, with the remedy for each.
    ImageCheck(ImageArgs),
}

/// The flags of [`Command::Install`] and [`Command::ImageCheck`].
#[derive(Clone, Debug, clap::Args)]
pub struct ImageArgs {
    /// Root folder of the image's file system; / is the running machine.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
}

/// The flags of [`Command::Run`] and [`Command::Wipe`].
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Bootstrap kubeconfig: API server, CA and bootstrap credential.
    #[arg(
        long,
        env = "ROLLCALL_BOOTSTRAP_KUBECONFIG",
        value_name = "FILE",
        default_value = "/etc/kubernetes/bootstrap-kubelet.conf"
    )]
    pub bootstrap_kubeconfig: PathBuf,

    /// Kubeconfig to write for kubelet.
    #[arg(
        long,
        env = "ROLLCALL_KUBECONFIG",
        value_name = "FILE",
        default_value = "/etc/kubernetes/kubelet.conf"
    )]
    pub kubeconfig: PathBuf,

    /// kubelet's folder for its key and certificate.
    #[arg(
        long,
        env = "ROLLCALL_CERT_DIR",
        value_name = "DIR",
        default_value = "/var/lib/kubelet/pki"
    )]
    pub cert_dir: PathBuf,

    /// Name of the node.
    #[arg(long, env = "ROLLCALL_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Sources of the name, in order: cloud-init, ec2-private-dns, ec2-instance-id, gce, azure, openstack, host-name.
    /// Default: cloud-init if it has run, else the cloud identified by the firmware, then the host name.
    #[arg(
        long,
        env = "ROLLCALL_NODE_NAME_FROM",
        value_name = "SOURCE,...",
        value_delimiter = ','
    )]
    pub node_name_from: Vec<String>,

    /// URL of the metadata service. Default: http://169.254.169.254.
    #[arg(long, env = "ROLLCALL_METADATA_URL", value_name = "URL")]
    pub metadata_url: Option<String>,

    /// File to write the name to, as ROLLCALL_NODE_NAME=..., for kubelet's unit.
    #[arg(long, env = "ROLLCALL_NAME_FILE", value_name = "FILE")]
    pub name_file: Option<PathBuf>,

    /// Folder for the record of the installed identity and its instance. If set, an identity from a copied disk is set
    /// aside.
    #[arg(long, env = "ROLLCALL_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Keep the bootstrap kubeconfig, for a machine that may be off until its certificate has expired. By default, it
    /// is removed after the identity is installed.
    #[arg(long, env = "ROLLCALL_KEEP_BOOTSTRAP")]
    pub keep_bootstrap: bool,

    /// Run the credential program of the bootstrap kubeconfig (exec, auth-provider) as the agent's user, root. By default,
    /// such a kubeconfig is refused.
    #[arg(long, env = "ROLLCALL_ALLOW_EXEC")]
    pub allow_exec: bool,

    /// CA that must have signed the certificate. Default: the CA of the bootstrap kubeconfig; if another CA signed it,
    /// the agent asks the API server whether it accepts the new identity.
    #[arg(long, env = "ROLLCALL_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Private key (PKCS#8 in PEM, readable by its owner only) of the public key that is pinned in this machine's Machine
    /// record, in the annotation rollcall.dev/join-key. The request then proves that this machine holds it.
    #[arg(long, env = "ROLLCALL_JOIN_KEY", value_name = "FILE")]
    pub join_key: Option<PathBuf>,

    /// Give up after this time, for example 90s, 10m or 1h30m. By default, the agent waits indefinitely.
    #[arg(long, env = "ROLLCALL_TIMEOUT", value_name = "DURATION", value_parser = NonEmptyStringValueParser::new())]
    pub timeout: Option<String>,

    /// File a new request if one has been pending for this time: a request made before its Machine was recorded may
    /// stay outside the Machine's join window permanently.
    #[arg(
        long,
        env = "ROLLCALL_RESUBMIT_AFTER",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub resubmit_after: String,

    /// Requested lifetime, at least 600; the signer may shorten it. Default: the signer's default.
    #[arg(long, env = "ROLLCALL_EXPIRATION_SECONDS", value_name = "SECONDS")]
    pub expiration_seconds: Option<i32>,

    /// Format of the lines on standard error: text or json.
    #[arg(
        long,
        env = "ROLLCALL_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
}
