//! A former leader's writes that are still under way to the API server may arrive late. Each such write names the version of
//! the request that it approves. The former leader saw that version while its hold lasted: before this replica could take
//! the Lease, and so before it listed all requests at the beginning of its term. A request that has changed since can no
//! longer be approved by such a write, and an earlier approval by one is in that list.
//!
//! So before this replica approves a key for a Machine, it changes every older request with another key for that Machine: an
//! annotation, at most once in a term. Without such a rival, an approval is one write as usual.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use rollcall_approver_core::{RequestUid, Settlement};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::Engine;
use super::writes::RETRY;
use crate::connect::host_name;
use crate::convert::{Target, to_marked};
use crate::errors::describe;
use crate::lease::ended;
use crate::limit::in_time;
use crate::write::{CALL_LIMIT, send};

/// The number of concurrent changes for one approval.
const AT_ONCE: usize = 16;

/// A pending request.
pub(super) struct Known {
    pub(super) target: Arc<Target>,
    /// The number of terms at the time this version of it was seen, or since this replica changed it.
    pub(super) since: u64,
}

/// The changes made so that one request may be approved, and their term.
pub(super) struct Fenced {
    uid: RequestUid,
    changed: Vec<RequestUid>,
    since: u64,
}

impl Engine {
    /// The requests that a former leader may still approve and that exclude the approval of this one.
    pub(super) fn to_fence(&self, uid: &RequestUid) -> Vec<(RequestUid, Arc<Target>)> {
        let rivals = self.cluster.rivals_of(uid).into_iter();
        let old = rivals.filter_map(|rival| {
            let known = self.targets.get(&rival)?;
            (known.since < self.terms).then(|| (rival, Arc::clone(&known.target)))
        });
        old.collect()
    }

    /// Changes such requests; afterwards the request that they exclude is decided again.
    pub(super) fn fence(&mut self, uid: RequestUid, rivals: Vec<(RequestUid, Arc<Target>)>) {
        let woken = self.cluster.settle(&uid, Settlement::Undone);
        self.wake(woken);
        let Some(term) = self.term else { return };
        if !self.fencing.insert(uid.clone()) {
            return;
        }
        info!(
            request = self
                .cluster
                .request(&uid)
                .map(|request| request.name.as_str()),
            rivals = rivals.len(),
            "a former leader may still be approving another key for the same Machine; those requests are changed first"
        );
        let ended = ended(self.outside.leadership.clone(), term);
        let (api, since) = (self.outside.requests.clone(), self.terms);
        let mark = format!("{}-{}", host_name(), Timestamp::now().as_nanosecond());
        let writes = stream::iter(rivals).map(move |(rival, target)| {
            let (api, mark) = (api.clone(), mark.clone());
            async move { change(&api, &target, &mark).await.then_some(rival) }
        });
        let writes = writes.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        self.fences.spawn(async move {
            let changed = tokio::select! {
                changed = writes => changed.into_iter().flatten().collect(),
                () = ended => Vec::new(),
            };
            Fenced {
                uid,
                changed,
                since,
            }
        });
    }

    /// Applies the result of the changes. Returns the request to decide again; after a failed change it is decided after a
    /// pause, in which the watch brings the current state.
    pub(super) fn fenced(
        &mut self,
        ended: Result<Fenced, JoinError>,
    ) -> Option<BTreeSet<RequestUid>> {
        let Fenced {
            uid,
            changed,
            since,
        } = match ended {
            Ok(fenced) => fenced,
            Err(error) => {
                error!(%error, "a change of requests ended without an answer");
                return None;
            }
        };
        self.fencing.remove(&uid);
        for rival in changed {
            if let Some(known) = self.targets.get_mut(&rival) {
                known.since = known.since.max(since);
            }
        }
        if self.to_fence(&uid).is_empty() {
            return Some(BTreeSet::from([uid]));
        }
        if self.targets.contains_key(&uid) {
            self.retry_later(&uid, RETRY.1);
        }
        Some(BTreeSet::new())
    }
}

/// Changes one request, if it is still as last seen. Returns true if that was done.
async fn change(api: &Api<CertificateSigningRequest>, target: &Target, mark: &str) -> bool {
    let body = |carried| to_marked(target, carried, mark);
    match in_time(CALL_LIMIT, send(api.clone(), target, body)).await {
        Ok(()) => true,
        Err(error) => {
            let (request, error) = (&target.name, describe(&error));
            warn!(request, error, "a request could not be changed");
            false
        }
    }
}
