//! The progress of a Machine into the cluster.

use std::fmt;

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::{Finding, MachineReference, MachineUid, Node};

/// The stage of a Machine's join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinStage {
    /// The record exists.
    Provisioned,
    /// A first certificate is requested.
    Requested,
    /// A first certificate was approved.
    Approved,
    /// The certificate was issued.
    Issued,
    /// Its Node has registered.
    Registered,
    /// A serving certificate was approved for its Node.
    Serving,
    /// Its Node is ready to run Pods.
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

/// The progress of one Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The Machine.
    pub machine: MachineReference,
    /// The uid, which distinguishes it from a later one of the same name.
    pub uid: MachineUid,
    /// The stage.
    pub stage: JoinStage,
    /// The name of the newest pending request, and the reason why it is held.
    pub waiting: Option<(String, Finding)>,
    /// The time of the last approval of a first certificate, and its request, if it still exists.
    pub approved: Option<(Timestamp, Option<String>)>,
    /// The Node that it has become.
    pub node: Option<(NodeName, Node)>,
    /// True if that Node existed before the record, which was created for it.
    pub adopted: bool,
    /// A Node with its name that is not its own.
    pub other_node: Option<NodeName>,
    /// The end of the window for requesting a first certificate.
    pub deadline: Option<Timestamp>,
}
