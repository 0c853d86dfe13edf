//! What is known that bears on one request.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use super::Cluster;
use super::filed::Filed;
use super::requests::CROWD;
use crate::{Claim, Facts, Machine, Policy, Request, Stale, Standing, serving};

impl Cluster {
    /// The facts of a request, by the feeds as they are now.
    pub(super) fn facts<'a>(&'a self, request: &'a Request, now: Timestamp) -> Facts<'a> {
        let Some(name) = request.node_name() else {
            return Facts {
                stale: self.stale(request, &[], now),
                ..Facts::default()
            };
        };
        let (owners, bound) = (self.roll.owners(&name), self.roll.bound(&name));
        let known: Vec<&Machine> = owners.iter().chain(&bound).copied().collect();
        let mirrors = known.iter().flat_map(|machine| self.roll.mirrors(machine));
        let (claims, kubeadm_configs) = match owners.as_slice() {
            [machine] => (self.claims_on(machine), self.kubeadm_configs_of(machine)),
            _ => (Vec::new(), Vec::new()),
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
            stale: self.stale(request, &known, now),
            mirrors: mirrors.collect(),
            tokens,
            kubeadm_configs,
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

    /// What keeps a decision from being made now, where it may rest on these Machines: a feed that every decision rests
    /// on, or the sources of all records of one of them; and where a bootstrap token was used, whatever says whose it is. A
    /// name that no Machine is known for may be that of a Machine which only a lost source knows.
    fn stale(&self, request: &Request, known: &[&Machine], now: Timestamp) -> Option<Stale> {
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
        let tokens = || {
            request.requestor.bootstrap_token()?;
            self.freshness.stale_tokens(limit, now)
        };
        self.freshness
            .stale(limit, now)
            .or_else(sources)
            .or_else(tokens)
    }

    /// Everything already approved for a Machine, whichever record of it was spent: the claims kept here, and the approved
    /// requests for its names that were made since it exists.
    pub(super) fn claims_on(&self, machine: &Machine) -> Vec<Claim> {
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

    /// Other pending requests for the same node name and signer, the newest first: one more than are looked at. One that the
    /// API server lets nobody decide stands in no other's way.
    fn rivals(&self, name: &NodeName, request: &Request) -> Vec<&Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(|filed| filed.newest_first(request.signer))
            .filter(|uid| **uid != request.uid && !self.refused.contains(*uid))
            .take(CROWD.saturating_add(1))
            .filter_map(|uid| self.requests.get(uid))
            .collect()
    }

    pub(super) fn approved_under(&self, name: &NodeName) -> impl Iterator<Item = &Request> {
        let filed = self.filed.get(name).into_iter();
        filed
            .flat_map(Filed::approved)
            .filter_map(|uid| self.requests.get(uid))
    }
}

/// The claim that an approved first-certificate request has on a Machine that existed when it was made.
pub(super) fn claim_of(request: &Request, machine: &Machine, policy: &Policy) -> Option<Claim> {
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
