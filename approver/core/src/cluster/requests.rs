//! Requests that come, change and go, and whom that wakes.

use std::collections::{BTreeSet, HashSet};

use rollcall_csr::Signer;

use super::{Cluster, claim_of};
use crate::{Request, RequestUid, Standing};

/// More pending requests for one node name than any honest machine leaves behind: a kubelet that restarts every five
/// minutes makes this many in five hours.
pub(super) const CROWD: usize = 64;

impl Cluster {
    pub(super) fn put_request(&mut self, request: Request) -> BTreeSet<RequestUid> {
        if self.requests.get(&request.uid) == Some(&request) {
            return BTreeSet::new();
        }
        let (uid, name, standing) = (request.uid.clone(), request.node_name(), request.standing);
        if let Some(name) = &name {
            self.by_name
                .entry(name.clone())
                .or_default()
                .insert(uid.clone());
        }
        self.asking.put(&request);
        self.requests.insert(uid.clone(), request);
        if standing != Standing::Pending {
            self.timers.set(&uid, None);
            self.uncertain.remove(&uid);
        }
        if standing == Standing::Closed {
            self.claims.remove_request(&uid);
        }
        let mut woken = self.pending_under(&name.into_iter().collect());
        // A new request can take an approval from the others but give them none. Where there are very many of them, they
        // are left to the next change that matters to them.
        if standing == Standing::Pending && woken.len() > CROWD {
            woken.clear();
        }
        if standing == Standing::Pending {
            woken.insert(uid);
        }
        woken
    }

    /// Drops a request; if it was approved, its claim stays with the Machine.
    pub(super) fn remove_request(&mut self, uid: &RequestUid) -> BTreeSet<RequestUid> {
        self.timers.set(uid, None);
        // While a write is under way, its answer may say that nothing was done, and mean itself but not an earlier one.
        if !self.in_flight.contains_key(uid) {
            self.uncertain.remove(uid);
        }
        let Some(request) = self.requests.remove(uid) else {
            return BTreeSet::new();
        };
        self.asking.remove(&request);
        let Some(name) = request.node_name() else {
            return BTreeSet::new();
        };
        if let Some(uids) = self.by_name.get_mut(&name) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_name.remove(&name);
            }
        }
        let owners = self.roll.owners(&name);
        for machine in &owners {
            if let Some(claim) = claim_of(&request, machine, &self.policy) {
                self.claims.insert(claim);
            }
        }
        if owners.is_empty() && matches!(request.standing, Standing::Approved(_)) {
            self.gone.entry(name.clone()).or_default().push(request);
        }
        self.pending_under(&BTreeSet::from([name]))
    }

    pub(super) fn retain_requests(
        &mut self,
        signer: Signer,
        present: &HashSet<RequestUid>,
    ) -> BTreeSet<RequestUid> {
        let gone = |request: &&Request| request.signer == signer && !present.contains(&request.uid);
        let gone: Vec<RequestUid> = self
            .requests
            .values()
            .filter(gone)
            .map(|request| request.uid.clone())
            .collect();
        gone.iter()
            .flat_map(|uid| self.remove_request(uid))
            .collect()
    }
}
