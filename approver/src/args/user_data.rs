//! The flags of `user-data`.

use std::path::PathBuf;

use clap::ValueEnum;

/// The flags of `user-data`.
#[derive(Clone, Debug, clap::Args)]
pub struct UserDataArgs {
    /// Distribution of the machine: decides the file paths of its kubelet and the name of its service.
    #[arg(long, visible_alias = "flavor", value_enum, default_value_t)]
    pub flavour: Flavour,

    /// Bootstrap kubeconfig, as made by `rollcall-approver bootstrap-kubeconfig`; - is standard input. Only its current
    /// context goes to the machine, with the files that it names.
    #[arg(long, value_name = "FILE|-")]
    pub bootstrap_kubeconfig: PathBuf,

    /// The CA of the API server, PEM. Without it, that of the bootstrap kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// CA with which kubelet verifies its clients, PEM. Default: that of the API server, except for openshift4,
    /// where machines get it from elsewhere.
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

    /// Sources of the node name for node-agent, in order, separated by commas.
    #[arg(long, value_name = "SOURCE,...")]
    pub node_name_from: Option<String>,

    /// Private key, PEM, that proves the machine's identity; its public key is in the Machine record.
    #[arg(long, value_name = "FILE")]
    pub join_key: Option<PathBuf>,

    /// A flag of rollcall-node-agent, without its dashes, such as timeout=30m. May be given several times.
    #[arg(long = "agent-flag", value_name = "NAME=VALUE")]
    pub agent_flags: Vec<String>,

    /// Another file: where on the machine, its mode (0600 without one), and its content from a local file. May be given
    /// several times.
    #[arg(long = "file", value_name = "PATH[:MODE]=FILE")]
    pub files: Vec<String>,

    /// Additional systemd unit, under its own name; one with an Install section is enabled and started, unless
    /// it is a template. May be given several times.
    #[arg(long = "unit", value_name = "FILE")]
    pub units: Vec<PathBuf>,

    /// User-data of your own to go with it, of any type that cloud-init knows by its first line; the answer is MIME
    /// multi-part then. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub merge: Vec<PathBuf>,

    /// Compress it; cloud-init unpacks it.
    #[arg(long)]
    pub gzip: bool,

    /// Output format.
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

    /// Do not check with the API server of the bootstrap kubeconfig what the credential may do. By default, an administrator's
    /// credential is refused, and an unreachable API server causes a warning.
    #[arg(long)]
    pub offline: bool,

    /// Configuration file of the approver. Its join window is the useful lifetime of a credential; without it, the default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Write the answer into this file, which only you may read. Without it: to standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,

    /// Overwrite that file.
    #[arg(long, requires = "to")]
    pub force: bool,
}

/// The distribution of a machine, which decides its file paths.
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

/// The output format of user-data.
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
