//! What the watches brought, kept in memory, and which requests a change wakes.
//!
//! Everything that bears on a request of the first path is known under one node name: the Machines that own it, the
//! Node, the other requests. So the wake-up index is a map from node name to requests, and a change names the requests
//! to judge again without a look at any other.

mod filed;
mod joins;
mod kubelets;
mod machines;
mod reconfigure;
mod requests;
mod retrospect;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use self::filed::Filed;
use self::requests::CROWD;
use crate::asking::Asking;
use crate::blockers::Blockers;
use crate::timers::Timers;
use crate::{
    Change, Claim, Claims, Decision, Dialled, Facts, Feed, Freshness, HealthCheck, KubeletCa,
    Machine, MachineReference, MachineUid, Node, Policy, Request, RequestUid, Roll, Settlement,
    Source, Stale, Standing, Verdict, Wait, decide, serving,
};

/// All that is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    policy: Policy,
    freshness: Freshness,
    roll: Roll,
    health_checks: BTreeMap<(Source, MachineReference), HealthCheck>,
    nodes: HashMap<NodeName, Node>,
    /// What nodes served when they were last dialled.
    served: HashMap<NodeName, Dialled>,
    kubelet_ca: Option<KubeletCa>,
    requests: HashMap<RequestUid, Request>,
    filed: HashMap<NodeName, Filed>,
    asking: Asking,
    blockers: Blockers,
    /// Approved requests that went before a Machine of their name was known: they may have spent one.
    gone: HashMap<NodeName, Vec<Request>>,
    claims: Claims,
    /// Spent Machines whose feed is no longer configured: they may come back with it.
    detached: HashSet<MachineUid>,
    timers: Timers,
    in_flight: BTreeMap<RequestUid, Option<Claim>>,
    uncertain: HashSet<RequestUid>,
}

impl Cluster {
    /// Nothing known yet; decisions rest on these feeds.
    pub fn new(policy: Policy, feeds: impl IntoIterator<Item = Feed>) -> Self {
        Self {
            roll: Roll::new(policy.naming.clone()),
            policy,
            freshness: Freshness::new(feeds),
            health_checks: BTreeMap::new(),
            nodes: HashMap::new(),
            served: HashMap::new(),
            kubelet_ca: None,
            requests: HashMap::new(),
            filed: HashMap::new(),
            asking: Asking::default(),
            blockers: Blockers::default(),
            gone: HashMap::new(),
            claims: Claims::default(),
            detached: HashSet::new(),
            timers: Timers::default(),
            in_flight: BTreeMap::new(),
            uncertain: HashSet::new(),
        }
    }

    /// What nodes serve counts too, verified by the kubelet CA that these sources hold; without any, it does not.
    pub fn with_kubelet_ca(mut self, sources: impl IntoIterator<Item = String>) -> Self {
        let ca = KubeletCa::new(sources);
        self.kubelet_ca = (!ca.sources().is_empty()).then_some(ca);
        self
    }

