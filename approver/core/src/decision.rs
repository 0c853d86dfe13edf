//! The decision about a request, with all its reasons.

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::{Claim, Dial, MachineReference, Reason, RequestUid};

/// One reason, with a message about the observed and expected values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The stable word.
    pub reason: Reason,
    /// The observation.
    pub message: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A change that could turn a hold into another verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A change under this node name: of a Machine that owns it, the Node, another request.
    Name(NodeName),
    /// A stale feed that becomes fresh.
    Feed,
    /// The Lease of this Node: the caller must read it.
    Lease(NodeName),
    /// The result of this request, which has precedence.
    Request(RequestUid),
    /// The certificate that a node serves now: the caller must dial it.
    Served(Dial),
    /// This time.
    Until(Timestamp),
}

impl Wait {
    /// The time of the wait, if it is for a time.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Until(at) => Some(*at),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Request(_) | Self::Served(_) => {
                None
            }
        }
    }

    /// The request of the wait, if it is for one.
    pub fn blocker(&self) -> Option<&RequestUid> {
        match self {
            Self::Request(uid) => Some(uid),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Served(_) | Self::Until(_) => None,
        }
    }

    /// The dial of the wait, if it is for one.
    pub fn dial(&self) -> Option<&Dial> {
        match self {
            Self::Served(dial) => Some(dial),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Request(_) | Self::Until(_) => None,
        }
    }

    /// The Node of the wait, if it is for a Lease.
    pub fn lease(&self) -> Option<&NodeName> {
        match self {
            Self::Lease(node) => Some(node),
            Self::Feed | Self::Name(_) | Self::Request(_) | Self::Served(_) | Self::Until(_) => {
                None
            }
        }
    }
}

/// The action for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Approve it. A first certificate spends its Machine: then the claim must be recorded too.
    Approve(Option<Claim>),
    /// Deny it, which is final.
    Deny,
    /// Leave it pending, and judge it again when one of these changes. If empty, only a user can decide.
    Hold(Vec<Wait>),
    /// Ignore it: it is not ours.
    Ignore,
}

impl Verdict {
    /// The word in logs, metrics and output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve(_) => "approve",
            Self::Deny => "deny",
            Self::Hold(_) => "hold",
            Self::Ignore => "ignore",
        }
    }
}

/// The decision about one request. It always has a reason: the first of `findings` is the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    verdict: Verdict,
    first: Finding,
    rest: Vec<Finding>,
    machine: Option<MachineReference>,
}

impl Decision {
    pub(crate) fn new(
        verdict: Verdict,
        first: Finding,
        rest: Vec<Finding>,
        machine: Option<MachineReference>,
    ) -> Self {
        Self {
            verdict,
            first,
            rest,
            machine,
        }
    }

    /// Appends to the message of a reason, if the decision has it.
    pub(crate) fn add(&mut self, reason: Reason, more: impl FnOnce() -> String) {
        let mut findings = std::iter::once(&mut self.first).chain(&mut self.rest);
        if let Some(finding) = findings.find(|finding| finding.reason == reason) {
            finding.message.push_str("; ");
            finding.message.push_str(&more());
        }
    }

    /// The action.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The Node whose Lease could lead to an approval, if any.
    pub fn lease(&self) -> Option<&NodeName> {
        match &self.verdict {
            Verdict::Hold(waits) => waits.iter().find_map(Wait::lease),
            Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore => None,
        }
    }

    /// The dial that could lead to an approval, if any.
    pub fn dial(&self) -> Option<&Dial> {
        match &self.verdict {
            Verdict::Hold(waits) => waits.iter().find_map(Wait::dial),
            Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore => None,
        }
    }

    /// The main reason.
    pub fn reason(&self) -> Reason {
        self.first.reason
    }

    /// The message of [`Decision::reason`].
    pub fn message(&self) -> &str {
        &self.first.message
    }

    /// All findings in one line: the main message, then the other reasons with theirs.
    pub fn explanation(&self) -> String {
        let also = self
            .rest
            .iter()
            .map(|Finding { reason, message }| format!("; {reason}: {message}"));
        std::iter::once(self.first.message.clone())
            .chain(also)
            .collect()
    }

    /// All findings, the main one first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The findings of an approval to show to users: problems that did not prevent it, and the return of a node, which is
    /// also possible with a copy of its disk.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        let resumed = Some(&self.first).filter(|first| first.reason == Reason::Resume);
        resumed.into_iter().chain(&self.rest)
    }

    /// The Machine of the request, if exactly one matches.
    pub fn machine(&self) -> Option<&MachineReference> {
        self.machine.as_ref()
    }
}
