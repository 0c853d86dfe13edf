//! Requests: their changes, and the other requests that these wake.
//!
//! A new request can take an approval from others but never give them one. A request that is decided or deleted matters
//! only to those that it blocked, and each of them was recorded as blocked when it was judged. So if very many request
//! one name, only those are woken; if few do, all of them are, so that each shows its current reason.

use std::collections::{BTreeSet, HashSet};

use rollcall_csr::{NodeName, Signer};

use super::filed::Filed;
use super::{Cluster, claim_of};
use crate::{Request, RequestUid, Standing};

/// The number of pending requests for one node name that makes a crowd. More than any honest machine leaves behind: a
/// kubelet that restarts every five minutes creates this many in five hours.
pub(super) const CROWD: usize = 64;

impl Cluster {
    pub(super) fn put_request(&mut self, request: Request) -> BTreeSet<RequestUid> {
        if let Some(known) = self.requests.get_mut(&request.uid) {
            // The issued certificate changes no decision, so it wakes no request.
            known.issued = request.issued;
            if *known == request {
                return BTreeSet::new();
            }
        }
        let uid = request.uid.clone();
        let waits = request.is_pending();
        self.unfile(&uid);
        if !waits {
            self.timers.set(&uid, None);
            self.blockers.set(&uid, Vec::new());
            self.uncertain.remove(&uid);
            self.refused.remove(&uid);
        }
        if request.standing == Standing::Closed {
            self.claims.remove_request(&uid);
        }
        let name = request.node_name();
        if let Some(name) = name.as_ref().filter(|_| request.is_by_its_node()) {
            self.is_used(name, request.created_at);
        }
        self.file(request);
        let mut woken = self.others(name.as_ref(), &uid);
        if waits {
            woken.insert(uid);
        }
        woken
    }

    /// Removes a request; if it was approved, its claim stays on the Machine.
    pub(super) fn remove_request(&mut self, uid: &RequestUid) -> BTreeSet<RequestUid> {
        self.timers.set(uid, None);
        self.blockers.set(uid, Vec::new());
        self.refused.remove(uid);
        // The result of a write in progress may be that nothing was written, which applies to that write only, not to
        // an earlier one.
        if !self.in_flight.contains_key(uid) {
            self.uncertain.remove(uid);
        }
        let Some(request) = self.unfile(uid) else {
            return BTreeSet::new();
        };
        let Some(name) = request.node_name() else {
            return BTreeSet::new();
        };
        let owners = self.roll.owners(&name);
        for machine in &owners {
            if let Some(claim) = claim_of(&request, machine, &self.policy) {
                self.claims.insert(claim);
            }
        }
        if owners.is_empty() && matches!(request.standing, Standing::Approved(_)) {
            self.gone.entry(name.clone()).or_default().push(request);
        }
        self.others(Some(&name), uid)
    }

    /// Adds a request to the index of its node name, unless it was denied, and to the index of the names that it asks
    /// for.
    pub(super) fn file(&mut self, request: Request) {
        if request.standing != Standing::Closed
            && let Some(name) = request.node_name()
        {
            self.filed.entry(name).or_default().put(&request);
        }
        self.asking.put(&request);
        self.requests.insert(request.uid.clone(), request);
    }

    /// Removes a request from all indexes of [`Cluster::file`].
    pub(super) fn unfile(&mut self, uid: &RequestUid) -> Option<Request> {
        let request = self.requests.remove(uid)?;
        self.asking.remove(&request);
        if let Some(name) = request.node_name()
            && let Some(filed) = self.filed.get_mut(&name)
        {
            filed.remove(&request);
            if filed.is_empty() {
                self.filed.remove(&name);
            }
        }
        Some(request)
    }

    /// The requests to judge again after one was added, changed or deleted.
    fn others(&self, name: Option<&NodeName>, uid: &RequestUid) -> BTreeSet<RequestUid> {
        let filed = name.and_then(|name| self.filed.get(name));
        let waiting = filed.into_iter().flat_map(Filed::waiting);
        if filed.is_some_and(|filed| filed.count_waiting() > CROWD) {
            return self.blockers.blocked_by(uid);
        }
        waiting.filter(|other| *other != uid).cloned().collect()
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
