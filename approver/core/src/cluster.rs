//! The state of the cluster, from the watches, and the requests that each change wakes.
//!
//! All facts of a request of the first path are known under one node name: the Machines that own it, the Node, the
//! other requests. So the wake-up index is a map from node name to requests, and a change finds the requests to judge
//! again without scanning others.

mod addresses;
mod explain;
mod facts;
mod filed;
mod joins;
mod kubeadm_configs;
mod kubelets;
mod machines;
mod reconfigure;
mod requests;
mod retrospect;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::NodeName;

use self::facts::claim_of;
use self::filed::Filed;
use crate::asking::Asking;
use crate::blockers::Blockers;
use crate::claims::latest;
use crate::kubeadm_config::KubeadmConfigs;
use crate::timers::Timers;
use crate::{
    Change, Claim, Claims, Decision, Dialled, Feed, Freshness, HealthCheck, KnownAddresses,
    KubeletCa, MachineReference, MachineUid, Node, NodeLease, Policy, Request, RequestUid, Roll,
    Settlement, Source, Standing, Verdict, Verified, Wait, decide,
};

/// The known state of the cluster.
#[derive(Debug)]
pub struct Cluster {
    policy: Policy,
    freshness: Freshness,
    roll: Roll,
    /// Known Machines that do not count: a dump can contain some.
    strangers: Roll,
    health_checks: BTreeMap<(Source, MachineReference), HealthCheck>,
    kubeadm_configs: KubeadmConfigs,
    nodes: HashMap<NodeName, Node>,
    /// The Leases of the Nodes, as far as known.
    leases: HashMap<NodeName, NodeLease>,
    /// True if Leases are read on demand.
    asks_leases: bool,
    /// The results of the last dial of each node.
    served: HashMap<NodeName, Dialled>,
    kubelet_ca: Option<KubeletCa>,
    cluster_addresses: KnownAddresses,
    /// The Nodes by the addresses in their status.
    stated: HashMap<IpAddr, BTreeSet<NodeName>>,
    requests: HashMap<RequestUid, Request>,
    filed: HashMap<NodeName, Filed>,
    asking: Asking,
    blockers: Blockers,
    /// Approved requests that were deleted before a Machine of their name was known: they may have spent one.
    gone: HashMap<NodeName, Vec<Request>>,
    claims: Claims,
    /// Spent Machines of feeds that are no longer configured: they may return with the feed.
    detached: HashSet<MachineUid>,
    /// The last time that a node's certificate was known to be in use: the Node registered, or made a request for itself.
    used: HashMap<NodeName, Timestamp>,
    verified: Verified,
    timers: Timers,
    in_flight: BTreeMap<RequestUid, Option<Claim>>,
    uncertain: HashSet<RequestUid>,
    /// Pending requests for which the API server refused the last write.
    refused: HashSet<RequestUid>,
}

impl Cluster {
    /// Creates an empty state; decisions depend on these feeds.
    pub fn new(policy: Policy, feeds: impl IntoIterator<Item = Feed>) -> Self {
        Self {
            roll: Roll::new(policy.naming.clone()),
            policy,
            freshness: Freshness::new(feeds),
            strangers: Roll::new(BTreeMap::new()),
            health_checks: BTreeMap::new(),
            kubeadm_configs: KubeadmConfigs::default(),
            nodes: HashMap::new(),
            leases: HashMap::new(),
            asks_leases: false,
            served: HashMap::new(),
            kubelet_ca: None,
            cluster_addresses: KnownAddresses::default(),
            stated: HashMap::new(),
            requests: HashMap::new(),
            filed: HashMap::new(),
            asking: Asking::default(),
            blockers: Blockers::default(),
            gone: HashMap::new(),
            claims: Claims::default(),
            detached: HashSet::new(),
            used: HashMap::new(),
            verified: Verified::default(),
            timers: Timers::default(),
            in_flight: BTreeMap::new(),
            uncertain: HashSet::new(),
            refused: HashSet::new(),
        }
    }

    /// Enables checks of the certificates that nodes serve, verified by the kubelet CA from these sources; without any,
    /// they stay disabled.
    pub fn with_kubelet_ca(mut self, sources: impl IntoIterator<Item = String>) -> Self {
        let ca = KubeletCa::new(sources);
        self.kubelet_ca = (!ca.sources().is_empty()).then_some(ca);
        self
    }

