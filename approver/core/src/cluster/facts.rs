//! The facts for one request.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NodeName, Signer};

use super::Cluster;
use super::filed::Filed;
use super::requests::CROWD;
use crate::claims::{MOST_CLAIMS, latest};
use crate::{Claim, Facts, Machine, Policy, Request, RequestUid, Stale, Standing, serving};

impl Cluster {
    /// Collects the facts for a request from the current state.
    #[expect(clippy::too_many_lines, reason = "one line for each fact")]
    pub(super) fn facts<'a>(&'a self, request: &'a Request, now: Timestamp) -> Facts<'a> {
        let Some(name) = request.node_name() else {
            return Facts {
                stale: self.stale(request, &[], now),
                ..Facts::default()
            };
        };
        let (owners, bound) = (self.owners(&name), self.bound(&name));
        let node = self.nodes.get(&name);
        let of_instance = node.and_then(|node| node.provider_id.as_deref());
        let known: Vec<&Machine> = owners.iter().chain(&bound).copied().collect();
        let mirrors: Vec<&Machine> = known
            .iter()
            .flat_map(|machine| self.roll.mirrors(machine))
            .collect();
        let is_unheard = |record: &&Machine| {
            let outranked = self.roll.outranked(record, &self.policy.vouching);
            outranked.is_some()
        };
        let unheard = mirrors.iter().copied().filter(is_unheard).collect();
        let (claims, live, kubeadm_configs) = match (owners.as_slice(), bound.as_slice()) {
            ([machine], _) => (
                self.claims_on(machine),
                self.live(machine),
                self.kubeadm_configs_of(machine),
            ),
            (_, [machine]) => (self.claims_on(machine), Vec::new(), Vec::new()),
            _ => (Vec::new(), Vec::new(), Vec::new()),
        };
        let mut rivals = self.rivals(&name, request);
        let crowded = rivals.len() > CROWD;
        if crowded {
            rivals = self.rivals_of_crowd(&name, request);
        }
        let asking = rivals.iter().copied().chain([request]);
        let tokens = self.tokens(asking);
        let asked = match request.signer {
            Signer::KubeApiserverClientKubelet => Vec::new(),
            Signer::KubeletServing => serving::asked_for(request),
        };
        Facts {
            stale: self.stale(request, &known, now),
            mirrors,
            unheard,
            tokens,
            kubeadm_configs,
            owners,
            stated: self.stated_elsewhere(&asked, &name),
            elsewhere: self
                .roll
                .elsewhere(asked, &name, &bound, |node| self.lives(node)),
            cluster_addresses: Some(&self.cluster_addresses),
            bound,
            node,
            of_instance: of_instance.map_or_else(Vec::new, |id| self.roll.of_instance(id)),
            asks_leases: self.asks_leases,
            lease: self.leases.get(&name),
            claims,
            live,
            full: self.claims.len() >= MOST_CLAIMS,
            rivals,
            crowded,
            used: self.used.get(&name).copied(),
            latest: self.latest_approval(&name),
            verified: Some(&self.verified),
            served: self.served.get(&name),
            kubelet_ca: self.kubelet_ca.as_ref(),
        }
    }

    /// The Machines that own a name and compete for it, as determined by [`crate::Roll`].
    pub fn owners(&self, name: &NodeName) -> Vec<&Machine> {
        self.roll
            .contenders(name, &self.policy.vouching, |node| self.lives(node))
    }

    /// The Machines that are bound to a Node.
    pub fn bound(&self, name: &NodeName) -> Vec<&Machine> {
        self.roll.bound(name, self.nodes.get(name))
    }

    fn lives(&self, node: &NodeName) -> bool {
        self.nodes.contains_key(node)
    }

