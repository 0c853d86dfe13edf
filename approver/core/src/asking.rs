//! An index of requests by the DNS names and IP addresses that they ask for, so that a Machine that gets or loses one
//! wakes them.

use std::collections::{BTreeSet, HashMap};

use crate::{Request, RequestUid, ServerName, serving};

/// The requests, by requested name.
#[derive(Debug, Default)]
pub(crate) struct Asking(HashMap<ServerName, BTreeSet<RequestUid>>);

impl Asking {
    /// Adds the names of a request, while it waits for an answer.
    pub(crate) fn put(&mut self, request: &Request) {
        if !request.is_pending() {
            return self.remove(request);
        }
        for name in serving::asked_for(request) {
            self.0.entry(name).or_default().insert(request.uid.clone());
        }
    }

    /// Removes the names of a request.
    pub(crate) fn remove(&mut self, request: &Request) {
        for name in serving::asked_for(request) {
            if let Some(uids) = self.0.get_mut(&name) {
                uids.remove(&request.uid);
                if uids.is_empty() {
                    self.0.remove(&name);
                }
            }
        }
    }

    /// The requests that ask for any of these names.
    pub(crate) fn of(&self, names: impl Iterator<Item = ServerName>) -> BTreeSet<RequestUid> {
        names
            .filter_map(|name| self.0.get(&name))
            .flatten()
            .cloned()
            .collect()
    }
}
