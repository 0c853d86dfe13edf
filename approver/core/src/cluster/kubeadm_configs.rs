//! KubeadmConfigs: their changes, and the requests that these wake.

use std::collections::{BTreeSet, HashSet};

use super::Cluster;
use crate::{KubeadmConfig, Machine, MachineReference, RequestUid, Scope};

impl Cluster {
    pub(super) fn put_kubeadm_config(&mut self, config: KubeadmConfig) -> BTreeSet<RequestUid> {
        let reference = config.reference.clone();
        if self.kubeadm_configs.put(config) {
            self.pending_of_config(&reference)
        } else {
            BTreeSet::new()
        }
    }

    pub(super) fn remove_kubeadm_config(
        &mut self,
        reference: &MachineReference,
    ) -> BTreeSet<RequestUid> {
        if self.kubeadm_configs.remove(reference) {
            self.pending_of_config(reference)
        } else {
            BTreeSet::new()
        }
    }

    pub(super) fn retain_kubeadm_configs(
        &mut self,
        scope: &Scope,
        present: &HashSet<MachineReference>,
    ) -> BTreeSet<RequestUid> {
        let inside = |reference: &MachineReference| {
            scope.namespace.is_empty() || scope.namespace == reference.namespace
        };
        let known = self.kubeadm_configs.references();
        let gone: Vec<MachineReference> = known
            .filter(|reference| inside(reference) && !present.contains(reference))
            .cloned()
            .collect();
        gone.iter()
            .flat_map(|reference| self.remove_kubeadm_config(reference))
            .collect()
    }

    /// The pending requests for the names of a KubeadmConfig's Machines.
    fn pending_of_config(&self, reference: &MachineReference) -> BTreeSet<RequestUid> {
        let machines = self.kubeadm_configs.machines(reference);
        let names = machines
            .filter_map(|uid| self.roll.machine(uid))
            .flat_map(|machine| self.roll.names_around(machine))
            .collect();
        self.pending_under(&names)
    }

    /// The KubeadmConfigs of a record's machine, if they are read: from this record and those of other sources.
    pub(super) fn kubeadm_configs_of(&self, record: &Machine) -> Vec<KubeadmConfig> {
        let records = self.roll.mirrors(record).into_iter().chain([record]);
        records
            .filter(|record| self.policy.reads_token_of(record))
            .filter_map(|record| self.kubeadm_configs.of(record))
            .collect()
    }
}
