//! The progress of Machines on their way into the cluster.

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use super::Cluster;
use crate::{Finding, Join, JoinStage, Machine, Node, Source, Standing, Verdict, window};

impl Cluster {
    /// Returns the progress of every Machine of a source.
    pub fn joins(&self, source: Source, now: Timestamp) -> Vec<Join> {
        let machines = self.roll.iter();
        machines
            .filter(|machine| machine.source == source)
            .map(|machine| self.join_of(machine, now))
            .collect()
    }

    fn join_of(&self, machine: &Machine, now: Timestamp) -> Join {
        let claims = self.claims_on(machine);
        let last = claims.iter().max_by_key(|claim| claim.approved_at);
        let spent = last.and_then(|claim| self.requests.get(&claim.request));
        let approved = last.map(|claim| {
            let name = spent.map(|request| request.name.clone());
            (claim.approved_at, name)
        });
        let issued = spent.is_some_and(|request| request.issued);
        let earliest = claims.iter().map(|claim| claim.approved_at).min();
        let node = self.node_of(machine, earliest);
        let known = node.as_ref().map(|(_, node)| node);
        let adopted = known.is_some_and(|node| machine.adopted_node.as_ref() == Some(&node.uid));
        let other_node = self.other_node(machine).filter(|_| node.is_none());
        let waiting = self
            .waiting_for(machine, now)
            .filter(|_| node.is_none() && machine.node_reference.is_none());
        let stage = match (&node, &approved, &waiting) {
            (Some((name, node)), _, _) => self.stage_of(name, node),
            // A bound Machine had a certificate, even if it is no longer known.
            (None, _, _) if machine.node_reference.is_some() => JoinStage::Issued,
            (None, Some(_), _) if issued => JoinStage::Issued,
            (None, Some(_), _) => JoinStage::Approved,
            (None, None, Some(_)) => JoinStage::Requested,
            (None, None, None) => JoinStage::Provisioned,
        };
        Join {
            machine: machine.reference.clone(),
            uid: machine.uid.clone(),
            stage,
            waiting,
            approved,
            node,
            adopted,
            other_node,
            deadline: window::end(machine, &self.policy, now),
        }
    }

    /// The Node that a Machine has become: the one it is bound to or shares an instance with, or else the one with its name that
    /// its record was made for, or that registered after its first certificate was approved. Any other existing Node belongs to
    /// another machine.
    fn node_of(
        &self,
        machine: &Machine,
        approved_at: Option<Timestamp>,
    ) -> Option<(NodeName, Node)> {
        if let Some(name) = &machine.node_reference {
            let node = self.nodes.get(name)?;
            return Some((name.clone(), without_heartbeat(node)));
        }
        let names = self.roll.names_of(machine);
        let own = names.iter().find_map(|name| {
            let node = self.nodes.get(name)?;
            let own = |sole: &Machine| sole.uid == machine.uid || sole.is_same_as(machine);
            let bound = matches!(self.bound(name).as_slice(), [sole] if own(sole));
            bound.then(|| (name.clone(), without_heartbeat(node)))
        });
        if own.is_some() {
            return own;
        }
        let earliest = approved_at.and_then(|at| at.checked_sub(self.policy.clock_skew).ok());
        names.into_iter().find_map(|name| {
            let sole = matches!(self.owners(&name).as_slice(), [_]);
            let node = self.nodes.get(&name).filter(|_| sole)?;
            let adopted = machine.adopted_node.as_ref() == Some(&node.uid);
            let since = earliest.is_some_and(|earliest| node.created_at >= earliest);
            (adopted || since).then(|| (name, without_heartbeat(node)))
        })
    }

    /// The Node with the name of an unbound Machine.
    fn other_node(&self, machine: &Machine) -> Option<NodeName> {
        let mut names = self.roll.names_of(machine).into_iter();
        names.find(|name| machine.node_reference.is_none() && self.nodes.contains_key(name))
    }

    /// The stage of a Machine with this Node.
    fn stage_of(&self, name: &NodeName, node: &Node) -> JoinStage {
        if node.ready {
            JoinStage::Ready
        } else if self.has_serving_certificate(name, node) {
            JoinStage::Serving
        } else {
            JoinStage::Registered
        }
    }

    fn has_serving_certificate(&self, name: &NodeName, node: &Node) -> bool {
        self.own_under(name).any(|request| {
            let approved =
                matches!(request.standing, Standing::Approved(at) if at >= node.created_at);
            request.signer == Signer::KubeletServing && request.is_by_its_node() && approved
        })
    }

    /// The newest pending request for the Machine's first certificate, and the reason why it is held.
    fn waiting_for(&self, machine: &Machine, now: Timestamp) -> Option<(String, Finding)> {
        let newest_under = |name| {
            let filed = self.filed.get(name)?;
            let mut newest = filed.newest_first(Signer::KubeApiserverClientKubelet);
            newest.find_map(|uid| {
                let request = self.requests.get(uid)?;
                (!request.is_by_its_node()).then_some(request)
            })
        };
        let names = self.roll.names_of(machine);
        let request = names
            .iter()
            .filter_map(newest_under)
            .max_by_key(|request| {
                // The order in which requests supersede each other.
                (request.created_at, &request.name)
            })?;
        let decision = self.preview(&request.uid, now)?;
        match decision.verdict() {
            Verdict::Ignore => None,
            Verdict::Approve(_) | Verdict::Deny | Verdict::Hold(_) => {
                let finding = decision.findings().next()?.clone();
                Some((request.name.clone(), finding))
            }
        }
    }
}

/// Returns the Node without its heartbeat, so that a new one is not a change.
fn without_heartbeat(node: &Node) -> Node {
    Node {
        last_heartbeat: None,
        ..node.clone()
    }
}

#[cfg(test)]
#[path = "joins_tests.rs"]
mod tests;
