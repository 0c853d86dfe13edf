//! Reasons: one stable word for every finding about a request.

use std::fmt;

/// The reason of a decision. The word is the same in conditions, Events, metrics, logs, the command line and
/// `docs/reasons.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It was approved, denied or failed before.
    AlreadyDecided,
    /// A certificate was approved for this Machine with another key.
    AlreadyIssued,
    /// The common name is not a node's.
    CommonNameNotANode,
    /// Several keys request one pending Machine.
    Contested,
    /// The evidence of the request is forged, or not about its Machine.
    EvidenceInvalid,
    /// The Machine or its pool requires evidence that the request lacks.
    EvidenceMissing,
    /// A watch was lost, or has never synced.
    FactsStale,
    /// Every rule for a machine's first certificate holds.
    FirstCertificate,
    /// No CA is available to verify the certificate that the node serves now.
    KubeletCaMissing,
    /// Two or more Machines own the node name or share an address.
    MachineAmbiguous,
    /// The Machine is already bound to a Node.
    MachineBound,
    /// The Machine is being deleted.
    MachineDeleting,
    /// The Machine has failed permanently.
    MachineFailed,
    /// The Machine is not bound to this Node.
    MachineNotBound,
    /// No Machine owns the node name.
    MachineNotFound,
    /// The Machine is being replaced or repaired.
    MachineRemediating,
    /// An administrator approved it.
    ManualApproval,
    /// An administrator denied it.
    ManualDenial,
    /// A requested name is not the Machine's.
    NameNotOwned,
    /// No node may serve under a requested name.
    NameReserved,
    /// A requested name or address is shared by all machines or the cluster's, as far as known.
    NameShared,
    /// The node name is too long for the label that a kubelet registers with.
    NameTooLong,
    /// The request for a serving certificate has no names.
    NamesMissing,
    /// The request asks for kinds of names that its certificate must not contain.
    NamesNotAllowed,
    /// A Node of that name exists.
    NodeExists,
    /// The node makes the request itself, but its Node does not exist.
    NodeNotFound,
    /// The organization is not the one of kubelets.
    OrganizationNotNodes,
    /// The request was not made while the Machine was expected.
    OutsideJoinWindow,
    /// The Machine's Node did not appear, and another key requested it.
    Reissued,
    /// Every rule for the renewal of a node's certificate holds.
    Renewal,
    /// The request is unreadable, or contains fields that kubelets do not set.
    RequestMalformed,
    /// The requestor may not request first certificates.
    RequestorNotAllowed,
    /// A node requests a certificate of another node.
    RequestorNotSubject,
    /// A known node returns, and proves that it is the same machine.
    Resume,
    /// Every rule for the serving certificate of a node holds.
    ServingCertificate,
    /// The certificate that the node serves now does not vouch for the requested names.
    ServingMismatch,
    /// The node serves exactly the requested names now.
    ServingRenewal,
    /// The node cannot be dialled to see the certificate that it serves now.
    ServingUnreachable,
    /// The signer's requests are not decided here.
    SignerNotServed,
    /// A newer request asks for the same Machine.
    Superseded,
    /// The bootstrap token was made for another Machine.
    TokenOfAnotherMachine,
    /// The usages are not those of the signer.
    UsagesNotAllowed,
    /// It was decided, but the API server rejects the decision.
    WriteFailed,
}

impl Reason {
    /// Every reason, in the order of their words.
    pub const ALL: [Self; 43] = [
        Self::AlreadyDecided,
        Self::AlreadyIssued,
        Self::CommonNameNotANode,
        Self::Contested,
        Self::EvidenceInvalid,
        Self::EvidenceMissing,
        Self::FactsStale,
        Self::FirstCertificate,
        Self::KubeletCaMissing,
        Self::MachineAmbiguous,
        Self::MachineBound,
        Self::MachineDeleting,
        Self::MachineFailed,
        Self::MachineNotBound,
        Self::MachineNotFound,
        Self::MachineRemediating,
        Self::ManualApproval,
        Self::ManualDenial,
        Self::NameNotOwned,
        Self::NameReserved,
        Self::NameShared,
        Self::NameTooLong,
        Self::NamesMissing,
        Self::NamesNotAllowed,
        Self::NodeExists,
        Self::NodeNotFound,
        Self::OrganizationNotNodes,
        Self::OutsideJoinWindow,
        Self::Reissued,
        Self::Renewal,
        Self::RequestMalformed,
        Self::RequestorNotAllowed,
        Self::RequestorNotSubject,
        Self::Resume,
        Self::ServingCertificate,
        Self::ServingMismatch,
        Self::ServingRenewal,
        Self::ServingUnreachable,
        Self::SignerNotServed,
        Self::Superseded,
        Self::TokenOfAnotherMachine,
        Self::UsagesNotAllowed,
        Self::WriteFailed,
    ];

    /// The word.
    #[expect(clippy::too_many_lines, reason = "one line for each word")]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyDecided => "AlreadyDecided",
            Self::AlreadyIssued => "AlreadyIssued",
            Self::CommonNameNotANode => "CommonNameNotANode",
            Self::Contested => "Contested",
            Self::EvidenceInvalid => "EvidenceInvalid",
            Self::EvidenceMissing => "EvidenceMissing",
            Self::FactsStale => "FactsStale",
            Self::FirstCertificate => "FirstCertificate",
            Self::KubeletCaMissing => "KubeletCaMissing",
            Self::MachineAmbiguous => "MachineAmbiguous",
            Self::MachineBound => "MachineBound",
            Self::MachineDeleting => "MachineDeleting",
            Self::MachineFailed => "MachineFailed",
            Self::MachineNotBound => "MachineNotBound",
            Self::MachineNotFound => "MachineNotFound",
            Self::MachineRemediating => "MachineRemediating",
            Self::ManualApproval => "ManualApproval",
            Self::ManualDenial => "ManualDenial",
            Self::NameNotOwned => "NameNotOwned",
            Self::NameReserved => "NameReserved",
            Self::NameShared => "NameShared",
            Self::NameTooLong => "NameTooLong",
            Self::NamesMissing => "NamesMissing",
            Self::NamesNotAllowed => "NamesNotAllowed",
            Self::NodeExists => "NodeExists",
            Self::NodeNotFound => "NodeNotFound",
            Self::OrganizationNotNodes => "OrganizationNotNodes",
            Self::OutsideJoinWindow => "OutsideJoinWindow",
            Self::Reissued => "Reissued",
            Self::Renewal => "Renewal",
            Self::RequestMalformed => "RequestMalformed",
            Self::RequestorNotAllowed => "RequestorNotAllowed",
            Self::RequestorNotSubject => "RequestorNotSubject",
            Self::Resume => "Resume",
            Self::ServingCertificate => "ServingCertificate",
            Self::ServingMismatch => "ServingMismatch",
            Self::ServingRenewal => "ServingRenewal",
            Self::ServingUnreachable => "ServingUnreachable",
            Self::SignerNotServed => "SignerNotServed",
            Self::Superseded => "Superseded",
            Self::TokenOfAnotherMachine => "TokenOfAnotherMachine",
            Self::UsagesNotAllowed => "UsagesNotAllowed",
            Self::WriteFailed => "WriteFailed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_sorted_and_pascal_case() {
        let words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(words, sorted);
        for word in words {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        }
    }
}
