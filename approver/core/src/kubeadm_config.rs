//! KubeadmConfigs: Cluster API creates one bootstrap token for each Machine and stores its id there, not in the
//! Machine.

use std::collections::{BTreeSet, HashMap};

use crate::{Machine, MachineReference, MachineUid};

/// One KubeadmConfig: the join configuration of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeadmConfig {
    /// The name, and the namespace of its Machine.
    pub reference: MachineReference,
    /// The bootstrap token of the machine.
    pub token: JoinToken,
}

/// The bootstrap token of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinToken {
    /// Not known yet.
    Awaited,
    /// The token with this id. The secret is never stored.
    Id(String),
    /// No token: the machine joins in another way.
    Unused,
}

impl Machine {
    /// The KubeadmConfig of this machine, if it has one.
    pub(crate) fn kubeadm_config(&self) -> Option<MachineReference> {
        Some(MachineReference {
            namespace: self.reference.namespace.clone(),
            name: self.kubeadm_config.clone()?,
        })
    }
}

/// Every known KubeadmConfig, and its Machines.
#[derive(Debug, Default)]
pub(crate) struct KubeadmConfigs {
    tokens: HashMap<MachineReference, JoinToken>,
    by_id: HashMap<String, BTreeSet<MachineReference>>,
    machines: HashMap<MachineReference, BTreeSet<MachineUid>>,
}

impl KubeadmConfigs {
    /// Adds or updates a KubeadmConfig. Returns true if it changed.
    pub(crate) fn put(&mut self, config: KubeadmConfig) -> bool {
        let KubeadmConfig { reference, token } = config;
        if self.tokens.get(&reference) == Some(&token) {
            return false;
        }
        self.remove(&reference);
        if let JoinToken::Id(id) = &token {
            let configs = self.by_id.entry(id.clone()).or_default();
            configs.insert(reference.clone());
        }
        self.tokens.insert(reference, token);
        true
    }

    /// Removes a KubeadmConfig. Returns true if it was known.
    pub(crate) fn remove(&mut self, reference: &MachineReference) -> bool {
        let Some(token) = self.tokens.remove(reference) else {
            return false;
        };
        if let JoinToken::Id(id) = token {
            take(&mut self.by_id, &id, reference);
        }
        true
    }

    /// The references of the known KubeadmConfigs.
    pub(crate) fn references(&self) -> impl Iterator<Item = &MachineReference> {
        self.tokens.keys()
    }

    /// Adds a Machine's reference to its KubeadmConfig.
    pub(crate) fn link(&mut self, machine: &Machine) {
        if let Some(config) = machine.kubeadm_config() {
            let machines = self.machines.entry(config).or_default();
            machines.insert(machine.uid.clone());
        }
    }

    /// Removes a Machine's reference, before it is removed or changed.
    pub(crate) fn unlink(&mut self, machine: &Machine) {
        if let Some(config) = machine.kubeadm_config() {
            take(&mut self.machines, &config, &machine.uid);
        }
    }

    /// The Machines that refer to a KubeadmConfig.
    pub(crate) fn machines(
        &self,
        reference: &MachineReference,
    ) -> impl Iterator<Item = &MachineUid> {
        self.machines.get(reference).into_iter().flatten()
    }

    /// The Machines of a bootstrap token.
    pub(crate) fn of_token(&self, id: &str) -> impl Iterator<Item = &MachineUid> {
        let configs = self.by_id.get(id).into_iter().flatten();
        configs.flat_map(|config| self.machines(config))
    }

    /// The KubeadmConfig of a Machine, as far as known, if it refers to one.
    pub(crate) fn of(&self, machine: &Machine) -> Option<KubeadmConfig> {
        let reference = machine.kubeadm_config()?;
        let token = self.tokens.get(&reference);
        Some(KubeadmConfig {
            token: token.cloned().unwrap_or(JoinToken::Awaited),
            reference,
        })
    }
}

/// Removes a value from an index.
fn take<K: Eq + std::hash::Hash, V: Ord>(index: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
