//! Another configuration takes over, and everything known stays known.

use std::collections::{BTreeSet, HashSet};

use super::Cluster;
use crate::{Claim, Feed, MachineUid, Policy, RequestUid, Scope};

impl Cluster {
    /// Takes over another policy, and these places to read Machines in instead of the present ones. The Machines of a
    /// place that is no longer named leave the roll; what was approved for them stays known, should it be named again. What
    /// only a new one could know waits until it is complete; so does whoever comes with a bootstrap token, where the policy
    /// has it read whose it is. Returns every pending request.
    pub fn reconfigure(
        &mut self,
        policy: Policy,
        machines: &BTreeSet<Scope>,
    ) -> BTreeSet<RequestUid> {
        self.keep_claims();
        let gone = self.freshness.machines();
        let gone: Vec<Scope> = gone
            .filter(|scope| !machines.contains(scope))
            .cloned()
            .collect();
        self.detach(machines);
        for feed in gone.iter().flat_map(Scope::feeds) {
            if let Feed::ClusterAddresses(name) = &feed {
                self.cluster_addresses.forget(name);
            }
            self.freshness.forget(&feed);
        }
        for feed in machines.iter().flat_map(Scope::feeds) {
            self.freshness.expect(feed);
        }
        self.read_tokens_in(&policy.bootstrap_tokens);
        if policy.naming != self.policy.naming {
            self.roll.name_by(policy.naming.clone());
        }
        self.policy = policy;
        self.pending().collect()
    }

    /// Has bootstrap tokens read in these places instead of the present ones, and forgets those of the others.
    fn read_tokens_in(&mut self, scopes: &BTreeSet<Scope>) {
        let gone = self.policy.bootstrap_tokens.difference(scopes);
        let gone: Vec<Scope> = gone.cloned().collect();
        for scope in gone {
            // Every pending request is judged again anyway.
            drop(self.retain_kubeadm_configs(&scope, &HashSet::new()));
            self.freshness.forget(&Feed::KubeadmConfigs(scope));
        }
        for scope in scopes {
            self.freshness.expect(Feed::KubeadmConfigs(scope.clone()));
        }
    }

    /// Keeps what approved requests claim now, so that no other way to read names or clocks gives a Machine out again.
    fn keep_claims(&mut self) {
        let roll = self.roll.iter();
        let claims: Vec<Claim> = roll.flat_map(|machine| self.claims_on(machine)).collect();
        for claim in claims {
            self.claims.insert(claim);
        }
    }

    /// Takes the Machines off the roll that are read nowhere any more, and remembers those that are spent.
    fn detach(&mut self, machines: &BTreeSet<Scope>) {
        let gone = self.roll.iter().filter(|machine| {
            let mut scopes = machines.iter();
            !scopes.any(|scope| scope.covers(machine))
        });
        let gone: Vec<MachineUid> = gone.map(|machine| machine.uid.clone()).collect();
        for uid in gone {
            // Every pending request is judged again anyway.
            drop(self.remove_machine(&uid));
            if self.claims.is_claimed(&uid) {
                self.detached.insert(uid);
            }
        }
    }
}

#[cfg(test)]
#[path = "../cluster_reconfigure_tests.rs"]
mod tests;
