//! The way of a Machine into the cluster.

use std::fmt;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::{Finding, MachineReference, MachineUid, Node};

/// How far a Machine has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinStage {
    /// The record is there.
    Provisioned,
    /// Somebody asks for its first certificate.
    Requested,
    /// A first certificate was approved.
    Approved,
    /// The certificate was issued.
    Issued,
    /// Its Node has registered.
    Registered,
    /// Its Node may serve: a serving certificate was approved.
    Serving,
    /// Its Node is ready to take Pods.
    Ready,
}

impl JoinStage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] = [
        Self::Provisioned,
        Self::Requested,
        Self::Approved,
        Self::Issued,
        Self::Registered,
        Self::Serving,
        Self::Ready,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "Provisioned",
            Self::Requested => "Requested",
            Self::Approved => "Approved",
            Self::Issued => "Issued",
            Self::Registered => "Registered",
            Self::Serving => "Serving",
            Self::Ready => "Ready",
        }
    }
}

impl fmt::Display for JoinStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one Machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which one.
    pub machine: MachineReference,
    /// What tells it from a later one of the same name.
    pub uid: MachineUid,
    /// How far it has come.
    pub stage: JoinStage,
    /// The name of the request that waits, the newest of them, and why.
    pub waiting: Option<(String, Finding)>,
    /// When the last first certificate was approved for it, and for which request, while that is still there.
    pub approved: Option<(Timestamp, Option<String>)>,
    /// The Node that it has become.
    pub node: Option<(NodeName, Node)>,
    /// Whether that Node was there before the record, which was made for it.
    pub adopted: bool,
    /// The Node of its name that it has not become.
    pub other_node: Option<NodeName>,
    /// From when on it is too late to ask for a first certificate.
    pub deadline: Option<Timestamp>,
}
