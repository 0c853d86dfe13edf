//! Facts about kubelets themselves: the CA of their certificates, and the certificates they serve.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use super::Cluster;
use crate::{Authority, Dialled, RequestUid, Served};

impl Cluster {
    /// Replaces the CA certificates of a source. They change rarely, and then any request may have waited for it.
    pub(super) fn put_kubelet_ca(
        &mut self,
        source: String,
        authorities: Vec<Authority>,
    ) -> BTreeSet<RequestUid> {
        let ca = self.kubelet_ca.get_or_insert_default();
        let news = ca.put(source, authorities);
        self.pending().filter(|_| news).collect()
    }

    pub(super) fn lose_kubelet_ca(&mut self, source: &str, now: Timestamp) -> BTreeSet<RequestUid> {
        if let Some(ca) = &mut self.kubelet_ca {
            ca.lost(source, now);
        }
        BTreeSet::new()
    }

    pub(super) fn regain_kubelet_ca(&mut self, source: &str) -> BTreeSet<RequestUid> {
        let ca = self.kubelet_ca.as_mut();
        let news = ca.is_some_and(|ca| ca.live(source));
        self.pending().filter(|_| news).collect()
    }

    /// Records the result of a dial, if the node still exists. Wakes the pending requests under its name.
    pub(super) fn put_served(&mut self, node: NodeName, served: Served) -> BTreeSet<NodeName> {
        if !self.nodes.contains_key(&node) {
            return BTreeSet::new();
        }
        let dialled = Dialled::new(served, self.served.get(&node));
        self.served.insert(node.clone(), dialled);
        BTreeSet::from([node])
    }
}
