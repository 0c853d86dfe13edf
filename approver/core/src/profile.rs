//! The profile of all kubelet requests: the same rules as the signer's.

use rollcall_csr::{CertificationRequest, NODES_GROUP, NodeName};

use crate::{DenyClass, Finding, Policy, Reason, Request};

/// The maximum number of names in one message.
const MOST_NAMES: usize = 10;

/// Returns every violation of the profile of a kubelet's client certificate.
pub(crate) fn check_client_profile(request: &Request) -> Vec<Finding> {
    check_profile(request, check_no_names)
}

/// Returns every violation of the profile of a kubelet's serving certificate.
pub(crate) fn check_serving_profile(request: &Request) -> Vec<Finding> {
    check_profile(request, check_server_names)
}

/// Checks the requirements of both signers (Kubernetes: `pkg/apis/certificates/helpers.go`), and those of one on names.
fn check_profile(
    request: &Request,
    check_names: fn(&CertificationRequest) -> Option<Finding>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = check_usages(request).into_iter().collect();
    match &request.content {
        Ok(content) => findings.extend(
            [
                check_organization(content),
                check_common_name(content),
                check_names(content),
            ]
            .into_iter()
            .flatten(),
        ),
        Err(error) => {
            findings.insert(
                0,
                Finding::new(
                    Reason::RequestMalformed,
                    format!("{error} ({})", error.as_str()),
                ),
            );
        }
    }
    findings
}

/// Joins names in one text: all of them, or the first ones and the number of others.
pub(crate) fn list(names: &[String]) -> String {
    let (shown, more) = names.split_at(names.len().min(MOST_NAMES));
    match more.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns true if one of these findings is permanent and the policy denies such requests.
pub(crate) fn denies(policy: &Policy, findings: &[Finding]) -> bool {
    findings
        .iter()
        .filter_map(|finding| deny_class(finding.reason))
        .any(|class| policy.deny.contains(&class))
}

/// The class of a reason that no later fact can remove.
#[expect(clippy::too_many_lines, reason = "one line for each word")]
fn deny_class(reason: Reason) -> Option<DenyClass> {
    match reason {
        Reason::RequestMalformed => Some(DenyClass::Malformed),
        Reason::CommonNameNotANode
        | Reason::NameReserved
        | Reason::NamesMissing
        | Reason::NamesNotAllowed
        | Reason::OrganizationNotNodes
        | Reason::RequestorNotSubject
        | Reason::UsagesNotAllowed => Some(DenyClass::Profile),
        Reason::Superseded => Some(DenyClass::Superseded),
        Reason::AlreadyDecided
        | Reason::AlreadyIssued
        | Reason::Contested
        | Reason::EvidenceInvalid
        | Reason::EvidenceMissing
        | Reason::FactsStale
        | Reason::FirstCertificate
        | Reason::KubeletCaMissing
        | Reason::MachineAmbiguous
        | Reason::MachineBound
        | Reason::MachineDeleting
        | Reason::MachineFailed
        | Reason::MachineNotBound
        | Reason::MachineNotFound
        | Reason::MachineRemediating
        | Reason::ManualApproval
        | Reason::ManualDenial
        | Reason::NameNotOwned
        | Reason::NameShared
        | Reason::NameTooLong
        | Reason::NodeExists
        | Reason::NodeNotFound
        | Reason::OutsideJoinWindow
        | Reason::Reissued
        | Reason::Renewal
        | Reason::RequestorNotAllowed
        | Reason::Resume
        | Reason::ServingCertificate
        | Reason::ServingMismatch
        | Reason::ServingRenewal
        | Reason::ServingUnreachable
        | Reason::SignerNotServed
        | Reason::TokenOfAnotherMachine
        | Reason::WriteFailed => None,
    }
}

fn check_usages(request: &Request) -> Option<Finding> {
    (!request.signer.allows_usages(&request.usages)).then(|| {
        Finding::new(
            Reason::UsagesNotAllowed,
            format!(
                "the usages are [{}]; {} takes [{}] with or without key encipherment",
                request.usages.join(", "),
                request.signer.name(),
                request.signer.usages().join(", ")
            ),
        )
    })
}

fn check_organization(content: &CertificationRequest) -> Option<Finding> {
    let organization = &content.subject().organization;
    (organization != NODES_GROUP).then(|| {
        Finding::new(
            Reason::OrganizationNotNodes,
            format!("the organization is {organization:?}; a kubelet's is {NODES_GROUP:?}"),
        )
    })
}

fn check_common_name(content: &CertificationRequest) -> Option<Finding> {
    let common_name = &content.subject().common_name;
    NodeName::from_username(common_name).err().map(|error| {
        Finding::new(
            Reason::CommonNameNotANode,
            format!("the common name {common_name:?} is no node's: {error}"),
        )
    })
}

fn check_no_names(content: &CertificationRequest) -> Option<Finding> {
    let names = content.names();
    let ips = names.ips.iter().map(ToString::to_string);
    let asked: Vec<String> = names
        .dns
        .iter()
        .chain(&names.emails)
        .chain(&names.uris)
        .cloned()
        .chain(ips)
        .collect();
    (!asked.is_empty()).then(|| {
        Finding::new(
            Reason::NamesNotAllowed,
            format!(
                "the request asks for the names [{}]; a client certificate may hold none",
                list(&asked)
            ),
        )
    })
}

fn check_server_names(content: &CertificationRequest) -> Option<Finding> {
    let names = content.names();
    let others: Vec<String> = names.emails.iter().chain(&names.uris).cloned().collect();
    if !others.is_empty() {
        return Some(Finding::new(
            Reason::NamesNotAllowed,
            format!(
                "the request asks for [{}]; a serving certificate holds DNS names and IP addresses only",
                list(&others)
            ),
        ));
    }
    names.is_empty().then(|| {
        Finding::new(
            Reason::NamesMissing,
            "the request asks for no DNS name and no IP address; a serving certificate needs one",
        )
    })
}