    /// Makes decisions wait for a Node's Lease, which the caller reads on demand; otherwise only known Leases count.
    pub fn with_node_leases(mut self) -> Self {
        self.asks_leases = true;
        self
    }

    /// Applies one change. Returns the pending requests to judge again.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of news")]
    pub fn apply(&mut self, change: Change, now: Timestamp) -> BTreeSet<RequestUid> {
        match change {
            Change::Claimed(claim) => self.put_claim(claim, now),
            Change::ClusterAddresses(feed, said) => self.put_cluster_addresses(feed, said),
            Change::HealthCheck(check) => self.put_health_check(*check),
            Change::HealthCheckGone(source, reference) => {
                self.remove_health_check(source, reference)
            }
            Change::HealthCheckList(scope, present) => self.retain_health_checks(&scope, &present),
            Change::KubeadmConfig(config) => self.put_kubeadm_config(config),
            Change::KubeadmConfigGone(reference) => self.remove_kubeadm_config(&reference),
            Change::KubeadmConfigList(scope, present) => {
                self.retain_kubeadm_configs(&scope, &present)
            }
            Change::KubeletCa(source, authorities) => self.put_kubelet_ca(source, authorities),
            // After a clock change, the feed was still not up to date later than now.
            Change::Lost(feed, since) => self.lose(feed, since.min(now)),
            Change::Served(node, served) => self.wake(|known| known.put_served(node, served)),
            Change::Synced(Feed::KubeletCa(source)) => self.regain_kubelet_ca(&source),
            Change::Synced(feed) => {
                let news = self.freshness.live(feed);
                self.pending().filter(|_| news).collect()
            }
            Change::Machine(machine) => self.put_machine(*machine),
            Change::MachineGone(uid) => self.remove_machine(&uid),
            Change::MachineList(scope, present) => self.retain_machines(&scope, &present),
            Change::Node(name, node) => {
                let stated = self.put_stated(&name, &node.addresses);
                &stated | &self.wake(|known| known.put_node(name, node))
            }
            Change::NodeGone(name) => {
                let stated = self.put_stated(&name, &[]);
                &stated | &self.wake(|known| known.remove_node(name))
            }
            Change::NodeLease(name, renewed) => {
                let lease = NodeLease { at: now, renewed };
                self.wake(|known| known.put_lease(name, lease))
            }
            Change::NodeList(present) => {
                let stated = self.retain_stated(&present);
                &stated | &self.wake(|known| known.retain_nodes(&present))
            }
            Change::Request(request) => self.put_request(no_later(*request, now)),
            Change::RequestGone(uid) => self.remove_request(&uid),
            Change::RequestList(signer, present) => self.retain_requests(signer, &present),
        }
    }

    /// Adds a claim. An approver with a fast clock approved nothing later than now.
    fn put_claim(&mut self, mut claim: Claim, now: Timestamp) -> BTreeSet<RequestUid> {
        claim.approved_at = claim.approved_at.min(now);
        self.claims.insert(claim);
        BTreeSet::new()
    }

    fn lose(&mut self, feed: Feed, since: Timestamp) -> BTreeSet<RequestUid> {
        if let Feed::KubeletCa(source) = feed {
            return self.lose_kubelet_ca(&source, since);
        }
        let news = self.freshness.lost(&feed, since);
        self.pending().filter(|_| news).collect()
    }

    /// Decides a request that is pending and not being written. An approval or denial marks it as being written:
    /// [`Cluster::settle`] must follow.
    pub fn judge(&mut self, uid: &RequestUid, now: Timestamp) -> Option<Decision> {
        if self.in_flight.contains_key(uid) || !self.requests.get(uid)?.is_pending() {
            return None;
        }
        let decision = self.consider(uid, now)?;
        match decision.verdict() {
            Verdict::Approve(claim) => {
                if let Some(claim) = claim {
                    self.claims.insert(claim.clone());
                }
                self.in_flight.insert(uid.clone(), claim.clone());
            }
            Verdict::Deny => {
                self.in_flight.insert(uid.clone(), None);
            }
            Verdict::Hold(_) | Verdict::Ignore => {}
        }
        Some(decision)
    }

