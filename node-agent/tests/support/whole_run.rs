//! A complete run of the agent on a machine, with a cluster in memory.

use std::sync::Arc;

use rollcall_node_agent::AgentError;
use rollcall_node_agent::agent::join;
use rollcall_node_agent::store::Checkpoint;

use crate::cluster::Cluster;
use crate::machine::Machine;

pub(crate) fn scene() -> (Arc<Cluster>, Machine) {
    let cluster = Cluster::new();
    let machine = Machine::new(&cluster.authority);
    (cluster, machine)
}

/// Runs the agent on its own runtime, which ends with it, as a process would.
pub(crate) fn run(
    cluster: &Arc<Cluster>,
    machine: &Machine,
    reached: impl Fn(Checkpoint) + 'static,
) -> Result<(), AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = cluster.client();
        let around = machine.around(client.clone(), client, reached);
        join(&machine.settings, &around).await
    })
}
