//! Annotates a request with the reason of its hold: its machine can read that, and may not read Events.

use std::sync::Arc;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, Client};
use tokio::time::timeout;
use tracing::debug;

use super::CALL_LIMIT;
use crate::convert::{Hold, Target, to_annotated};
use crate::errors::{Failure, classify, describe};
use crate::write::send;

/// The annotations of one request: the reason of its hold, or none any more.
#[derive(Debug)]
pub(crate) struct Annotation {
    /// The request as last seen: if it has changed since, nothing is written.
    pub(crate) target: Arc<Target>,
    pub(crate) hold: Option<Hold>,
}

/// Writes one through the approval sub-resource: it accepts metadata as sent, so the approver needs no additional right.
/// Returns the error, if an administrator has to know it.
pub(super) async fn annotate(client: Client, annotation: &Annotation) -> Option<String> {
    let Annotation { target, hold } = annotation;
    let api: Api<CertificateSigningRequest> = Api::all(client);
    let body = |carried| to_annotated(target, carried, hold.as_ref());
    let error = match timeout(CALL_LIMIT, send(api, target, body)).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error,
        Err(_) => return Some(format!("no answer for {} s", CALL_LIMIT.as_secs())),
    };
    match classify(&error) {
        // The request was decided, changed or removed meanwhile.
        Failure::Conflict | Failure::NotFound => {
            debug!(request = target.name, "the request is no longer as it was");
            None
        }
        Failure::Forbidden
        | Failure::Later
        | Failure::Refused
        | Failure::Unknown
        | Failure::Unsendable => Some(describe(&error)),
    }
}
