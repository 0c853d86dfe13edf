//! Machines for tests of evidence: their keys and certificates, and requests with them.

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rollcall_approver_core::{JoinKey, KubeletCa, Request};
use rollcall_csr::{
    Binding, CertificationRequest, ClusterId, Evidence, EvidenceError, NodeName, Statement,
};

use crate::fixtures::{Asked, World};
use crate::issuing_fixtures::{Issuer, Leaf, midnight};

/// A machine that was issued a client certificate from the 10th to the 20th, and has been off since.
pub(crate) struct Holder {
    pub(crate) issuer: Issuer,
    pub(crate) key: KeyPair,
    pub(crate) certificate: Vec<u8>,
    cluster: ClusterId,
}

impl Holder {
    /// The machine behind `worker-0`.
    pub(crate) fn new() -> Self {
        Self::of(&Leaf::client("worker-0"))
    }

    /// A machine with this certificate.
    pub(crate) fn of(leaf: &Leaf) -> Self {
        let issuer = Issuer::new("kubernetes");
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: issuer.issue_for(leaf, &key),
            cluster: ClusterId::of_ca(&issuer.der()),
            issuer,
            key,
        }
    }

    /// The same machine, with another cluster's id.
    pub(crate) fn elsewhere(mut self) -> Self {
        self.cluster = ClusterId::of_ca(b"another");
        self
    }

    /// The CA that verifies its certificate.
    pub(crate) fn ca(&self) -> KubeletCa {
        let mut ca = KubeletCa::new(["a test".to_owned()]);
        ca.put("a test".to_owned(), vec![self.issuer.authority()]);
        ca
    }

    /// The statement that it holds the key of its certificate.
    pub(crate) fn previous(&self, request: &Request) -> Statement {
        self.previous_for(&binding(request, self.cluster))
    }

    /// The same, for another binding.
    pub(crate) fn previous_for(&self, binding: &Binding) -> Statement {
        let sign = |bytes: &[u8]| Ok::<_, EvidenceError>(self.key.sign(bytes).unwrap());
        Statement::previous_certificate(&self.certificate, binding, sign).unwrap()
    }

    /// The statement that it holds this key.
    pub(crate) fn join_key(&self, request: &Request) -> Statement {
        let sign = |bytes: &[u8]| Ok::<_, EvidenceError>(self.key.sign(bytes).unwrap());
        let spki = self.key.subject_public_key_info();
        Statement::join_key(&spki, &binding(request, self.cluster), sign).unwrap()
    }

    /// Its key, as pinned in a record.
    pub(crate) fn pinned(&self) -> JoinKey {
        JoinKey::Spki(self.key.subject_public_key_info())
    }
}

/// The binding of a request's statements.
pub(crate) fn binding(request: &Request, cluster: ClusterId) -> Binding {
    let node: NodeName = request.node_name().unwrap();
    let request_key = request.key().unwrap();
    Binding {
        request_key,
        node,
        cluster,
    }
}

/// Replaces the evidence of a request for `worker-0` with one of the four keys.
pub(crate) fn show(request: &mut Request, key: usize, statements: Vec<Statement>) {
    let evidence = Evidence::new(statements).unwrap().to_pem();
    let text = format!("{}{evidence}", Asked::of_kubelet("worker-0", key).pem());
    request.content = CertificationRequest::from_pem(text.as_bytes());
}

impl World {
    /// A request, created on the 25th, of a node whose certificate expired on the 20th, with evidence of its key:
    /// `csr-0` of `worker-0` with key 0, Machine `m-0` of the 9th.
    pub(crate) fn resumable() -> (Self, Holder) {
        let holder = Holder::new();
        let mut world = Self::renewable();
        world.request.requestor = Self::approvable().request.requestor;
        world.bound().created_at = midnight(9);
        world.owners = world.bound.clone();
        world.kubelet_ca = Some(holder.ca());
        world.at(midnight(25));
        let statement = holder.previous(&world.request);
        show(&mut world.request, 0, vec![statement]);
        (world, holder)
    }

    /// Sets the time of the request and of the decision.
    pub(crate) fn at(&mut self, time: Timestamp) {
        self.request.created_at = time;
        self.now = time;
    }
}
