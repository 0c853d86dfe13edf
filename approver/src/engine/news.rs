//! Handling of the inputs from the watches.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use rollcall_approver_core::{Change, Feed, RequestUid};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::fence::Known;
use super::{Engine, Input, count};
use crate::Mode;
use crate::convert::Target;

/// The number of inputs handled before requests are decided.
const BATCH: usize = 1024;

impl Engine {
    /// Handles one input, and those that wait behind it.
    pub(super) fn take_in(
        &mut self,
        first: Input,
        news: &mut mpsc::Receiver<Input>,
    ) -> BTreeSet<RequestUid> {
        let now = Timestamp::now();
        self.idle = true;
        let mut woken = self.apply(first, now);
        for _ in 1..BATCH {
            let Ok(input) = news.try_recv() else { break };
            woken.extend(self.apply(input, now));
        }
        self.look_at_watches();
        if !self.heard && self.cluster.freshness().all_heard() {
            self.heard = true;
            let missing = self.cluster.freshness().missing();
            let missing: Vec<String> = missing.map(ToString::to_string).collect();
            info!(
                machines = self.cluster.roll().len(),
                pending = self.targets.len(),
                missing = missing.join(", "),
                "every watch is complete that can be had; deciding"
            );
            if self.mode == Mode::Audit {
                self.outside.audit.begin(now);
            }
            self.look_at_pools();
            woken.extend(self.cluster.pending());
        }
        woken
    }

    /// Logs the pools of the configuration without any Machine, if these changed.
    pub(super) fn look_at_pools(&mut self) {
        if !self.heard {
            return;
        }
        let empty = self.cluster.empty_pools();
        self.outside.metrics.empty_pools.set(count(empty.len()));
        let empty: BTreeSet<String> = empty.into_iter().map(str::to_owned).collect();
        if !empty.is_subset(&self.empty_pools) {
            let pools: Vec<&str> = empty.iter().map(String::as_str).collect();
            warn!(
                pools = pools.join(", "),
                "no Machine is in these pools, so that their rules (bootstrap.pools, serving.extraRanges) hold for nobody; see \
                 whether they are misspelt"
            );
        }
        self.empty_pools = empty;
    }

    /// Sets readiness once the watches are complete. The record of claims is not required: only the leader reads it, and a
    /// standby replica must not look broken.
    pub(super) fn look_at_watches(&mut self) {
        let mut starting = self.cluster.freshness().starting();
        if !*self.outside.ready.borrow() && starting.all(|feed| *feed == Feed::Claims) {
            info!("watching; the replica that holds the Lease decides");
            self.outside.ready.send_replace(true);
        }
    }

    pub(super) fn apply(&mut self, input: Input, now: Timestamp) -> BTreeSet<RequestUid> {
        self.idle &= matches!(&input, Input::Change(change) if self.cluster.is_known(change));
        match input {
            Input::Config(config) => self.take_over(*config),
            Input::Request(news) => {
                let (request, target) = *news;
                self.audit_decided(&request, &target, now);
                self.decided_by_others(&request, &target, now);
                if request.is_pending() {
                    self.came
                        .entry(request.uid.clone())
                        .or_insert_with(Instant::now);
                    self.know(request.uid.clone(), target);
                } else {
                    self.forget(&request.uid);
                }
                self.cluster.apply(Change::Request(Box::new(request)), now)
            }
            Input::Complete(feed, term) => {
                // The sender may have learned of the term before the engine did.
                let mut woken = self.leadership_changed();
                if let Some(change) = self.complete(feed, term) {
                    self.feeds.note(&change, now, &self.outside.metrics);
                    woken.extend(self.cluster.apply(change, now));
                }
                woken
            }
            // The feed may have been synced before this term began.
            Input::Change(Change::Synced(feed)) if self.awaited.contains(&feed) => BTreeSet::new(),
            Input::Change(change) => {
                self.audit_gone(&change, now);
                self.feeds.note(&change, now, &self.outside.metrics);
                if matches!(&change, Change::Synced(Feed::Nodes | Feed::Requests(_))) {
                    self.outside.health.heard();
                }
                let list = matches!(&change, Change::RequestList(_, _));
                if let Change::RequestGone(uid) = &change {
                    let gone = self.cluster.request(uid);
                    self.claims_alone |= gone.is_some_and(|request| !request.is_pending());
                    self.forget(uid);
                }
                self.claims_alone |= list;
                let woken = self.cluster.apply(change, now);
                if list {
                    let gone = |uid: &&RequestUid| self.cluster.request(uid).is_none();
                    let gone: Vec<RequestUid> = self.targets.keys().filter(gone).cloned().collect();
                    gone.iter().for_each(|uid| self.forget(uid));
                }
                woken
            }
        }
    }

    /// Keeps the newest version of a pending request. A request that is only listed again counts as unchanged.
    fn know(&mut self, uid: RequestUid, target: Target) {
        let known = self.targets.get(&uid);
        if known.is_none_or(|known| known.target.resource_version != target.resource_version) {
            let (target, since) = (Arc::new(target), self.terms);
            self.targets.insert(uid, Known { target, since });
        }
    }

    pub(super) fn forget(&mut self, uid: &RequestUid) {
        self.targets.remove(uid);
        self.came.remove(uid);
        self.forget_told(uid);
        if let Some(key) = self
            .failures
            .remove(uid)
            .and_then(|failures| failures.retry)
        {
            self.retries.try_remove(&key);
        }
    }
}