    /// Returns the decision for a request, and records what could change it. Does not mark the request as being
    /// written.
    pub fn consider(&mut self, uid: &RequestUid, now: Timestamp) -> Option<Decision> {
        let decision = self.preview(uid, now)?;
        let waits = match decision.verdict() {
            Verdict::Hold(waits) => waits.as_slice(),
            Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore => &[],
        };
        let until = waits.iter().filter_map(Wait::until).min();
        let blockers = waits.iter().filter_map(Wait::blocker).cloned().collect();
        self.timers.set(uid, until);
        self.blockers.set(uid, blockers);
        Some(decision)
    }

    /// Returns the decision for a request, without recording anything.
    pub fn preview(&self, uid: &RequestUid, now: Timestamp) -> Option<Decision> {
        let request = self.requests.get(uid)?;
        let facts = self.facts(request, now);
        Some(decide(request, &facts, &self.policy, now))
    }

    /// Completes a write. Returns the other requests to judge again; the caller handles the request itself, because it
    /// knows the retry delay.
    pub fn settle(&mut self, uid: &RequestUid, settlement: Settlement) -> BTreeSet<RequestUid> {
        let Some(claim) = self.in_flight.remove(uid) else {
            return BTreeSet::new();
        };
        match settlement {
            Settlement::Refused => {
                self.refused.insert(uid.clone());
            }
            Settlement::Written => {
                self.refused.remove(uid);
                self.foresee(uid, claim.as_ref());
            }
            Settlement::Undone | Settlement::Unknown => {}
        }
        let woken = match (settlement, claim) {
            (Settlement::Unknown, Some(_)) => {
                self.uncertain.insert(uid.clone());
                BTreeSet::new()
            }
            // An earlier write with an unknown result may still have spent the Machine.
            (Settlement::Refused | Settlement::Undone, Some(claim))
                if !self.uncertain.contains(uid) =>
            {
                self.claims.remove(&claim.machine, uid);
                self.blockers.blocked_by(uid)
            }
            (Settlement::Refused, _) => self.blockers.blocked_by(uid),
            (Settlement::Undone | Settlement::Unknown | Settlement::Written, _) => BTreeSet::new(),
        };
        if !self.requests.contains_key(uid) {
            self.uncertain.remove(uid);
            self.refused.remove(uid);
        }
        woken
    }

    /// Applies a decision to its request before the watch shows it, so that it is not written again meanwhile.
    fn foresee(&mut self, uid: &RequestUid, claim: Option<&Claim>) {
        if self.request(uid).is_some_and(Request::is_pending)
            && let Some(mut request) = self.unfile(uid)
        {
            request.standing = claim.map_or(Standing::Closed, |claim| {
                Standing::Approved(claim.approved_at)
            });
            self.file(request);
        }
    }

    /// Removes and returns the requests that are due.
    pub fn due(&mut self, now: Timestamp) -> BTreeSet<RequestUid> {
        self.timers.due(now)
    }

    /// The time of the next call of [`Cluster::due`].
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// A request by its uid.
    pub fn request(&self, uid: &RequestUid) -> Option<&Request> {
        self.requests.get(uid)
    }

    /// Returns true if the change at most updates a kubelet's last heartbeat. Most Node updates do: kubelets refresh
    /// their Node every five minutes, even if nothing has changed (`nodeStatusReportFrequency`).
    pub fn is_known(&self, change: &Change) -> bool {
        let Change::Node(name, node) = change else {
            return false;
        };
        let known = self.nodes.get(name);
        known.is_some_and(|known| known.is_same_but_for_heartbeat(node))
    }

    /// Returns true if a decision about the request is being written.
    pub fn is_in_flight(&self, uid: &RequestUid) -> bool {
        self.in_flight.contains_key(uid)
    }

    /// Every pending request.
    pub fn pending(&self) -> impl Iterator<Item = RequestUid> {
        self.requests
            .values()
            .filter(|request| request.is_pending())
            .map(|request| request.uid.clone())
    }

    /// The state of the feeds.
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// Adjusts for a clock that was set back by this much.
    pub fn clock_set_back(&mut self, by: SignedDuration) {
        self.freshness.clock_set_back(by);
    }

    /// Requires a feed to sync again before decisions use it. Returns true if decisions depend on it.
    pub fn expect_anew(&mut self, feed: &Feed) -> bool {
        self.freshness.expect_anew(feed)
    }

