//! The flags of `user-data`.

use std::path::PathBuf;

use clap::ValueEnum;

/// The flags of `user-data`.
#[derive(Clone, Debug, clap::Args)]
pub struct UserDataArgs {
    /// Whose files the machine has: where its kubelet looks for what is written, and what its service is called.
    #[arg(long, visible_alias = "flavor", value_enum, default_value_t)]
    pub flavour: Flavour,

    /// The bootstrap kubeconfig, as `rollcall-approver bootstrap-kubeconfig` makes it; - is standard input. Only what
    /// its current context stands for goes to the machine, with the files that it names.
    #[arg(long, value_name = "FILE|-")]
    pub bootstrap_kubeconfig: PathBuf,

    /// The CA of the API server, PEM. Without it, that of the bootstrap kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The CA by which kubelet knows those who call it, PEM. Without it, that of the API server, except for openshift4,
    /// whose machines get it from elsewhere.
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_ca: Option<PathBuf>,

    /// Credentials of image registries: a config.json of docker or podman, or OpenShift's pull secret.
    #[arg(long, value_name = "FILE")]
    pub registry_credentials: Option<PathBuf>,

    /// KubeletConfiguration, YAML or JSON. Not for openshift311, which has its own from --node-config-name.
    #[arg(long, value_name = "FILE")]
    pub kubelet_config: Option<PathBuf>,

    /// openshift311: the node configuration, a ConfigMap in the namespace openshift-node [default: node-config-compute].
    #[arg(long, value_name = "NAME")]
    pub node_config_name: Option<String>,

    /// The unit that runs kubelet, where it is not the flavour's own: atomic-openshift-node.service on OpenShift
    /// Enterprise 3.11.
    #[arg(long, value_name = "UNIT")]
    pub node_service: Option<String>,

    /// Where node-agent gets the node's name from, one or more sources in order, with commas between.
    #[arg(long, value_name = "SOURCE,...")]
    pub node_name_from: Option<String>,

    /// Private key, PEM, that the machine proves itself with; its public key stands in the Machine record.
    #[arg(long, value_name = "FILE")]
    pub join_key: Option<PathBuf>,

    /// A flag of rollcall-node-agent, without its dashes, such as timeout=30m. May be given several times.
    #[arg(long = "agent-flag", value_name = "NAME=VALUE")]
    pub agent_flags: Vec<String>,

    /// Another file: where on the machine, its mode (0600 without one), and its content from a local file. May be given
    /// several times.
    #[arg(long = "file", value_name = "PATH[:MODE]=FILE")]
    pub files: Vec<String>,

    /// Another systemd unit, under its own name; one that says by what it is wanted is enabled and started. May be given
    /// several times.
    #[arg(long = "unit", value_name = "FILE")]
    pub units: Vec<PathBuf>,

    /// User-data of your own to go with it, of any type that cloud-init knows by its first line; the answer is MIME
    /// multi-part then. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub merge: Vec<PathBuf>,

    /// Compress it; cloud-init unpacks it.
    #[arg(long)]
    pub gzip: bool,

    /// What is made of it.
    #[arg(long, value_enum, default_value_t)]
    pub format: UserDataFormat,

    /// Name of the EC2 launch template or of the Secret [default: rollcall-FLAVOUR, for the Secret with -user-data].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Namespace of the Secret.
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "openshift-machine-api"
    )]
    pub namespace: String,

    /// Do not ask the API server of the bootstrap kubeconfig what the credential may do. Otherwise an administrator's is
    /// refused, and where the API server cannot be asked, a warning says so.
    #[arg(long)]
    pub offline: bool,

    /// Configuration file of the approver. Its join window says how long a credential is of use; without it, the default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Write the answer into this file, which only you may read. Without it: to standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,

    /// Overwrite that file.
    #[arg(long, requires = "to")]
    pub force: bool,
}

/// Whose files a machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Flavour {
    /// A kubelet with the paths of kubeadm.
    #[default]
    Kubelet,
    /// OpenShift 4 and OKD hosts.
    Openshift4,
    /// OpenShift and Origin 3.11, from a primed image.
    Openshift311,
}

/// What is made of user-data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UserDataFormat {
    /// The user-data itself.
    #[default]
    CloudConfig,
    /// Input of `aws ec2 create-launch-template --cli-input-json`.
    LaunchTemplate,
    /// A Secret that Machines name as their `userDataSecret`.
    Secret,
}
