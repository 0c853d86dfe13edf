//! The harness of demo, end-to-end tests and benchmarks: a real Kubernetes control plane on loopback, and a real kubelet
//! in its own namespaces.
//!
//! [`ControlPlane`] is the entry point. All its processes end with it, even if a test panics or the whole process is
//! killed. All programs are real: Kubernetes' own releases, built from the module in `tests/control-plane/` or taken
//! from `KUBEBUILDER_ASSETS`. With `ROLLCALL_LOGS` set, a test that panics prints the end of each program's log.

pub mod agent;
mod api_server;
mod apply;
pub mod assets;
pub mod cases;
mod command;
pub mod config_map;
mod control_plane;
mod controller_manager;
mod etcd;
pub mod expected;
pub mod front;
pub mod gate;
mod identities;
mod kubeconfig;
mod lease;
pub mod machine_set;
pub mod machines;
pub mod moto;
pub mod node;
mod options;
pub mod paced;
mod pki;
mod process;
pub mod programs;
pub mod published;
pub mod records;
pub mod requests;
mod scratch;
pub mod serving;
pub mod setting;
pub mod slow;
pub mod usage;
pub mod vm;
pub mod wait;

pub use control_plane::ControlPlane;
pub use kubeconfig::Credentials;
pub use options::Options;
pub use pki::{Authority, CertificateProfile, IssuedCertificate, Usage};