    /// The Machine records.
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The claims that must be recorded to outlive their requests: approved before `before` or with a deleted request, on
    /// a Machine that is on the roll or of a feed that is no longer configured.
    pub fn claims_to_record(&self, before: Timestamp) -> Vec<Claim> {
        let outlives = |claim: &Claim| {
            let due = claim.approved_at < before || !self.requests.contains_key(&claim.request);
            due && !self.in_flight.contains_key(&claim.request)
        };
        let detached = self.detached.iter().flat_map(|machine| {
            let approvals = self.claims.approvals(machine);
            latest(approvals.filter(outlives))
        });
        let machines = self.roll.iter();
        machines
            .flat_map(|machine| self.claims_where(machine, outlives))
            .chain(detached)
            .collect()
    }

    /// Removes the claims on Machines that are no longer on the roll, except those of feeds that are no longer
    /// configured. Only if every source has synced once: a Machine that is missing after a restart may be from a source
    /// that is down.
    pub fn forget_claims_of_gone_machines(&mut self) {
        if !self.freshness.knows_every_source() {
            return;
        }
        for (name, requests) in std::mem::take(&mut self.gone) {
            for machine in self.roll.owners(&name) {
                for request in &requests {
                    if let Some(claim) = claim_of(request, machine, &self.policy) {
                        self.claims.insert(claim);
                    }
                }
            }
        }
        let (roll, nodes) = (&self.roll, &self.nodes);
        self.used
            .retain(|name, _| nodes.contains_key(name) || !roll.owners(name).is_empty());
        let detached = &self.detached;
        self.claims
            .retain(|machine| roll.machine(machine).is_some() || detached.contains(machine));
    }

    /// Applies a change, and returns the pending requests for the node names that it affects.
    fn wake(
        &mut self,
        change: impl FnOnce(&mut Self) -> BTreeSet<NodeName>,
    ) -> BTreeSet<RequestUid> {
        let names = change(self);
        self.pending_under(&names)
    }

    /// Adds or updates a Node. Signs of life and conditions change no decision, so they wake no request. A Node that stops
    /// being ready does.
    fn put_node(&mut self, name: NodeName, node: Node) -> BTreeSet<NodeName> {
        if let Some(known) = self.nodes.get_mut(&name) {
            let stopped = known.ready && !node.ready;
            known.ready = node.ready;
            known.ready_since = node.ready_since;
            known.last_heartbeat = node.last_heartbeat;
            known.conditions.clone_from(&node.conditions);
            known.addresses.clone_from(&node.addresses);
            if *known == node && !stopped {
                return BTreeSet::new();
            }
        }
        self.is_used(&name, node.created_at);
        let before = self.nodes.insert(name.clone(), node);
        let beside = before.is_none().then(|| self.roll.names_beside(&name));
        beside.into_iter().flatten().chain([name]).collect()
    }

    /// Records a Lease. On-demand reads are for known Nodes; a dump may contain the Lease first.
    fn put_lease(&mut self, name: NodeName, lease: NodeLease) -> BTreeSet<NodeName> {
        if self.asks_leases && !self.nodes.contains_key(&name) {
            return BTreeSet::new();
        }
        self.leases.insert(name.clone(), lease);
        BTreeSet::from([name])
    }

    /// Records that a certificate for the node was used at this time.
    fn is_used(&mut self, name: &NodeName, at: Timestamp) {
        let used = self.used.entry(name.clone()).or_insert(at);
        *used = at.max(*used);
    }

    fn remove_node(&mut self, name: NodeName) -> BTreeSet<NodeName> {
        self.served.remove(&name);
        self.leases.remove(&name);
        if self.nodes.remove(&name).is_none() {
            return BTreeSet::new();
        }
        let beside = self.roll.names_beside(&name);
        beside.into_iter().chain([name]).collect()
    }

    fn retain_nodes(&mut self, present: &HashSet<NodeName>) -> BTreeSet<NodeName> {
        let nodes = self.nodes.keys();
        let gone: Vec<NodeName> = nodes
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        gone.into_iter()
            .flat_map(|name| self.remove_node(name))
            .collect()
    }

    fn pending_under(&self, names: &BTreeSet<NodeName>) -> BTreeSet<RequestUid> {
        let filed = names.iter().filter_map(|name| self.filed.get(name));
        filed.flat_map(Filed::waiting).cloned().collect()
    }
}

/// Limits the approval time of a request to now, in case the approving client's clock was ahead.
fn no_later(mut request: Request, now: Timestamp) -> Request {
    if let Standing::Approved(at) = &mut request.standing {
        *at = (*at).min(now);
    }
    request
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cluster_node_tests.rs"]
mod node_tests;
