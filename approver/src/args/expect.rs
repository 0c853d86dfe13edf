//! The flags of `expect`.

use std::path::PathBuf;

use super::Output;

/// The flags of `expect`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExpectArgs {
    /// The name of the record.
    #[arg(value_name = "NAME", required_unless_present_any = ["from", "from_nodes", "from_audit"])]
    pub name: Option<String>,

    /// The name of the Node that the machine becomes. Without it: NAME.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub node_name: Option<String>,

    /// IP address or DNS name of the machine, allowed in its serving certificate. May be given several times.
    #[arg(long = "address", value_name = "ADDRESS", conflicts_with = "from")]
    pub addresses: Vec<String>,

    /// The cloud's name for the instance, such as aws:///eu-west-1a/i-0123456789abcdef0.
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    pub provider_id: Option<String>,

    /// Until when the machine may ask for its first certificate: 2h from now, or a time (RFC 3339). Without it, the join
    /// window of the approver's configuration counts. With --from, it is for those that have none.
    #[arg(long, value_name = "DURATION|RFC3339")]
    pub join_by: Option<String>,

    /// File with a public key (PEM, PUBLIC KEY). The machine has to prove that it holds the private key.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub join_key: Option<PathBuf>,

    /// The set of like machines that it belongs to. With --from, it is for those that have none.
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,

    /// Expect every machine in this file, or in standard input (-): CSV with a header (.csv), a YAML list, or an Ansible
    /// inventory in INI or YAML. Columns and keys: name, nodeName, addresses, providerID, joinBy, joinKey, pool. Variables
    /// of a host: ansible_host, rollcall_addresses, rollcall_join_by, rollcall_join_key, rollcall_name,
    /// rollcall_node_name, rollcall_pool, rollcall_provider_id; its only group is its pool.
    /// With --from-nodes: read Nodes and Machines from this dump (a file, a directory, or - for standard input) instead of the
    /// cluster; this takes --dry-run.
    #[arg(long, value_name = "FILE|DIR|-", conflicts_with = "name")]
    pub from: Vec<PathBuf>,

    /// Of an Ansible inventory, expect only the hosts in this group and in those below it. May be given several times.
    #[arg(long = "group", value_name = "NAME", conflicts_with = "name")]
    pub groups: Vec<String>,

    /// Do what can be done when some of the machines cannot be expected. Without it, then nothing is done.
    #[arg(long, requires = "from")]
    pub keep_going: bool,

    /// Print what would be applied, as YAML (or JSON with -o json), and change nothing. With --from-nodes, print a table unless
    /// -o is given.
    #[arg(long)]
    pub dry_run: bool,

    /// Nodes that are there already.
    #[command(flatten)]
    pub adoption: AdoptionArgs,

    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,

    /// Kubeconfig of the cluster that nodes join. Without it: the pod's own credentials, else $KUBECONFIG.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Kubeconfig of the cluster that keeps the Machine records, where that is another one.
    #[arg(long, value_name = "FILE")]
    pub management_kubeconfig: Option<PathBuf>,
}

/// The flags of `expect` that are about Nodes which were there before their records.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Adopting the Nodes of a running cluster")]
pub struct AdoptionArgs {
    /// Adopt Nodes: write a record for every Node that no Machine of the configured sources knows, and bind it to its Node, so
    /// that the node's next renewals are decided. Shows them first, and asks. Start with --dry-run, which only shows.
    #[arg(long, conflicts_with_all = ["name", "join_by", "groups"])]
    pub from_nodes: bool,

    /// Adopt the Nodes whose certificates others approved in mode audit without a matching Machine: the report that the
    /// approver serves under /audit, as a file or on standard input (-).
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["name", "join_by", "groups", "from"])]
    pub from_audit: Option<PathBuf>,

    /// Adopt this Node only. May be given several times. An ExpectedMachine that owns the name of a Node named here, and is not
    /// bound, is bound to it.
    #[arg(long = "node", value_name = "NODE", conflicts_with = "name")]
    pub nodes: Vec<String>,

    /// Adopt only Nodes with these labels, as kubectl writes it: node-role.kubernetes.io/control-plane, zone=a, zone!=b. Parts
    /// are apart by commas, and all must hold.
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "name")]
    pub selector: Option<String>,

    /// Leave this Node as it is. May be given several times.
    #[arg(long, value_name = "NODE", conflicts_with = "name")]
    pub exclude: Vec<String>,

    /// Addresses of the nodes, from a source that you trust: a file as for --from (CSV, YAML, Ansible inventory). Its
    /// names are Node names; hosts that are not adopted are skipped.
    #[arg(long = "addresses", value_name = "FILE", conflicts_with = "name")]
    pub addresses_file: Option<PathBuf>,

    /// Connect to nodes that have no addresses in the file or from a cloud, at the addresses in their Node. The names in the
    /// serving certificate count if the kubelet CA signed it for that node.
    #[arg(long, conflicts_with_all = ["name", "from"])]
    pub dial: bool,

    /// Without another source of addresses, use those that the node's own kubelet reports. They are not proven:
    /// check each before you confirm.
    #[arg(long, conflicts_with = "name")]
    pub kubelet_addresses: bool,

    /// Do not ask for confirmation. Required without a terminal.
    #[arg(long, conflicts_with = "name")]
    pub yes: bool,

    /// Configuration file of the approver, with the sources of the Machine records that know Nodes.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    pub config: Option<PathBuf>,
}

impl AdoptionArgs {
    /// Returns true if Nodes are to be adopted.
    pub fn is_wanted(&self) -> bool {
        self.from_nodes || self.from_audit.is_some()
    }

    /// A flag that means nothing without those that have Nodes adopted.
    pub fn idle(&self) -> Option<&'static str> {
        let given = [
            (!self.nodes.is_empty(), "--node"),
            (self.selector.is_some(), "--selector"),
            (!self.exclude.is_empty(), "--exclude"),
            (self.addresses_file.is_some(), "--addresses"),
            (self.dial, "--dial"),
            (self.kubelet_addresses, "--kubelet-addresses"),
            (self.yes, "--yes"),
            (self.config.is_some(), "--config"),
        ];
        let given = given.into_iter().find(|(given, _)| *given);
        given.filter(|_| !self.is_wanted()).map(|(_, flag)| flag)
    }
}
