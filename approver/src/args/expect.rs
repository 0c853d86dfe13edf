//! The flags of `expect`.

use std::path::PathBuf;

use super::Output;

/// The flags of `expect`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExpectArgs {
    /// The name of the record.
    #[arg(value_name = "NAME", required_unless_present = "from")]
    pub name: Option<String>,

    /// The name of the Node that the machine becomes. Without it: NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub node_name: Option<String>,

    /// An IP address or DNS name that the machine is reached by, and that may stand in its serving certificate. May be
    /// given several times.
    #[arg(long = "address", value_name = "ADDRESS", conflicts_with = "from")]
    pub addresses: Vec<String>,

    /// The cloud's name for the instance, such as aws:///eu-west-1a/i-0123456789abcdef0.
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub provider_id: Option<String>,

    /// Until when the machine may ask for its first certificate: 2h from now, or a time (RFC 3339). Without it, the join
    /// window of the approver's configuration counts. With --from, it is for those that have none.
    #[arg(long, value_name = "DURATION|RFC3339")]
    pub join_by: Option<String>,

    /// A file with the public key (PEM, PUBLIC KEY) that whoever joins as this machine has to prove to hold.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub join_key: Option<PathBuf>,

    /// The set of like machines that it belongs to. With --from, it is for those that have none.
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,

    /// Expect every machine in this file, or in standard input (-): CSV with a header (.csv), a YAML list, or an Ansible
    /// inventory in INI or YAML. Columns and keys: name, nodeName, addresses, providerID, joinBy, joinKey, pool. Variables
    /// of a host: ansible_host, rollcall_addresses, rollcall_join_by, rollcall_join_key, rollcall_name,
    /// rollcall_node_name, rollcall_pool, rollcall_provider_id; its only group is its pool.
    #[arg(long, value_name = "FILE|-", conflicts_with = "name")]
    pub from: Vec<PathBuf>,

    /// Of an Ansible inventory, expect only the hosts in this group and in those below it. May be given several times.
    #[arg(long = "group", value_name = "NAME", conflicts_with = "name")]
    pub groups: Vec<String>,

    /// Do what can be done when some of the machines cannot be expected. Without it, then nothing is done.
    #[arg(long, requires = "from")]
    pub keep_going: bool,

    /// Print what would be applied, as YAML (or JSON with -o json), and do nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the cluster that keeps the Machine records, where that is another one.
    #[arg(long, value_name = "FILE")]
    pub management_kubeconfig: Option<PathBuf>,
}
