//! Hypothetical decisions about requests that other clients decided, for comparison.

use jiff::Timestamp;

use super::Cluster;
use crate::{Decision, Machine, Request, Standing, decide};

impl Cluster {
    /// Returns the decision for a request as if it were pending now.
    pub fn suppose(&self, request: &Request, now: Timestamp) -> Decision {
        let request = undecided(request);
        decide(&request, &self.facts(&request, now), &self.policy, now)
    }

    /// Returns the decision for a request at the time when another client decided it, as far as the current state allows.
    /// Consequences of that decision are excluded: the Node that registered since, the Machine's reference to that Node,
    /// and the certificates issued since.
    pub fn retrace(&self, request: &Request, now: Timestamp) -> Decision {
        let Standing::Approved(at) = request.standing else {
            return self.suppose(request, now);
        };
        let request = undecided(request);
        let mut facts = self.facts(&request, at);
        facts.claims.retain(|claim| claim.approved_at < at);
        let registered_since = facts.node.is_some_and(|node| node.created_at >= at);
        if !registered_since || request.is_by_its_node() {
            return decide(&request, &facts, &self.policy, at);
        }
        let before = |machine: &&Machine| Machine {
            node_reference: None,
            ..(*machine).clone()
        };
        let owners: Vec<Machine> = facts.owners.iter().map(before).collect();
        facts.owners = owners.iter().collect();
        (facts.bound, facts.node) = (Vec::new(), None);
        decide(&request, &facts, &self.policy, at)
    }
}

fn undecided(request: &Request) -> Request {
    Request {
        standing: Standing::Pending,
        ..request.clone()
    }
}

#[cfg(test)]
mod tests {
    use crate::cluster::tests::{cluster, put, put_machine};
    use crate::fixtures::{at, machine, node, registered, request};
    use crate::{Change, Claim, MachineUid, Reason, Standing};

    #[test]
    fn what_came_of_an_approval_does_not_speak_against_it() {
        let mut cluster = cluster();
        let mut approved = request("csr-0", "worker-0", 0);
        approved.standing = Standing::Approved(at(80));
        put(&mut cluster, approved.clone());
        let mut bound = machine("m-0", "worker-0");
        bound.node_reference = Some(node("worker-0"));
        put_machine(&mut cluster, bound);
        cluster.apply(Change::Node(node("worker-0"), registered()), at(95));
        let now = cluster.suppose(&approved, at(1000));
        assert_eq!(now.verdict().as_str(), "hold");
        let then = cluster.retrace(&approved, at(1000));
        assert_eq!(then.reason(), Reason::FirstCertificate);
        // A Node that existed before did prevent approval.
        approved.standing = Standing::Approved(at(91));
        let then = cluster.retrace(&approved, at(1000));
        assert_eq!(then.verdict().as_str(), "hold");
    }

    #[test]
    fn a_certificate_issued_later_does_not_speak_against_an_earlier_one() {
        let mut cluster = cluster();
        put_machine(&mut cluster, machine("m-0", "worker-0"));
        let mut approved = request("csr-0", "worker-0", 0);
        approved.standing = Standing::Approved(at(80));
        put(&mut cluster, approved.clone());
        let later = request("csr-1", "worker-0", 1);
        let claim = |seconds| {
            Change::Claimed(Claim {
                approved_at: at(seconds),
                key: later.key().unwrap(),
                machine: MachineUid("m-0".to_owned()),
                request: later.uid.clone(),
            })
        };
        cluster.apply(claim(81), at(81));
        let then = cluster.retrace(&approved, at(1000));
        assert_eq!(then.reason(), Reason::FirstCertificate);
    }

    #[test]
    fn a_denial_is_judged_by_what_is_known_now() {
        let mut cluster = cluster();
        let mut denied = request("csr-0", "worker-0", 0);
        denied.standing = Standing::Closed;
        put(&mut cluster, denied.clone());
        let then = cluster.retrace(&denied, at(100));
        assert_eq!(then.reason(), Reason::MachineNotFound);
    }
}
