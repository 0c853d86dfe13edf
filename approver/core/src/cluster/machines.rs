//! Machines: their changes, and the requests that these wake.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::Cluster;
use crate::{
    HealthCheck, Machine, MachineReference, MachineUid, Remediation, RequestUid, Scope, ServerName,
    Source,
};

impl Cluster {
    /// Adds or updates a Machine. Wakes the requests for its names, and for the addresses that it gets or loses.
    pub(super) fn put_machine(&mut self, mut machine: Machine) -> BTreeSet<RequestUid> {
        let before = self.roll.machine(&machine.uid);
        // The first time counts: an instance that becomes ready repeatedly does not restart the window.
        let ready = before.and_then(|before| before.ready_at).into_iter();
        machine.ready_at = ready.chain(machine.ready_at).min();
        if before == Some(&machine) {
            return BTreeSet::new();
        }
        self.detached.remove(&machine.uid);
        if let Some(before) = before {
            self.kubeadm_configs.unlink(before);
        }
        self.kubeadm_configs.link(&machine);
        let reached_by = before.into_iter().flat_map(ServerName::of_machine);
        let reached_by = reached_by.chain(ServerName::of_machine(&machine));
        let mut woken = self.asking.of(reached_by);
        woken.extend(self.wake(|known| known.roll.insert(machine)));
        woken
    }

    pub(super) fn remove_machine(&mut self, uid: &MachineUid) -> BTreeSet<RequestUid> {
        let before = self.roll.machine(uid);
        if let Some(before) = before {
            self.kubeadm_configs.unlink(before);
        }
        let reached_by = before.into_iter().flat_map(ServerName::of_machine);
        let mut woken = self.asking.of(reached_by);
        woken.extend(self.wake(|known| known.roll.remove(uid)));
        woken
    }

    pub(super) fn retain_machines(
        &mut self,
        scope: &Scope,
        present: &HashSet<MachineUid>,
    ) -> BTreeSet<RequestUid> {
        let gone: Vec<MachineUid> = self
            .roll
            .iter()
            .filter(|machine| scope.covers(machine) && !present.contains(&machine.uid))
            .map(|machine| machine.uid.clone())
            .collect();
        gone.iter()
            .flat_map(|uid| self.remove_machine(uid))
            .collect()
    }

    /// Adds or updates a MachineHealthCheck. No decision depends on one, so it wakes no request.
    pub(super) fn put_health_check(&mut self, check: HealthCheck) -> BTreeSet<RequestUid> {
        let key = (check.source, check.reference.clone());
        self.health_checks.insert(key, check);
        BTreeSet::new()
    }

    pub(super) fn remove_health_check(
        &mut self,
        source: Source,
        reference: MachineReference,
    ) -> BTreeSet<RequestUid> {
        self.health_checks.remove(&(source, reference));
        BTreeSet::new()
    }

    pub(super) fn retain_health_checks(
        &mut self,
        scope: &Scope,
        present: &HashSet<MachineReference>,
    ) -> BTreeSet<RequestUid> {
        let inside = |namespace: &str| scope.namespace.is_empty() || scope.namespace == namespace;
        self.health_checks.retain(|(source, reference), _| {
            *source != scope.source || !inside(&reference.namespace) || present.contains(reference)
        });
        BTreeSet::new()
    }

    /// The Machines that a MachineHealthCheck will delete or repair, and when, by their records; of several checks, the one
    /// that acts first.
    pub fn remediations(&self, now: Timestamp) -> HashMap<MachineUid, Remediation> {
        let mut all: HashMap<MachineUid, Remediation> = HashMap::new();
        let node = |machine: &Machine| {
            let name = machine.node_reference.as_ref()?;
            self.nodes.get(name)
        };
        for check in self.health_checks.values() {
            for (machine, remediation) in check.look(self.roll.iter(), node, now) {
                let sooner = |known: &Remediation| {
                    (known.held_back, known.at) <= (remediation.held_back, remediation.at)
                };
                if !all.get(&machine.uid).is_some_and(sooner) {
                    all.insert(machine.uid.clone(), remediation);
                }
            }
        }
        all
    }
}
