//! The decision core: decides node certificate requests, with reasons.
//!
//! [`decide()`] takes a request, the facts about the cluster, a policy and a time, and returns a [`Decision`] with
//! reasons. It is pure and total: no I/O, no clock, no Kubernetes client. [`Cluster`] keeps the facts from the watches in
//! memory and determines which requests must be judged again after a change.
//!
//! | a request | verdict |
//! | --- | --- |
//! | of another requestor or signer, or already decided | ignore |
//! | that no kubelet would ever make | deny (or hold, if the policy says so) |
//! | for which a fact is missing, late, stale, ambiguous or contested | hold until that fact changes |
//! | that passes every rule of its path | approve |

// The fixtures are used by the tests in `tests/` too, where the crate has this name.
#[cfg(test)]
extern crate self as rollcall_approver_core;

mod asking;
mod blockers;
mod certificate;
mod change;
mod claims;
mod cluster;
mod cluster_address;
mod decide;
mod decision;
mod evidence;
#[cfg(test)]
mod evidence_fixtures;
mod facts;
mod first_certificate;
#[cfg(test)]
mod fixtures;
mod freshness;
mod generic_name;
mod health_check;
mod instance;
mod ip_range;
#[cfg(test)]
mod issuing_fixtures;
mod itself;
mod join;
mod kubeadm_config;
mod kubelet_ca;
mod machine;
mod naming;
mod near_miss;
mod node_activity;
mod policy;
mod profile;
mod reason;
mod renewal;
mod request;
mod reserved;
mod resume;
mod roll;
mod served;
mod server_name;
mod serving;
mod shared_address;
mod timers;
mod token;
mod verified;
mod vouching;
mod window;

pub use certificate::{Authority, CertificateError, IssuedCertificate, Usage};
pub use change::{Change, Settlement};
pub use claims::{Claim, Claims, MOST_CLAIMS};
pub use cluster::Cluster;
pub use cluster_address::{CLUSTER_LABEL, ClusterAddresses, KnownAddresses};
pub use decide::decide;
pub use decision::{Decision, Finding, Verdict, Wait};
pub use facts::{Facts, Node, NodeCondition, NodeLease};
pub use freshness::{Feed, Freshness, Stale};
pub use health_check::{
    HealthCheck, Limit, NotALimit, Remediation, Requirement, Selector, UnhealthyCondition,
};
pub use ip_range::{IpRange, IpRangeError};
pub use join::{Join, JoinStage};
pub use kubeadm_config::{JoinToken, KubeadmConfig};
pub use kubelet_ca::KubeletCa;
pub use machine::{Address, JoinKey, LookUp, Machine, MachineReference, MachineUid, Scope, Source};
pub use naming::{NameStrategy, NameTemplate, NameTemplateError, Naming};
pub use policy::{
    Contested, DenyClass, ExtraRange, Policy, RenewWithoutAddresses, RequestorRule, ResumePolicy,
    Rules, ServingPolicy, Strength,
};
pub use reason::Reason;
pub use request::{BOOTSTRAP_USER, BOOTSTRAPPERS, Request, RequestUid, Requestor, Standing};
pub use roll::Roll;
pub use served::{Chain, Dial, Dialled, Served};
pub use server_name::ServerName;
pub use shared_address::SharedAddress;
pub use token::machine_group;
pub use verified::Verified;
pub use vouching::Vouching;
pub use window::WindowFrom;
