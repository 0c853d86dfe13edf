//! The decision: selects the path of a request, runs all of its checks, combines them.

use jiff::Timestamp;
use rollcall_csr::{KeyHash, NODES_GROUP, NodeName, Signer};

use crate::profile::denies;
use crate::{
    Decision, Facts, Finding, Machine, Policy, Reason, Request, Verdict, Wait, first_certificate,
    renewal, resume, serving,
};

/// The path of a request to its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A client certificate through a bootstrapper: a machine's first, or that of a returning node.
    Bootstrap,
    /// The next client certificate of a node, requested by itself.
    Renewal,
    /// The serving certificate of a node, requested by itself.
    Serving,
}

impl Path {
    /// Returns the path for this signer and requestor, if there is one.
    pub(crate) fn of(request: &Request, policy: &Policy) -> Option<Self> {
        let requestor = &request.requestor;
        match (requestor.node(), request.signer) {
            (Some(_), Signer::KubeApiserverClientKubelet) => Some(Self::Renewal),
            (Some(_), Signer::KubeletServing) => Some(Self::Serving),
            (None, Signer::KubeApiserverClientKubelet) => {
                policy.is_bootstrapper(requestor).then_some(Self::Bootstrap)
            }
            (None, Signer::KubeletServing) => None,
        }
    }
}

/// Decides one request from these facts and this policy, at this time.
pub fn decide(request: &Request, facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Decision {
    match check_ours(request, policy) {
        Err(finding) => Decision::new(Verdict::Ignore, finding, Vec::new(), None),
        Ok(Path::Bootstrap) if resume::is_resume(request, facts, policy) => {
            resume::decide(request, facts, policy, now)
        }
        Ok(Path::Bootstrap) => first_certificate::decide(request, facts, policy, now),
        Ok(Path::Renewal) => renewal::decide(request, facts, policy, now),
        Ok(Path::Serving) => serving::decide(request, facts, policy, now),
    }
}

/// Checks that the request is ours to decide, and returns its path.
fn check_ours(request: &Request, policy: &Policy) -> Result<Path, Finding> {
    if !request.is_pending() {
        return Err(Finding::new(
            Reason::AlreadyDecided,
            "the request has been approved, denied or failed already, or is being deleted",
        ));
    }
    if request.signer == Signer::KubeletServing && !policy.serving.enabled {
        return Err(Finding::new(
            Reason::SignerNotServed,
            format!("requests to {} are left to others", request.signer.name()),
        ));
    }
    Path::of(request, policy).ok_or_else(|| not_allowed(request))
}

fn not_allowed(request: &Request) -> Finding {
    let username = &request.requestor.username;
    let message = match NodeName::from_username(username) {
        Ok(_) => {
            format!("{username:?} is called like a node but is not in the group {NODES_GROUP:?}")
        }
        Err(_) if request.signer == Signer::KubeletServing => {
            format!("{username:?} is no node; only a node asks for a serving certificate")
        }
        Err(_) => {
            format!("{username:?} is no node and no bootstrapper that the configuration names")
        }
    };
    Finding::new(Reason::RequestorNotAllowed, message)
}

/// Combines the findings of a path: approves only if there are none against the request, one Machine vouches for it, and
/// its key is known; otherwise denies it, if the policy allows, or holds it.
pub(crate) fn combine(
    request: &Request,
    policy: &Policy,
    machine: Option<&Machine>,
    against: Vec<Finding>,
    waits: Vec<Wait>,
    approve: impl FnOnce(&Machine, KeyHash) -> Decision,
) -> Decision {
    let denied = denies(policy, &against);
    let reference = machine.map(|machine| machine.reference.clone());
    let hold = Verdict::Hold(waits);
    let mut against = against.into_iter();
    match (against.next(), machine, request.key()) {
        (None, Some(machine), Some(key)) => approve(machine, key),
        (Some(first), _, _) => {
            let verdict = if denied { Verdict::Deny } else { hold };
            Decision::new(verdict, first, against.collect(), reference)
        }
        // Unreadable content and a missing Machine are findings above; if a check is ever lost, nothing is approved.
        (None, _, _) => {
            let finding = Finding::new(Reason::MachineNotFound, "no Machine vouches for the node");
            Decision::new(hold, finding, Vec::new(), reference)
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "first_certificate_tests.rs"]
mod first_certificate_tests;
#[cfg(test)]
#[path = "rivals_tests.rs"]
mod rivals_tests;
