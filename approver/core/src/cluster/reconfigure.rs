//! Applies a new configuration without losing the known state.

use std::collections::{BTreeSet, HashSet};

use super::Cluster;
use crate::{Claim, Feed, MachineUid, Policy, RequestUid, Scope};

impl Cluster {
    /// Applies another policy, and replaces the scopes in which Machines are read. Machines of a removed scope leave the
    /// roll; their claims are kept, in case the scope is added again. Requests that only a new scope could answer wait
    /// until it is synced; so do those with a bootstrap token, if the policy reads the Machines of tokens. Returns every
    /// pending request.
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

    /// Replaces the scopes in which bootstrap tokens are read, and removes the tokens of the others.
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

    /// Keeps the current claims of approved requests, so that a change of name strategies or clock skew never reissues
    /// a Machine.
    fn keep_claims(&mut self) {
        let roll = self.roll.iter();
        let claims: Vec<Claim> = roll.flat_map(|machine| self.claims_on(machine)).collect();
        for claim in claims {
            self.claims.insert(claim);
        }
    }

    /// Removes the Machines that are no longer read from the roll, and remembers the spent ones.
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