    /// Takes in one piece of news. Returns the pending requests to judge again.
    pub fn apply(&mut self, change: Change, now: Timestamp) -> BTreeSet<RequestUid> {
        match change {
            Change::Claimed(claim) => {
                self.claims.insert(claim);
                BTreeSet::new()
            }
            Change::HealthCheck(check) => self.put_health_check(*check),
            Change::HealthCheckGone(source, reference) => {
                self.remove_health_check(source, reference)
            }
            Change::HealthCheckList(scope, present) => self.retain_health_checks(&scope, &present),
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
            Change::Node(name, node) => self.wake(|known| known.put_node(name, node)),
            Change::NodeGone(name) => self.wake(|known| {
                known.served.remove(&name);
                known
                    .nodes
                    .remove(&name)
                    .map(|_| name)
                    .into_iter()
                    .collect()
            }),
            Change::NodeList(present) => self.wake(|known| known.retain_nodes(&present)),
            Change::Request(request) => self.put_request(*request),
            Change::RequestGone(uid) => self.remove_request(&uid),
            Change::RequestList(signer, present) => self.retain_requests(signer, &present),
        }
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
        if settlement == Settlement::Written {
            self.foresee(uid, claim.as_ref());
        }
        let woken = match (settlement, claim) {
            (Settlement::Unknown, Some(_)) => {
                self.uncertain.insert(uid.clone());
                BTreeSet::new()
            }
            // An earlier write whose end nobody knows may still have spent the Machine.
            (Settlement::Undone, Some(claim)) if !self.uncertain.contains(uid) => {
                self.claims.remove(&claim.machine, uid);
                self.blockers.blocked_by(uid)
            }
            (Settlement::Undone | Settlement::Unknown | Settlement::Written, _) => BTreeSet::new(),
        };
        if !self.requests.contains_key(uid) {
            self.uncertain.remove(uid);
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

    /// The Machine records.
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// The claims that must be recorded to outlive their requests: approved before `before` or their request is gone,
    /// on a Machine that has not become a Node, or whose feed is no longer configured.
    pub fn claims_to_record(&self, before: Timestamp) -> Vec<Claim> {
        let detached = self.detached.iter();
        let detached = detached.flat_map(|machine| self.claims.of(machine).to_vec());
        self.roll
            .iter()
            .filter(|machine| machine.node_reference.is_none())
            .flat_map(|machine| self.claims_on(machine))
            .chain(detached)
            .filter(|claim| {
                claim.approved_at < before || !self.requests.contains_key(&claim.request)
            })
            .filter(|claim| !self.in_flight.contains_key(&claim.request))
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
        let (roll, detached) = (&self.roll, &self.detached);
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

    fn put_node(&mut self, name: NodeName, node: Node) -> BTreeSet<NodeName> {
        if self.nodes.get(&name) == Some(&node) {
            return BTreeSet::new();
        }
        self.nodes.insert(name.clone(), node);
        BTreeSet::from([name])
    }

    fn retain_nodes(&mut self, present: &HashSet<NodeName>) -> BTreeSet<NodeName> {
        let gone = self
            .nodes
            .keys()
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        self.nodes.retain(|name, _| present.contains(name));
        self.served.retain(|name, _| present.contains(name));
        gone
    }

    fn facts<'a>(&'a self, request: &'a Request, now: Timestamp) -> Facts<'a> {
        let Some(name) = request.node_name() else {
            return Facts {
                stale: self.stale(&[], now),
                ..Facts::default()
            };
        };
        let (owners, bound) = (self.roll.owners(&name), self.roll.bound(&name));
        let known: Vec<&Machine> = owners.iter().chain(&bound).copied().collect();
        let mirrors = known.iter().flat_map(|machine| self.roll.mirrors(machine));
        let claims = match owners.as_slice() {
            [machine] => self.claims_on(machine),
            _ => Vec::new(),
        };
        let mut rivals = self.rivals(&name, request);
        let crowded = rivals.len() > CROWD;
        rivals.truncate(CROWD);
        let asking = rivals.iter().copied().chain([request]);
        let tokens = self.tokens(asking);
        let elsewhere = match request.signer {
            Signer::KubeApiserverClientKubelet => Vec::new(),
            Signer::KubeletServing => self.roll.elsewhere(serving::asked_for(request), &name),
        };
        Facts {
            stale: self.stale(&known, now),
            mirrors: mirrors.collect(),
            tokens,
            owners,
            bound,
            elsewhere,
            node: self.nodes.get(&name),
            claims,
            rivals,
            crowded,
            served: self.served.get(&name),
            kubelet_ca: self.kubelet_ca.as_ref(),
        }
    }

    /// The bootstrap tokens that requests came with, and the Machines that they were made for.
    fn tokens<'a>(
        &'a self,
        requests: impl Iterator<Item = &'a Request>,
    ) -> BTreeMap<&'a str, Vec<&'a Machine>> {
        let ids = requests.filter_map(|request| request.requestor.bootstrap_token());
        let made_for = ids.map(|id| (id, self.roll.of_token(id)));
        made_for
            .filter(|(_, machines)| !machines.is_empty())
            .collect()
    }

    /// What keeps a decision from being made now, where it may rest on these Machines: a feed that every decision rests
    /// on, or the sources of all records of one of them. A name that no Machine is known for may be that of a Machine
    /// which only a lost source knows.
    fn stale(&self, known: &[&Machine], now: Timestamp) -> Option<Stale> {
        let limit = self.policy.max_staleness;
        let of_source = |record| self.freshness.stale_source(record, limit, now);
        let sources = || match known {
            [] => of_source(None),
            known => known.iter().find_map(|machine| {
                let records = self.roll.mirrors(machine).into_iter();
                let mut records = records
                    .chain([*machine])
                    .map(|record| of_source(Some(record)));
                // One record that can be trusted is enough.
                let first = records.next().flatten()?;
                records.all(|stale| stale.is_some()).then_some(first)
            }),
        };
        self.freshness.stale(limit, now).or_else(sources)
    }

    /// Everything already approved for a Machine, whichever record of it was spent: the claims kept here, and the approved
    /// requests for its names that were made since it exists.
    fn claims_on(&self, machine: &Machine) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for record in self.roll.mirrors(machine).into_iter().chain([machine]) {
            let kept = self.claims.of(&record.uid).iter().cloned();
            for claim in kept.chain(self.claims_of_requests(record)) {
                if claims.iter().all(|known| known.request != claim.request) {
                    claims.push(Claim {
                        machine: machine.uid.clone(),
                        ..claim
                    });
                }
            }
        }
        claims
    }

    fn claims_of_requests(&self, record: &Machine) -> Vec<Claim> {
        let names = self.roll.every_name_of(record);
        let requests = names.iter().flat_map(|name| {
            let gone = self.gone.get(name).into_iter().flatten();
            self.approved_under(name).chain(gone)
        });
        requests
            .filter_map(|request| claim_of(request, record, &self.policy))
            .collect()
    }

    /// Other pending requests for the same node name and signer, the newest first: one more than are looked at.
    fn rivals(&self, name: &NodeName, request: &Request) -> Vec<&Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(|filed| filed.newest_first(request.signer))
            .filter(|uid| **uid != request.uid)
            .take(CROWD.saturating_add(1))
            .filter_map(|uid| self.requests.get(uid))
            .collect()
    }

    fn approved_under(&self, name: &NodeName) -> impl Iterator<Item = &Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(Filed::approved)
            .filter_map(|uid| self.requests.get(uid))
    }

    fn pending_under(&self, names: &BTreeSet<NodeName>) -> BTreeSet<RequestUid> {
        let filed = names.iter().filter_map(|name| self.filed.get(name));
        filed.flat_map(Filed::waiting).cloned().collect()
    }
}

/// The claim that an approved first-certificate request has on a Machine that existed when it was made.
fn claim_of(request: &Request, machine: &Machine, policy: &Policy) -> Option<Claim> {
    let Standing::Approved(approved_at) = request.standing else {
        return None;
    };
    // A certificate asked for before the Machine existed was for an earlier machine of the same name.
    let earliest = machine.created_at.checked_sub(policy.clock_skew).ok()?;
    // A node that renews its own certificate spends nothing.
    let first = request.signer == Signer::KubeApiserverClientKubelet
        && request.created_at > earliest
        && !request.is_by_its_node();
    let key = request.key().filter(|_| first)?;
    Some(Claim {
        approved_at,
        key,
        machine: machine.uid.clone(),
        request: request.uid.clone(),
    })
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cluster_node_tests.rs"]
mod node_tests;
