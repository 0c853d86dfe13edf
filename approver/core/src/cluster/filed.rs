//! The requests for one node name: the pending ones, ordered by creation, and the approved ones. Denied ones affect no
//! others, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rollcall_csr::{KeyHash, Signer};

use crate::{Request, RequestUid, Standing};

/// The creation time of a request; the name orders those created in the same second (the API's resolution).
type Age = (Timestamp, String, RequestUid);

/// The requests for one node name.
#[derive(Debug, Default)]
pub(super) struct Filed {
    waiting: BTreeMap<Signer, BTreeSet<Age>>,
    /// The approved requests for first certificates, by key; per key, the latest approval last.
    spending: BTreeMap<KeyHash, BTreeSet<Spending>>,
    /// The approved requests of the node itself.
    own: BTreeSet<RequestUid>,
}

/// An approved request for a first certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spending {
    /// The time of the approval.
    pub(super) approved_at: Timestamp,
    /// The creation time.
    pub(super) created_at: Timestamp,
    /// The request.
    pub(super) request: RequestUid,
}

impl Filed {
    /// Adds a request, according to its state.
    pub(super) fn put(&mut self, request: &Request) {
        match request.standing {
            Standing::Pending => {
                let waiting = self.waiting.entry(request.signer).or_default();
                waiting.insert(age(request));
            }
            Standing::Approved(approved_at) => match spending_key(request) {
                Some(key) => {
                    let spending = self.spending.entry(key).or_default();
                    spending.insert(spending_of(request, approved_at));
                }
                None => {
                    self.own.insert(request.uid.clone());
                }
            },
            Standing::Closed => {}
        }
    }

    /// Removes a request that was added in this state.
    pub(super) fn remove(&mut self, request: &Request) {
        if let Some(waiting) = self.waiting.get_mut(&request.signer) {
            waiting.remove(&age(request));
            if waiting.is_empty() {
                self.waiting.remove(&request.signer);
            }
        }
        if let (Standing::Approved(at), Some(key)) = (request.standing, spending_key(request))
            && let Some(spending) = self.spending.get_mut(&key)
        {
            spending.remove(&spending_of(request, at));
            if spending.is_empty() {
                self.spending.remove(&key);
            }
        }
        self.own.remove(&request.uid);
    }

    /// Returns true if it holds no requests.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.spending.is_empty() && self.own.is_empty()
    }

    /// The approved requests of the node itself.
    pub(super) fn own(&self) -> impl Iterator<Item = &RequestUid> {
        self.own.iter()
    }

    /// The approved requests for first certificates, by key; per key, the latest approval first.
    pub(super) fn spending(
        &self,
    ) -> impl Iterator<Item = (KeyHash, impl Iterator<Item = &Spending>)> {
        let keys = self.spending.iter();
        keys.map(|(key, spending)| (*key, spending.iter().rev()))
    }

    /// The pending requests, to any signer.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &RequestUid> {
        self.waiting.values().flatten().map(|(_, _, uid)| uid)
    }

    /// The number of pending requests.
    pub(super) fn count_waiting(&self) -> usize {
        self.waiting.values().map(BTreeSet::len).sum()
    }

    /// The pending requests to one signer, the oldest first.
    pub(super) fn oldest_first(&self, signer: Signer) -> impl Iterator<Item = &RequestUid> {
        let waiting = self.waiting.get(&signer).into_iter();
        waiting.flatten().map(|(_, _, uid)| uid)
    }

    /// The pending requests to one signer, the newest first.
    pub(super) fn newest_first(&self, signer: Signer) -> impl Iterator<Item = &RequestUid> {
        let waiting = self.waiting.get(&signer).into_iter();
        waiting
            .flat_map(|waiting| waiting.iter().rev())
            .map(|(_, _, uid)| uid)
    }
}

/// The key of a request that spends a Machine on approval: a node that renews its own certificate spends none.
fn spending_key(request: &Request) -> Option<KeyHash> {
    let first = request.signer == Signer::KubeApiserverClientKubelet && !request.is_by_its_node();
    request.key().filter(|_| first)
}

fn spending_of(request: &Request, approved_at: Timestamp) -> Spending {
    Spending {
        approved_at,
        created_at: request.created_at,
        request: request.uid.clone(),
    }
}

fn age(request: &Request) -> Age {
    let Request {
        created_at,
        name,
        uid,
        ..
    } = request;
    (*created_at, name.clone(), uid.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, request};

    #[test]
    fn the_newest_comes_first_and_each_signer_has_its_own() {
        let made = |name: &str, seconds, signer| Request {
            created_at: at(seconds),
            signer,
            ..request(name, "worker-0", 0)
        };
        let client = Signer::KubeApiserverClientKubelet;
        let mut filed = Filed::default();
        for (name, seconds) in [("b", 1), ("a", 1), ("c", 0)] {
            filed.put(&made(name, seconds, client));
        }
        filed.put(&made("d", 9, Signer::KubeletServing));
        let order: Vec<&str> = filed
            .newest_first(client)
            .map(|uid| uid.0.as_str())
            .collect();
        assert_eq!(order, ["b", "a", "c"]);
        assert_eq!(filed.count_waiting(), 4);
        for (name, seconds) in [("b", 1), ("a", 1), ("c", 0)] {
            filed.remove(&made(name, seconds, client));
        }
        filed.remove(&made("d", 9, Signer::KubeletServing));
        assert!(filed.is_empty());
    }
}
