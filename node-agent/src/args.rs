//! The command line, as it is typed. [`crate::Settings`] is what is made of it.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};

use crate::console::LogFormat;
use crate::exit;

/// What `--help` says before the flags.
const ABOUT: &str = "\
Gets this machine's first kubelet certificate, so that it can join its Kubernetes or OpenShift cluster.

It makes a private key, asks the API server for a certificate with the credential of a bootstrap kubeconfig, waits until \
the request is approved, checks what comes back and installs it the way kubelet does. When a valid identity is already \
there it says so and ends at once, so it may run before every start of kubelet. Killed at any moment and started again, \
it goes on with the same key.

A machine whose certificate expired while it was off asks again with the bootstrap credential and a new key. Its request \
then carries evidence that it holds the old key, so that the approver can let it back in. With --join-key the same proves \
a key that was pinned in the Machine before.";

/// What `--help` says after the flags, before the exit codes.
const EXAMPLE: &str = "\
Example:
  rollcall-node-agent --bootstrap-kubeconfig /etc/kubernetes/bootstrap-kubelet.conf
  then start kubelet with --kubeconfig /etc/kubernetes/kubelet.conf

Every flag can be given as an environment variable: ROLLCALL_ and its name in capitals.";

/// Command line of `rollcall-node-agent`.
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
    /// What to do; without it, [`Command::Run`].
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of [`Command::Run`], which may be left out.
    #[command(flatten)]
    pub args: Args,
}

/// What the agent can do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Get and install the first certificate; this is what is done without a command, too.
    // Boxed because it is many times the size of the others.
    Run(Box<Args>),
    /// Remove what cloud-init keeps of the user-data, once an identity is installed.
    Wipe(Box<Args>),
    /// Put this program, its systemd unit and its default configuration into an image.
    Install(ImageArgs),
    /// List what must not be in an image of which many machines are made, with the remedy for each.
    ImageCheck(ImageArgs),
}

/// Flags of [`Command::Install`] and [`Command::ImageCheck`].
#[derive(Clone, Debug, clap::Args)]
pub struct ImageArgs {
    /// Folder that is the root of the image's file system; / is this machine itself.
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
}

/// Flags of [`Command::Run`] and [`Command::Wipe`].
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Kubeconfig with the API server, its CA and the credential to ask with.
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

    /// Folder for key and certificate, kubelet's own.
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

    /// Where the name comes from, in order: cloud-init, ec2-private-dns, ec2-instance-id, gce, azure, openstack,
    /// host-name. Without it: cloud-init where it has run, else the cloud that the firmware names, then the host name.
    #[arg(
        long,
        env = "ROLLCALL_NODE_NAME_FROM",
        value_name = "SOURCE,...",
        value_delimiter = ','
    )]
    pub node_name_from: Vec<String>,

    /// URL of the metadata service; without it http://169.254.169.254.
    #[arg(long, env = "ROLLCALL_METADATA_URL", value_name = "URL")]
    pub metadata_url: Option<String>,

    /// File to write the name to, as ROLLCALL_NODE_NAME=..., for kubelet's unit.
    #[arg(long, env = "ROLLCALL_NAME_FILE", value_name = "FILE")]
    pub name_file: Option<PathBuf>,

    /// Folder for the record of what was installed on which instance; with it, an identity that came with a copied disk
    /// is set aside.
    #[arg(long, env = "ROLLCALL_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Leave the bootstrap kubeconfig, for a machine that may be off until its certificate has expired; without it,
    /// the kubeconfig is removed when the identity is installed.
    #[arg(long, env = "ROLLCALL_KEEP_BOOTSTRAP")]
    pub keep_bootstrap: bool,

    /// Run the program that the bootstrap kubeconfig names for its credential (exec, auth-provider), as this agent's user,
    /// which is root; without it such a kubeconfig is refused.
    #[arg(long, env = "ROLLCALL_ALLOW_EXEC")]
    pub allow_exec: bool,

    /// CA that must have signed the certificate; without it the CA of the bootstrap kubeconfig, and when another CA
    /// signed it, the API server is asked whether it knows the new identity.
    #[arg(long, env = "ROLLCALL_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Private key (PKCS#8 in PEM, readable by its owner only) whose public part is pinned in this machine's Machine
    /// record, in the annotation rollcall.dev/join-key. The request then proves that this machine holds it.
    #[arg(long, env = "ROLLCALL_JOIN_KEY", value_name = "FILE")]
    pub join_key: Option<PathBuf>,

    /// Give up after this time, like 90s, 10m or 1h30m; without it the agent waits for ever.
    #[arg(long, env = "ROLLCALL_TIMEOUT", value_name = "DURATION", value_parser = NonEmptyStringValueParser::new())]
    pub timeout: Option<String>,

    /// File a new request when one has been pending for this time, because a request made before its Machine was
    /// recorded may stay outside the Machine's join window for ever.
    #[arg(
        long,
        env = "ROLLCALL_RESUBMIT_AFTER",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub resubmit_after: String,

    /// Lifetime to ask for, at least 600; the signer may shorten it. Without it the signer's default.
    #[arg(long, env = "ROLLCALL_EXPIRATION_SECONDS", value_name = "SECONDS")]
    pub expiration_seconds: Option<i32>,

    /// How to write lines on standard error: text, or json for machines.
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
