//! Machines that come, change and go, and whom that wakes.

use std::collections::{BTreeSet, HashSet};

use super::Cluster;
use crate::{Machine, MachineUid, RequestUid, Scope, ServerName};

impl Cluster {
    /// Puts a Machine on the roll. Wakes whoever waits for its names, or for an address that it gets or loses.
    pub(super) fn put_machine(&mut self, machine: Machine) -> BTreeSet<RequestUid> {
        let before = self.roll.machine(&machine.uid);
        if before == Some(&machine) {
            return BTreeSet::new();
        }
        self.detached.remove(&machine.uid);
        let reached_by = before.into_iter().flat_map(ServerName::of_machine);
        let reached_by = reached_by.chain(ServerName::of_machine(&machine));
        let mut woken = self.asking.of(reached_by);
        woken.extend(self.wake(|known| known.roll.insert(machine)));
        woken
    }

    pub(super) fn remove_machine(&mut self, uid: &MachineUid) -> BTreeSet<RequestUid> {
        let before = self.roll.machine(uid).into_iter();
        let mut woken = self.asking.of(before.flat_map(ServerName::of_machine));
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
}
