//! Mode `audit`: records the actions of others on requests, before these change the known facts.

use jiff::Timestamp;
use rollcall_approver_core::{Change, Request, RequestUid};

use super::Engine;
use crate::Mode;
use crate::audit::Theirs;
use crate::convert::Target;

impl Engine {
    /// Records a request that others have decided. Those of the first lists are skipped: the facts of that time are unknown.
    pub(super) fn audit_decided(&self, request: &Request, target: &Target, now: Timestamp) {
        let before = self.cluster.request(&request.uid);
        if !request.is_pending() && before.is_none_or(Request::is_pending) {
            self.compare(request, Theirs::of(target), now);
        }
    }

    /// Records a request that was deleted without a decision.
    pub(super) fn audit_gone(&self, change: &Change, now: Timestamp) {
        let left = |uid: &RequestUid| {
            let request = self.cluster.request(uid).filter(|one| one.is_pending());
            if let Some(request) = request {
                self.compare(request, Theirs::left(), now);
            }
        };
        match change {
            Change::RequestGone(uid) => left(uid),
            Change::RequestList(signer, present) => {
                let of_list = |uid: &&RequestUid| {
                    let request = self.cluster.request(uid);
                    request.is_some_and(|request| request.signer == *signer)
                };
                let known = self.targets.keys().filter(of_list);
                known.filter(|uid| !present.contains(uid)).for_each(left);
            }
            Change::Claimed(_)
            | Change::ClusterAddresses(_, _)
            | Change::HealthCheck(_)
            | Change::HealthCheckGone(_, _)
            | Change::HealthCheckList(_, _)
            | Change::KubeadmConfig(_)
            | Change::KubeadmConfigGone(_)
            | Change::KubeadmConfigList(_, _)
            | Change::KubeletCa(_, _)
            | Change::Lost(_, _)
            | Change::Machine(_)
            | Change::MachineGone(_)
            | Change::MachineList(_, _)
            | Change::Node(_, _)
            | Change::NodeGone(_)
            | Change::NodeLease(_, _)
            | Change::NodeList(_)
            | Change::Request(_)
            | Change::Served(_, _)
            | Change::Synced(_) => {}
        }
    }

    fn compare(&self, request: &Request, theirs: Theirs, now: Timestamp) {
        if self.mode != Mode::Audit || !self.cluster.freshness().all_heard() {
            return;
        }
        let judge = || self.cluster.suppose(request, now);
        let metrics = &self.outside.metrics;
        self.outside
            .audit
            .compare(request, theirs, judge, metrics, now);
    }
}
