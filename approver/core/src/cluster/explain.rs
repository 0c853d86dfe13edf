//! Explanations of a hold for users, beyond the facts that decided it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rollcall_csr::NodeName;

use super::Cluster;
use crate::near_miss::{self, Search};
use crate::{Decision, Feed, Machine, Reason, Request, Source, Verdict};

impl Cluster {
    /// Remembers a known Machine that the configuration excludes, so that a reason can name it.
    pub fn leave_out(&mut self, machine: Machine) {
        self.strangers.insert(machine);
    }

    /// Returns the decision for display: a hold without a Machine lists near misses. They are only computed here, so that
    /// decisions stay cheap.
    pub fn explained<'d>(&self, request: &Request, decision: &'d Decision) -> Cow<'d, Decision> {
        match (decision.verdict(), request.node_name()) {
            (Verdict::Hold(_), Some(name)) => Cow::Owned(self.explain(&name, decision.clone())),
            (Verdict::Hold(_), None)
            | (Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore, _) => Cow::Borrowed(decision),
        }
    }

    /// Pools that the configuration has rules for but that have no Machine: one may be misspelt, so that its rules apply
    /// to none.
    pub fn empty_pools(&self) -> BTreeSet<&str> {
        let ranges = self.policy.serving.extra_ranges.iter();
        let ranges = ranges.map(|extra| extra.pool.as_str());
        let rules = self.policy.pools.keys().map(String::as_str);
        let mut named: BTreeSet<&str> = rules.chain(ranges).collect();
        if !named.is_empty() {
            for pool in self
                .roll
                .iter()
                .filter_map(|machine| machine.pool.as_deref())
            {
                named.remove(pool);
            }
        }
        named
    }

    fn explain(&self, name: &NodeName, mut decision: Decision) -> Decision {
        let looked_up = self
            .freshness
            .has(|feed| matches!(feed, Feed::Instances(_)));
        let search = Search {
            roll: &self.roll,
            strangers: &self.strangers,
            looked_up,
        };
        let unheard = self.roll.unheard(name, &self.policy.vouching);
        decision.add(Reason::MachineNotFound, || match unheard.first() {
            Some((record, heard)) => describe_unheard(name, record, heard),
            None => search.describe(name),
        });
        let bound = self.bound(name);
        let unnamed = |machine: &&Machine| machine.source == Source::Karpenter && !looked_up;
        if bound.iter().any(unnamed) {
            decision.add(Reason::NameNotOwned, || near_miss::karpenter().to_owned());
        }
        decision
    }
}

/// The message for a name that is only owned by a record that may not vouch.
fn describe_unheard(name: &NodeName, record: &Machine, heard: &Machine) -> String {
    format!(
        "{} {} names it, and {} {}, a record of the same machine from a source that comes before in machines, owns other names and \
         vouches alone (vouching: first); if {name} is right, correct that record or its nameStrategies, list {} first, or set \
         vouching: any",
        record.source.as_str(),
        record.reference,
        heard.source.as_str(),
        heard.reference,
        record.source.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::machine;
    use crate::{Change, ExtraRange, Policy, Rules};

    #[test]
    fn pools_that_no_machine_is_in_are_known() {
        let mut policy = Policy::default();
        for pool in ["gpu", "wokers"] {
            policy.pools.insert(pool.to_owned(), Rules::default());
        }
        let ranges = ["workers", "edge"].map(|pool| ExtraRange {
            pool: pool.to_owned(),
            ranges: Vec::new(),
            shared: false,
        });
        policy.serving.extra_ranges = ranges.into();
        let mut cluster = Cluster::new(policy, []);
        let empty = |cluster: &Cluster| {
            cluster
                .empty_pools()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let all: Vec<String> = empty(&cluster);
        assert_eq!(all, ["edge", "gpu", "wokers", "workers"]);
        let put = |cluster: &mut Cluster, name: &str, pool: &str| {
            let pool = Some(pool.to_owned());
            let machine = Machine {
                pool,
                ..machine(name, name)
            };
            cluster.apply(
                Change::Machine(Box::new(machine)),
                jiff::Timestamp::UNIX_EPOCH,
            );
        };
        put(&mut cluster, "m-0", "workers");
        put(&mut cluster, "m-1", "gpu");
        let left: Vec<String> = empty(&cluster);
        assert_eq!(left, ["edge", "wokers"]);
    }
}
