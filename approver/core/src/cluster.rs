//! What the watches brought, kept in memory, and which requests a change wakes.
//!
//! Everything that bears on a request of the first path is known under one node name: the Machines that own it, the
//! Node, the other requests. So the wake-up index is a map from node name to requests, and a change names the requests
//! to judge again without a look at any other.

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

/// All that is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    policy: Policy,
    freshness: Freshness,
    roll: Roll,
    /// Machines that are known and do not count: a dump holds such.
    strangers: Roll,
    health_checks: BTreeMap<(Source, MachineReference), HealthCheck>,
    kubeadm_configs: KubeadmConfigs,
    nodes: HashMap<NodeName, Node>,
    /// What was learnt of their Leases.
    leases: HashMap<NodeName, NodeLease>,
    /// Whether Leases are asked for.
    asks_leases: bool,
    /// What nodes served when they were last dialled.
    served: HashMap<NodeName, Dialled>,
    kubelet_ca: Option<KubeletCa>,
    cluster_addresses: KnownAddresses,
    /// The Nodes by the addresses that they state.
    stated: HashMap<IpAddr, BTreeSet<NodeName>>,
    requests: HashMap<RequestUid, Request>,
    filed: HashMap<NodeName, Filed>,
    asking: Asking,
    blockers: Blockers,
    /// Approved requests that went before a Machine of their name was known: they may have spent one.
    gone: HashMap<NodeName, Vec<Request>>,
    claims: Claims,
    /// Spent Machines whose feed is no longer configured: they may come back with it.
    detached: HashSet<MachineUid>,
    /// When holders of certificates for a node last showed that they use them: the Node registered, or it asked for itself.
    used: HashMap<NodeName, Timestamp>,
    verified: Verified,
    timers: Timers,
    in_flight: BTreeMap<RequestUid, Option<Claim>>,
    uncertain: HashSet<RequestUid>,
    /// Pending requests whose last write the API server refused.
    refused: HashSet<RequestUid>,
}

impl Cluster {
    /// Nothing known yet; decisions rest on these feeds.
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

    /// What nodes serve counts too, verified by the kubelet CA that these sources hold; without any, it does not.
    pub fn with_kubelet_ca(mut self, sources: impl IntoIterator<Item = String>) -> Self {
        let ca = KubeletCa::new(sources);
        self.kubelet_ca = (!ca.sources().is_empty()).then_some(ca);
        self
    }

    /// The Lease of a Node counts too, and somebody asks for it where a decision waits for it; otherwise only what is told.
    pub fn with_node_leases(mut self) -> Self {
        self.asks_leases = true;
        self
    }

    /// Takes in one piece of news. Returns the pending requests to judge again.
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
            // Whatever the clock did in between, it was not heard later than now.
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

    /// An approver whose clock was ahead approved nothing later than now.
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

    /// Judges a request that is pending and not being written just now. An approval or denial marks it as being
    /// written: [`Cluster::settle`] has to follow.
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

    /// What would be decided of a request, and a note of what could change that. Nothing is marked as being written.
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

    /// What would be decided of a request, without marking anything.
    pub fn preview(&self, uid: &RequestUid, now: Timestamp) -> Option<Decision> {
        let request = self.requests.get(uid)?;
        let facts = self.facts(request, now);
        Some(decide(request, &facts, &self.policy, now))
    }

    /// A write ended. Returns the other requests to judge again; the request itself is left to the caller, who knows how
    /// long to wait before the next try.
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
            // An earlier write whose end nobody knows may still have spent the Machine.
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

    /// A request stands as it was written, before the watch brings it: until then, nothing that happens may have it
    /// written again.
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

    /// Takes out the requests whose time has come.
    pub fn due(&mut self, now: Timestamp) -> BTreeSet<RequestUid> {
        self.timers.due(now)
    }

    /// When [`Cluster::due`] has to be asked next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// A request by its uid.
    pub fn request(&self, uid: &RequestUid) -> Option<&Request> {
        self.requests.get(uid)
    }

    /// Whether news change nothing but when a kubelet was last heard. Of many Nodes that is most of what is told: kubelet
    /// writes its own every five minutes, whether or not anything has changed (`nodeStatusReportFrequency`).
    pub fn is_known(&self, change: &Change) -> bool {
        let Change::Node(name, node) = change else {
            return false;
        };
        let known = self.nodes.get(name);
        known.is_some_and(|known| known.is_same_but_for_heartbeat(node))
    }

    /// Whether a decision about a request is being written.
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

    /// The clock was set back by so much.
    pub fn clock_set_back(&mut self, by: SignedDuration) {
        self.freshness.clock_set_back(by);
    }

    /// Decisions rest on a feed only once it is complete anew. Returns whether they rest on it at all.
    pub fn expect_anew(&mut self, feed: &Feed) -> bool {
        self.freshness.expect_anew(feed)
    }

    /// The Machine records.
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The claims that must be recorded to outlive their requests: approved before `before` or their request is gone, on a
    /// Machine that is on the roll or whose feed is no longer configured.
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

    /// Forgets claims on Machines that are no longer on the roll, unless their feed is no longer configured, if every source
    /// has been complete once: a Machine that is not on the roll after a restart may be that of a source which is down.
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

    /// Changes facts, and names the pending requests for the node names that the change touched.
    fn wake(
        &mut self,
        change: impl FnOnce(&mut Self) -> BTreeSet<NodeName>,
    ) -> BTreeSet<RequestUid> {
        let names = change(self);
        self.pending_under(&names)
    }

    /// Puts a Node or replaces what was known of it. A sign of life turns no hold into anything else, and conditions bear on
    /// no decision: they wake nobody. That a Node stops being ready does.
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

    /// Takes in what was learnt of a Lease. What is asked for is of a Node that is known; a dump may tell it first.
    fn put_lease(&mut self, name: NodeName, lease: NodeLease) -> BTreeSet<NodeName> {
        if self.asks_leases && !self.nodes.contains_key(&name) {
            return BTreeSet::new();
        }
        self.leases.insert(name.clone(), lease);
        BTreeSet::from([name])
    }

    /// A holder of a certificate for a node used it at this time.
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

/// A request that was approved now at the latest, whatever the clock of who approved it said.
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
