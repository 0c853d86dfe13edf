//! The flags of `bootstrap-kubeconfig`.

use std::path::PathBuf;

use clap::ValueEnum;

/// The flags of `bootstrap-kubeconfig`.
#[derive(Clone, Debug, clap::Args)]
pub struct BootstrapKubeconfigArgs {
    /// Make the token for one Machine: the approver approves nothing else with it. Without a namespace, the Machine is in the
    /// first one of the configuration.
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub machine: Option<String>,

    /// Use a token of this ServiceAccount instead of a bootstrap token.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        conflicts_with_all = ["machine", "groups", "description"]
    )]
    pub service_account: Option<String>,

    /// Lifetime of the token, like 30m or 2h [default: the join window of the configuration].
    #[arg(long, value_name = "DURATION")]
    pub ttl: Option<String>,

    /// Description of the token, stored in its Secret.
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Group, system:bootstrappers:..., that the token grants besides system:bootstrappers. May be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,

    /// Give the missing right to ask for certificates, and no other: a ClusterRoleBinding to system:node-bootstrapper.
    #[arg(long)]
    pub create_rights: bool,

    /// The URL by which machines reach the API server. Without it, that of the current context.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,

    /// The CA of the API server, PEM. Without it, that of the current context.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Configuration file of the approver: its join window, its bootstrappers and its sources of Machines count.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the cluster that keeps the Machine records, where that is another one.
    #[arg(long, value_name = "FILE", requires = "machine")]
    pub management_kubeconfig: Option<PathBuf>,

    /// Format of the kubeconfig.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: KubeconfigFormat,

    /// Write the kubeconfig into this file, which only you may read. Without it: to standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,

    /// Overwrite that file.
    #[arg(long, requires = "to")]
    pub force: bool,
}

/// The format of a kubeconfig; kubelet and node-agent read both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KubeconfigFormat {
    /// JSON.
    Json,
    /// YAML.
    #[default]
    Yaml,
}
