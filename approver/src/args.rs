//! The command line, without logic: a doc comment per flag is its help text.

mod expect;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

pub use self::expect::{AdoptionArgs, ExpectArgs};
use crate::Mode;

mod bootstrap_kubeconfig;
mod user_data;

pub use bootstrap_kubeconfig::{BootstrapKubeconfigArgs, KubeconfigFormat};
pub use user_data::{Flavour, UserDataArgs, UserDataFormat};

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed while running
  64  bad usage, configuration or input";

/// Approves kubelet certificate signing requests for expected machines only.
///
/// A machine that boots requests the kubelet's certificate with a CertificateSigningRequest. The approver checks every
/// such request against the roll, the Machine records of the cluster, and approves it only if a Machine matches.
/// Other requests of kubelets stay pending or are denied, with the reason.
#[derive(Debug, Parser)]
#[command(name = "rollcall-approver", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,

    /// Log format.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The file name under which kubectl runs this program as its plugin.
const PLUGIN: &str = "kubectl-rollcall";

impl Args {
    /// Reads a command line. Called by the name of a kubectl plugin, help and errors show what a person then types.
    ///
    /// # Errors
    /// If the command line cannot be understood; `--help` and `--version` come back as errors too.
    pub fn from_command_line(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let plugin = arguments
            .first()
            .and_then(|program| Path::new(program).file_stem())
            .is_some_and(|name| name == PLUGIN);
        let mut command = Self::command();
        if plugin {
            command = command
                .bin_name("kubectl rollcall")
                .display_name("kubectl rollcall");
        }
        let mut matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Command to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Approve requests by hand: what policy would approve, or anything with --override and a reason.
    #[command(after_help = EXIT_CODES)]
    Approve(ApproveArgs),

    /// Make a kubeconfig that a machine can ask for its first certificate with, and do nothing else.
    #[command(after_help = EXIT_CODES)]
    BootstrapKubeconfig(BootstrapKubeconfigArgs),

    /// Deny requests by hand. A denial is final: the machine has to make another request.
    #[command(after_help = EXIT_CODES)]
    Deny(DenyArgs),

    /// Expect a machine: put it on the roll of a cluster that has no Machine API, or many machines from a file, or the Nodes
    /// that were there before Rollcall.
    #[command(after_help = EXIT_CODES)]
    Expect(ExpectArgs),

    /// Show the decision on requests and the reasons: for those in the cluster, or, offline, for those in files.
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainArgs),

    /// List the nodes' requests with age, node, Machine, decision and reason.
    #[command(after_help = EXIT_CODES)]
    List(ListArgs),

    /// Run the controller: watch requests, Machines and Nodes, decide, approve.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),

    /// Make the cloud-init user-data that lets a machine join by itself.
    #[command(after_help = EXIT_CODES)]
    UserData(Box<UserDataArgs>),
}

/// Which cluster a command is about, and by which configuration it judges.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterArgs {
    /// Configuration file of the approver (apiVersion rollcall.dev/v1alpha1, kind ApproverConfig). Without it, the defaults
    /// hold: OpenShift Machines in openshift-machine-api and the bootstrappers of OpenShift and kubeadm.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the cluster that keeps the Machine records, where that is another one.
    #[arg(long, value_name = "FILE")]
    pub management_kubeconfig: Option<PathBuf>,

    /// Namespace of the approver, where its Lease and its record of claims are. Without it: for `run` the pod's own, else
    /// that of the kubeconfig; for other commands rollcall.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// The cluster that an interactive command reads, and the extra checks.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LookArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Dial nodes from here, as the approver does, where what they serve now could vouch for names that their Machines
    /// lack. It takes a network from which the nodes can be reached.
    #[arg(long)]
    pub dial: bool,
}

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// JSON.
    Json,
    /// For people, at most 100 columns wide.
    #[default]
    Table,
    /// YAML, with the same keys as JSON.
    Yaml,
}

/// The flags of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The requests to explain. Without any: all of them.
    #[arg(value_name = "CSR")]
    pub requests: Vec<String>,

    /// Judge offline, by what is in this file, or in every .yaml, .yml and .json file below this directory; - is standard
    /// input. YAML or JSON, any number of documents, Lists too: CertificateSigningRequests, Machines, Nodes.
    #[arg(long, value_name = "FILE|DIR|-", conflicts_with = "dial")]
    pub from: Vec<PathBuf>,

    /// Judge as of this time (RFC 3339). Without it: now.
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<Timestamp>,

    /// The CA, PEM, that the certificates which nodes serve are verified against.
    #[arg(long, value_name = "FILE")]
    pub kubelet_ca: Option<PathBuf>,

    /// Serving certificates in use on nodes: a directory of `NODE.pem`.
    #[arg(long, value_name = "DIR")]
    pub serving_certs: Option<PathBuf>,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// The cluster.
    #[command(flatten)]
    pub look: LookArgs,
}

/// The flags of `list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Also those that are decided already, with what was decided.
    #[arg(long)]
    pub all: bool,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// The cluster.
    #[command(flatten)]
    pub look: LookArgs,
}

/// The flags of `approve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ApproveArgs {
    /// The requests to approve.
    #[arg(
        value_name = "CSR",
        required_unless_present = "all_pending",
        conflicts_with = "all_pending"
    )]
    pub requests: Vec<String>,

    /// Approve all pending node requests that policy would approve.
    #[arg(long)]
    pub all_pending: bool,

    /// Approve what policy would not approve. Needs --reason.
    #[arg(long = "override", requires = "reason")]
    pub overrule: bool,

    /// Reason for the override, recorded in the condition and in an Event.
    #[arg(long, value_name = "TEXT", requires = "overrule", value_parser = reason)]
    pub reason: Option<String>,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// The cluster.
    #[command(flatten)]
    pub look: LookArgs,
}

/// The flags of `deny`.
#[derive(Clone, Debug, clap::Args)]
pub struct DenyArgs {
    /// The requests to deny.
    #[arg(value_name = "CSR", required = true)]
    pub requests: Vec<String>,

    /// Reason, recorded in the condition and in an Event.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: String,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Rejects an empty reason.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a reason must say something".to_owned());
    }
    Ok(text.to_owned())
}

/// The flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Handling of a decision: `enforce` approves, `manual` only shows it, `audit` writes nothing at all.
    /// Overrides the configuration file.
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,

    /// Serve /metrics, /healthz and /readyz here, for example 0.0.0.0:8080. Without it, nothing is served.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<SocketAddr>,

    /// Serve only /healthz and /readyz here too, so that metrics can be kept from clients that probe.
    #[arg(long, value_name = "ADDRESS")]
    pub probe_addr: Option<SocketAddr>,

    /// Let only one of several replicas write, agreed by a Lease.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
}

/// Log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
