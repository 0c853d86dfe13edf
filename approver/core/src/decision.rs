//! What was decided of a request, and everything that speaks for it.

use jiff::Timestamp;
use rollcall_csr::NodeName;

use crate::{Claim, Dial, MachineReference, Reason, RequestUid};

/// One reason, with what was seen and what was expected, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The stable word.
    pub reason: Reason,
    /// What was seen.
    pub message: String,
}

impl Finding {
    /// A reason and what was seen.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A change that could turn a hold into something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Something known under this node name: a Machine that owns it, the Node, another request.
    Name(NodeName),
    /// A feed that has to come back.
    Feed,
    /// Whether the kubelet of this Node renews its Lease: somebody has to ask for it.
    Lease(NodeName),
    /// What becomes of this request: it stands in the way.
    Request(RequestUid),
    /// What a node serves now: somebody has to dial it.
    Served(Dial),
    /// This time.
    Until(Timestamp),
}

impl Wait {
    /// The time it waits for, if it waits for time.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Until(at) => Some(*at),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Request(_) | Self::Served(_) => {
                None
            }
        }
    }

    /// The request it waits for, if it waits for one.
    pub fn blocker(&self) -> Option<&RequestUid> {
        match self {
            Self::Request(uid) => Some(uid),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Served(_) | Self::Until(_) => None,
        }
    }

    /// The dial it waits for, if it waits for one.
    pub fn dial(&self) -> Option<&Dial> {
        match self {
            Self::Served(dial) => Some(dial),
            Self::Feed | Self::Lease(_) | Self::Name(_) | Self::Request(_) | Self::Until(_) => None,
        }
    }

    /// The Node whose Lease it waits for, if it waits for one.
    pub fn lease(&self) -> Option<&NodeName> {
        match self {
            Self::Lease(node) => Some(node),
            Self::Feed | Self::Name(_) | Self::Request(_) | Self::Served(_) | Self::Until(_) => {
                None
            }
        }
    }
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Approve it. A first certificate spends its Machine: then that has to be recorded too.
    Approve(Option<Claim>),
    /// Deny it, for ever.
    Deny,
    /// Leave it pending, and judge it again when one of these changes. Without any, only a person can decide.
    Hold(Vec<Wait>),
    /// Leave it alone: it is not ours.
    Ignore,
}

impl Verdict {
    /// The word for it in logs, metrics and output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve(_) => "approve",
            Self::Deny => "deny",
            Self::Hold(_) => "hold",
            Self::Ignore => "ignore",
        }
    }
}

/// The decision on one request. Never without a reason: the first of `findings` is the one that counts most.
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

    /// Adds to what is said of a reason, where it is one of those.
    pub(crate) fn add(&mut self, reason: Reason, more: impl FnOnce() -> String) {
        let mut findings = std::iter::once(&mut self.first).chain(&mut self.rest);
        if let Some(finding) = findings.find(|finding| finding.reason == reason) {
            finding.message.push_str("; ");
            finding.message.push_str(&more());
        }
    }

    /// What is to be done.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The Node whose Lease could turn it into an approval, if one could.
    pub fn lease(&self) -> Option<&NodeName> {
        match &self.verdict {
            Verdict::Hold(waits) => waits.iter().find_map(Wait::lease),
            Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore => None,
        }
    }

    /// The dial that could turn it into an approval, if one could.
    pub fn dial(&self) -> Option<&Dial> {
        match &self.verdict {
            Verdict::Hold(waits) => waits.iter().find_map(Wait::dial),
            Verdict::Approve(_) | Verdict::Deny | Verdict::Ignore => None,
        }
    }

    /// The reason that counts most.
    pub fn reason(&self) -> Reason {
        self.first.reason
    }

    /// What was seen, in a sentence: that of [`Decision::reason`].
    pub fn message(&self) -> &str {
        &self.first.message
    }

    /// Everything that was seen, in one line: the message that counts most, then the other reasons with theirs.
    pub fn explanation(&self) -> String {
        let also = self
            .rest
            .iter()
            .map(|Finding { reason, message }| format!("; {reason}: {message}"));
        std::iter::once(self.first.message.clone())
            .chain(also)
            .collect()
    }

    /// Every reason, the one that counts most first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// What a person should see of an approval: what spoke against it and did not count, and that a node came back, which
    /// whoever has its disk can do too.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        let resumed = Some(&self.first).filter(|first| first.reason == Reason::Resume);
        resumed.into_iter().chain(&self.rest)
    }

    /// The Machine that the request is judged by, when just one can be meant.
    pub fn machine(&self) -> Option<&MachineReference> {
        self.machine.as_ref()
    }
}
