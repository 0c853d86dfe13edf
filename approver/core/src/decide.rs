//! The decision: choose the path of a request, run all of its checks, combine them.

use jiff::Timestamp;
use rollcall_csr::{NodeName, Signer};

use crate::{Decision, Facts, Finding, Policy, Reason, Request, Verdict, first_certificate};

/// Decides one request by these facts and this policy at this time.
pub fn decide(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Decision {
    match check_ours(request, policy) {
        Err(finding) => Decision::new(Verdict::Ignore, finding, Vec::new(), None),
        Ok(()) => first_certificate::decide(request, facts, policy, now),
    }
}

/// Whether the request is for us to decide at all.
fn check_ours(request: &Request, policy: &Policy) -> Result<(), Finding> {
    if !request.is_pending() {
        return Err(Finding::new(
            Reason::AlreadyDecided,
            "the request has been approved, denied or failed already",
        ));
    }
    if request.signer != Signer::KubeApiserverClientKubelet {
        return Err(Finding::new(
            Reason::SignerNotServed,
            format!("requests to {} are left to others", request.signer.name()),
        ));
    }
    check_requestor(request, policy)
}

fn check_requestor(request: &Request, policy: &Policy) -> Result<(), Finding> {
    let requestor = &request.requestor;
    if policy
        .bootstrappers
        .iter()
        .any(|rule| rule.matches(requestor))
    {
        return Ok(());
    }
    let message = match NodeName::from_username(&requestor.username) {
        Ok(node) => {
            format!("node {node} asks for itself; renewals are left to kube-controller-manager")
        }
        Err(_) => format!(
            "{:?} is no bootstrapper that the configuration names",
            requestor.username
        ),
    };
    Err(Finding::new(Reason::RequestorNotAllowed, message))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "first_certificate_tests.rs"]
mod first_certificate_tests;
