//! KubeadmConfigs: Cluster API makes one bootstrap token for each Machine and names it there, not in the Machine.

use std::collections::{BTreeSet, HashMap};

use crate::{Machine, MachineReference, MachineUid};

/// One KubeadmConfig: how the machine that it is for joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeadmConfig {
    /// Where to find it: in the namespace of its Machine.
    pub reference: MachineReference,
    /// What the machine joins with.
    pub token: JoinToken,
}

/// The bootstrap token that a machine joins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinToken {
    /// It is not known yet.
    Awaited,
    /// The one of this id. Its secret is never kept.
    Id(String),
    /// None: the machine joins in another way.
    Unused,
}

impl Machine {
    /// Where the KubeadmConfig is that says how this machine joins, if one does.
    pub(crate) fn kubeadm_config(&self) -> Option<MachineReference> {
        Some(MachineReference {
            namespace: self.reference.namespace.clone(),
            name: self.kubeadm_config.clone()?,
        })
    }
}

/// Every known KubeadmConfig, and whose each is.
#[derive(Debug, Default)]
pub(crate) struct KubeadmConfigs {
    tokens: HashMap<MachineReference, JoinToken>,
    by_id: HashMap<String, BTreeSet<MachineReference>>,
    machines: HashMap<MachineReference, BTreeSet<MachineUid>>,
}

impl KubeadmConfigs {
    /// Keeps what a KubeadmConfig says. Returns whether that is news.
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

    /// Forgets a KubeadmConfig. Returns whether it was known.
    pub(crate) fn remove(&mut self, reference: &MachineReference) -> bool {
        let Some(token) = self.tokens.remove(reference) else {
            return false;
        };
        if let JoinToken::Id(id) = token {
            take(&mut self.by_id, &id, reference);
        }
        true
    }

    /// The known ones, by where they are.
    pub(crate) fn references(&self) -> impl Iterator<Item = &MachineReference> {
        self.tokens.keys()
    }

    /// A Machine came, or came to name another KubeadmConfig.
    pub(crate) fn link(&mut self, machine: &Machine) {
        if let Some(config) = machine.kubeadm_config() {
            let machines = self.machines.entry(config).or_default();
            machines.insert(machine.uid.clone());
        }
    }

    /// A Machine went, or is about to change.
    pub(crate) fn unlink(&mut self, machine: &Machine) {
        if let Some(config) = machine.kubeadm_config() {
            take(&mut self.machines, &config, &machine.uid);
        }
    }

    /// The Machines that name a KubeadmConfig.
    pub(crate) fn machines(
        &self,
        reference: &MachineReference,
    ) -> impl Iterator<Item = &MachineUid> {
        self.machines.get(reference).into_iter().flatten()
    }

    /// The Machines that a bootstrap token was made for.
    pub(crate) fn of_token(&self, id: &str) -> impl Iterator<Item = &MachineUid> {
        let configs = self.by_id.get(id).into_iter().flatten();
        configs.flat_map(|config| self.machines(config))
    }

    /// What is known of the KubeadmConfig that a Machine names, if it names one.
    pub(crate) fn of(&self, machine: &Machine) -> Option<KubeadmConfig> {
        let reference = machine.kubeadm_config()?;
        let token = self.tokens.get(&reference);
        Some(KubeadmConfig {
            token: token.cloned().unwrap_or(JoinToken::Awaited),
            reference,
        })
    }
}

/// Takes a value out of an index.
fn take<K: Eq + std::hash::Hash, V: Ord>(index: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