    /// The bootstrap tokens of these requests, with the Machines that they were created for.
    fn tokens<'a>(
        &'a self,
        requests: impl Iterator<Item = &'a Request>,
    ) -> BTreeMap<&'a str, Vec<&'a Machine>> {
        let ids = requests.filter_map(|request| request.requestor.bootstrap_token());
        let made_for = ids.map(|id| {
            let configured = self.kubeadm_configs.of_token(id);
            let configured = configured.filter_map(|uid| self.roll.machine(uid));
            (
                id,
                self.roll
                    .of_token(id)
                    .into_iter()
                    .chain(configured)
                    .collect::<Vec<_>>(),
            )
        });
        made_for
            .filter(|(_, machines)| !machines.is_empty())
            .collect()
    }

    /// Returns the stale feed that prevents a decision that may depend on these Machines: one of those that every decision
    /// needs, or the sources of all records of one Machine; and for a bootstrap token, the feed that assigns it to
    /// Machines. A name without a known Machine may belong to one that only a lost source knows.
    fn stale(&self, request: &Request, known: &[&Machine], now: Timestamp) -> Option<Stale> {
        let limit = self.policy.max_staleness;
        let tokens = || {
            let mut known = known.iter();
            let asked = request.requestor.bootstrap_token().is_some()
                || request.requestor.node().is_none()
                    && known.any(|machine| self.policy.reads_token_of(machine));
            asked
                .then(|| self.freshness.stale_tokens(limit, now))
                .flatten()
        };
        let spends = request.requestor.node().is_none();
        let claims = || {
            spends
                .then(|| self.freshness.stale_claims(limit, now))
                .flatten()
        };
        let of_cluster = || {
            let serving = request.signer == Signer::KubeletServing;
            let mut feeds = self.freshness.cluster_addresses().filter(|_| serving);
            feeds.find_map(|feed| self.freshness.not_heard(feed))
        };
        self.freshness
            .stale(limit, now)
            .or_else(claims)
            .or_else(|| self.stale_source(known, now))
            .or_else(tokens)
            .or_else(of_cluster)
    }

    /// Returns the stale source that prevents a decision about these Machines, if any. Of several records of one machine with
    /// equal rank, one fresh source suffices; a source with precedence may by now have data that it lacked before.
    fn stale_source(&self, known: &[&Machine], now: Timestamp) -> Option<Stale> {
        let limit = self.policy.max_staleness;
        let stale = |equals: &[&Machine]| {
            let of_record = |record| self.freshness.stale_source(Some(record), limit, now);
            let mut each = equals.iter().map(|record| of_record(*record));
            let first = each.next().flatten()?;
            each.all(|stale| stale.is_some()).then_some(first)
        };
        let of_machine = |machine: &&Machine| {
            let records = self.roll.mirrors(machine).into_iter();
            let records: Vec<&Machine> = records.chain([*machine]).collect();
            let vouching = &self.policy.vouching;
            let is_equal = |one: &&Machine| {
                !vouching.outranks(one, machine) && !vouching.outranks(machine, one)
            };
            let equals: Vec<&Machine> = records.iter().copied().filter(is_equal).collect();
            stale(&vouching.speakers(&records, |_| true)).or_else(|| stale(&equals))
        };
        match known {
            [] => self.freshness.stale_source(None, limit, now),
            known => known.iter().find_map(of_machine),
        }
    }

    /// All approvals for a Machine, through any of its records: one claim per key, with its latest approval.
    pub(super) fn claims_on(&self, machine: &Machine) -> Vec<Claim> {
        self.claims_where(machine, |_| true)
    }

    /// The claims on a Machine by the approvals that `counts` selects: those kept here, and the approved requests for its
    /// names that were made since it exists.
    pub(super) fn claims_where(
        &self,
        machine: &Machine,
        counts: impl Fn(&Claim) -> bool,
    ) -> Vec<Claim> {
        let records = self.roll.mirrors(machine).into_iter().chain([machine]);
        let mut approvals: Vec<Claim> = Vec::new();
        for record in records {
            let of_record = |claim: Claim| Claim {
                machine: machine.uid.clone(),
                ..claim
            };
            let kept = self.claims.approvals(&record.uid).map(of_record);
            approvals.extend(kept.filter(&counts));
            for name in self.roll.every_name_of(record) {
                approvals.extend(
                    self.claims_of_requests(record, &name)
                        .filter_map(|claims| claims.map(of_record).find(&counts)),
                );
                let gone = self.gone.get(&name).into_iter().flatten();
                let gone = gone.filter_map(|request| claim_of(request, record, &self.policy));
                approvals.extend(gone.map(of_record).filter(&counts));
            }
        }
        latest(approvals)
    }

    /// The claims of approved requests for a name on a record, by key; per key, the latest approval first.
    fn claims_of_requests(
        &self,
        record: &Machine,
        name: &NodeName,
    ) -> impl Iterator<Item = impl Iterator<Item = Claim>> {
        let earliest = earliest_claim(record, &self.policy);
        let filed = self.filed.get(name).into_iter();
        let machine = record.uid.clone();
        filed.flat_map(Filed::spending).map(move |(key, spending)| {
            let machine = machine.clone();
            let since = spending.filter(move |spending| {
                earliest.is_some_and(|earliest| spending.created_at > earliest)
            });
            since.map(move |spending| Claim {
                approved_at: spending.approved_at,
                key,
                machine: machine.clone(),
                request: spending.request.clone(),
            })
        })
    }

    /// The existing requests of each key with a claim on a Machine, approved or about to be: at most two per key, so that
    /// each request finds one other than itself.
    fn live(&self, machine: &Machine) -> Vec<(KeyHash, &Request)> {
        let mut live: BTreeMap<KeyHash, Vec<&Request>> = BTreeMap::new();
        let records = self.roll.mirrors(machine).into_iter().chain([machine]);
        for record in records {
            let kept = self.claims.approvals(&record.uid);
            let filed = self.roll.every_name_of(record).into_iter();
            let filed = filed.flat_map(|name| {
                let by_key = self.claims_of_requests(record, &name);
                by_key.flat_map(|claims| claims.take(2)).collect::<Vec<_>>()
            });
            for claim in kept.chain(filed) {
                let known = live.entry(claim.key).or_default();
                let request = self.requests.get(&claim.request);
                let news = request.filter(|request| {
                    known.len() < 2 && known.iter().all(|other| other.uid != request.uid)
                });
                known.extend(news);
            }
        }
        let pairs = live.into_iter();
        pairs
            .flat_map(|(key, requests)| requests.into_iter().map(move |request| (key, request)))
            .collect()
    }

    /// Other pending requests for the same node name and signer, the newest first: one more than are examined. A request
    /// that the API server does not allow to be decided does not block others.
    fn rivals(&self, name: &NodeName, request: &Request) -> Vec<&Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(|filed| filed.newest_first(request.signer))
            .filter(|uid| **uid != request.uid && !self.refused.contains(*uid))
            .take(CROWD.saturating_add(1))
            .filter_map(|uid| self.requests.get(uid))
            .collect()
    }

    /// The pending requests that would spend the same Machine as this one for another key.
    pub fn rivals_of(&self, uid: &RequestUid) -> Vec<RequestUid> {
        let Some(request) = self.requests.get(uid) else {
            return Vec::new();
        };
        let mut names: BTreeSet<NodeName> = request.node_name().into_iter().collect();
        let owners = request.node_name().map(|name| self.roll.owners(&name));
        for machine in owners.into_iter().flatten() {
            let records = self.roll.mirrors(machine).into_iter().chain([machine]);
            names.extend(records.flat_map(|record| self.roll.every_name_of(record)));
        }
        let filed = names.iter().filter_map(|name| self.filed.get(name));
        let rivals = filed
            .flat_map(|filed| filed.newest_first(Signer::KubeApiserverClientKubelet))
            .filter_map(|uid| self.requests.get(uid))
            .filter(|rival| rival.uid != *uid && !rival.is_by_its_node())
            .filter(|rival| rival.key() != request.key());
        rivals.map(|rival| rival.uid.clone()).collect()
    }

    /// Of very many rivals, returns the newest and the oldest, the newest first.
    fn rivals_of_crowd(&self, name: &NodeName, request: &Request) -> Vec<&Request> {
        let half = CROWD.checked_div(2).unwrap_or_default();
        let mut rivals = self.rivals(name, request);
        rivals.truncate(half);
        let filed = self.filed.get(name).into_iter();
        let oldest = filed.flat_map(|filed| filed.oldest_first(request.signer));
        let others = oldest.filter(|uid| **uid != request.uid).take(half);
        let oldest: Vec<&Request> = others.filter_map(|uid| self.requests.get(uid)).collect();
        rivals.extend(oldest.into_iter().rev());
        rivals
    }

    /// The latest known approval of a client certificate for a node, from its request.
    fn latest_approval(&self, name: &NodeName) -> Option<(Timestamp, KeyHash)> {
        let own = self.own_under(name).filter_map(|request| {
            let client = request.signer == Signer::KubeApiserverClientKubelet;
            match request.standing {
                Standing::Approved(at) if client => Some((at, request.key()?)),
                Standing::Approved(_) | Standing::Closed | Standing::Pending => None,
            }
        });
        let filed = self.filed.get(name).into_iter().flat_map(Filed::spending);
        let spending =
            filed.filter_map(|(key, mut latest)| Some((latest.next()?.approved_at, key)));
        own.chain(spending).max()
    }

    /// The approved requests that a node made for itself.
    pub(super) fn own_under(&self, name: &NodeName) -> impl Iterator<Item = &Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(Filed::own)
            .filter_map(|uid| self.requests.get(uid))
    }
}

/// The claim that an approved first-certificate request has on a Machine that existed when it was made.
pub(super) fn claim_of(request: &Request, machine: &Machine, policy: &Policy) -> Option<Claim> {
    let Standing::Approved(approved_at) = request.standing else {
        return None;
    };
    let earliest = earliest_claim(machine, policy)?;
    // A node that renews its own certificate spends no Machine.
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

/// The time after which a request must have been made to claim a Machine: an earlier one was for an earlier machine of
/// the same name.
fn earliest_claim(machine: &Machine, policy: &Policy) -> Option<Timestamp> {
    machine.created_at.checked_sub(policy.clock_skew).ok()
}
