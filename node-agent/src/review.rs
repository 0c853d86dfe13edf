//! Asks the API server to identify a certificate of an unknown CA.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use rollcall_csr::{NODES_GROUP, NodeName};
use tokio::time::Instant;

use crate::backoff;
use crate::console::{Console, Topic};
use crate::error::AgentError;
use crate::fault::{Fault, Place};
use crate::follow::jitter;
use crate::requests::limited;
use crate::words;

/// The time for which the API server may refuse a new identity: it reloads its client CA file once a minute (Kubernetes
/// `pkg/server/dynamiccertificates`, `FileRefreshDuration`).
const PATIENCE: Duration = Duration::from_mins(2);

/// Asks, with the new certificate, for its user: it must be this node in the group of nodes.
///
/// # Errors
/// If the API server identifies another user, or refuses the certificate for longer than two minutes.
pub async fn review(
    client: Client,
    console: &Console,
    node: &NodeName,
    place: &Place,
) -> Result<(), AgentError> {
    let api: Api<SelfSubjectReview> = Api::all(client);
    let start = Instant::now();
    console.wait_for(&format!(
        "{} to recognise the new certificate",
        place.server
    ));
    let mut told = "";
    let mut tries = 0_u32;
    loop {
        let fault = match limited(api.create(&PostParams::default(), &SelfSubjectReview::default()))
            .await
        {
            Ok(review) => return check(review, node),
            Err(failure) => failure.into_fault(),
        };
        let lasted = start.elapsed();
        if hopeless(&fault, lasted) {
            return Err(AgentError::NotRecognised {
                what: fault.describe(place),
                lasted,
            });
        }
        let pause = backoff::pause(tries, jitter());
        tries = tries.saturating_add(1);
        if told != fault.as_str() {
            told = fault.as_str();
            let message = format!(
                "{}; next try in {}",
                fault.describe(place),
                words::span(pause)
            );
            console.warn(Topic::Certificate, &message);
        }
        tokio::time::sleep(pause).await;
    }
}

fn hopeless(fault: &Fault, lasted: Duration) -> bool {
    match fault {
        Fault::Invalid { .. } => true,
        Fault::Forbidden { .. } | Fault::Unauthorized | Fault::TlsFailed { .. } => {
            lasted >= PATIENCE
        }
        Fault::NotAnApiServer { .. }
        | Fault::ServerCertificateExpired { .. }
        | Fault::ServerCertificateNotYetValid { .. }
        | Fault::ServerError { .. }
        | Fault::Throttled { .. }
        | Fault::Unreachable { .. }
        | Fault::UntrustedServer
        | Fault::WrongServerName => false,
    }
}

fn check(review: SelfSubjectReview, node: &NodeName) -> Result<(), AgentError> {
    let user = review
        .status
        .and_then(|status| status.user_info)
        .unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let groups = user.groups.unwrap_or_default();
    if name == node.username() && groups.iter().any(|group| group == NODES_GROUP) {
        return Ok(());
    }
    Err(AgentError::AnotherIdentity {
        user: name,
        groups: groups.join(", "),
        expected: node.username(),
    })
}
