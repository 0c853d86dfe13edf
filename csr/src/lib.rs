//! The requests that a kubelet may make, parsed from bytes into a typed request or an error. The same for evidence,
//! which the machine itself proves in a request.
//!
//! Both programs use this crate: node-agent builds its request with it and the approver checks requests with it. So the
//! two cannot disagree about a name, a usage or a subject. It does no I/O, reads no clock and uses no Kubernetes
//! client.
//!
//! The approver must see what the signer (Go's `crypto/x509` in kube-controller-manager) sees, or refuse. So parsing is
//! strict: anything that is not understood is an error, never skipped.

mod annotations;
mod der;
mod encode;
mod error;
mod evidence;
mod extensions;
#[cfg(any(test, fuzzing))]
pub mod fuzz_logic;
mod hash;
mod key;
mod names;
mod node_name;
mod pem;
mod request;
mod request_name;
mod signature;
mod signer;
mod subject;

pub use annotations::{MESSAGE_ANNOTATION, REASON_ANNOTATION};
pub use error::ParseError;
pub use evidence::{
    Binding, ClusterId, Evidence, EvidenceError, JoinKey, MAX_STATEMENTS, OtherStatement,
    PreviousCertificate, Statement,
};
pub use key::{KeyAlgorithm, KeyHash, NotAKeyHash, PublicKey};
pub use names::RequestedNames;
pub use node_name::{NodeName, NodeNameError};
pub use pem::MAX_REQUEST_SIZE;
pub use request::CertificationRequest;
pub use request_name::{request_name, request_name_with_evidence};
pub use signer::{Signer, UnknownSigner};
pub use subject::{NODES_GROUP, Subject};
