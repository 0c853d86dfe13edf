//! The command line, without logic: a doc comment per flag is its help text.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::Mode;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed while running
  64  bad usage or configuration: nothing was started";

/// Lets machines that were asked for join a Kubernetes or OpenShift cluster, and nobody else.
///
/// A machine that boots asks for the kubelet's certificate with a CertificateSigningRequest. The approver checks every
/// such request against the roll, the Machine records of the cluster, and approves only what the roll vouches for.
/// Everything else waits, and says what for.
#[derive(Debug, Parser)]
#[command(name = "rollcall-approver", version, after_help = EXIT_CODES)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller: watch requests, Machines and Nodes, decide, approve.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
}

/// The flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Configuration file (apiVersion rollcall.dev/v1alpha1, kind ApproverConfig). Without it, the defaults hold:
    /// OpenShift Machines in openshift-machine-api and the bootstrappers of OpenShift and kubeadm.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the cluster that keeps the Machine records, where that is another one.
    #[arg(long, value_name = "FILE")]
    pub management_kubeconfig: Option<PathBuf>,

    /// Namespace of the Lease and of the record of claims. Without it: the pod's own, else that of the kubeconfig.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// What to do with a verdict: `enforce` approves, `manual` only shows it, `audit` writes nothing at all.
    /// Overrides the configuration file.
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,

    /// Serve /metrics, /healthz and /readyz here, for example 0.0.0.0:8080. Without it, nothing is served.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_addr: Option<SocketAddr>,

    /// Let only one of several replicas write, agreed by a Lease.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub leader_elect: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
