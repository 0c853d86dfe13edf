//! Writes a decision: one call to the approval sub-resource, guarded by the object's resource version.

use std::time::Duration;

use futures::io;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::core::{Request, Status};
use rollcall_approver_core::{Finding, Settlement};
use tokio::time::timeout;

use crate::convert::{Carried, Target, to_approval, to_condition};
use crate::errors::{Failure, classify, describe};
use crate::object_name::segment;

/// The limit of one write, if this replica leads that long. A call that is queued at the API server waits at most 15 s
/// (Kubernetes: a quarter of `--request-timeout`, `pkg/server/options/feature.go`).
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(20);

/// The direction of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Approved,
    Denied,
}

impl Side {
    /// The type of the condition (Kubernetes: `certificates.k8s.io/v1`, `RequestConditionType`).
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Denied => "Denied",
        }
    }
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) settlement: Settlement,
    /// The error, if an administrator has to know it.
    pub(crate) trouble: Option<String>,
    /// True if the request must be decided again after a while, because no watch event will follow.
    pub(crate) again: bool,
}

impl Outcome {
    /// A write that the API server confirmed.
    pub(crate) fn written() -> Self {
        Self {
            settlement: Settlement::Written,
            trouble: None,
            again: false,
        }
    }

    /// A write without an answer within its limit.
    pub(crate) fn unanswered(limit: Duration) -> Self {
        Self {
            settlement: Settlement::Unknown,
            trouble: Some(format!("no answer for {} s", limit.as_secs())),
            again: true,
        }
    }
}

/// Writes one decision.
pub(crate) async fn write(
    api: Api<CertificateSigningRequest>,
    target: &Target,
    side: Side,
    finding: &Finding,
) -> Outcome {
    let condition = to_condition(side.condition(), finding, Timestamp::now());
    let body = |carried| to_approval(target, carried, condition);
    match timeout(CALL_LIMIT, send(api, target, body)).await {
        Ok(Ok(())) => Outcome::written(),
        Ok(Err(error)) => failed(&error),
        Err(_) => Outcome::unanswered(CALL_LIMIT),
    }
}

/// Changes a request by its approval sub-resource. The answer is the whole object, which may be large, so it is discarded.
pub(crate) async fn send(
    api: Api<CertificateSigningRequest>,
    target: &Target,
    body: impl FnOnce(Carried) -> CertificateSigningRequest,
) -> kube::Result<()> {
    let name = segment(&target.name)?;
    let carried = match target.carried() {
        Some(carried) => carried.clone(),
        None => read_again(&api, target).await?,
    };
    let body = serde_json::to_vec(&body(carried)).map_err(kube::Error::SerdeError)?;
    let request = Request::new(api.resource_url())
        .replace_subresource("approval", &name, &PostParams::default(), body)
        .map_err(kube::Error::BuildRequest)?;
    let answer = api.into_client().request_stream(request).await?;
    // The answer is read to its end so that the connection can be reused. The write is already known to have succeeded.
    io::copy(answer, &mut io::sink()).await.ok();
    Ok(())
}

/// Reads the fields that a write has to send back, with the right to list: the approver has no right to get a single
/// request.
async fn read_again(
    api: &Api<CertificateSigningRequest>,
    target: &Target,
) -> kube::Result<Carried> {
    let params = ListParams::default().fields(&format!("metadata.name={}", escaped(&target.name)));
    let found = api.list(&params).await?.items.into_iter().next();
    let unchanged = found.filter(|found| {
        let ObjectMeta {
            uid,
            resource_version,
            ..
        } = &found.metadata;
        uid.as_ref() == Some(&target.uid)
            && resource_version.as_ref() == Some(&target.resource_version)
    });
    let changed = || Status::failure("the request is no longer as it was", "Conflict");
    unchanged
        .map(|found| Carried::of(found.metadata))
        .ok_or_else(|| kube::Error::Api(Box::new(changed().with_code(409))))
}

/// A value within a field selector (Kubernetes: `apimachinery/pkg/fields`, `EscapeValue`).
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace(',', "\\,")
        .replace('=', "\\=")
}

/// The outcome of a failed call.
pub(crate) fn failed(error: &kube::Error) -> Outcome {
    let undone = |trouble, again| Outcome {
        settlement: Settlement::Undone,
        trouble,
        again,
    };
    match classify(error) {
        // Another client changed or removed it: the watch brings, or brought, its current state.
        Failure::Conflict => undone(None, true),
        Failure::NotFound => undone(None, false),
        Failure::Forbidden | Failure::Later => undone(Some(describe(error)), true),
        Failure::Refused | Failure::Unsendable => Outcome {
            settlement: Settlement::Refused,
            trouble: Some(describe(error)),
            // A call that cannot be sent will never succeed; an admission policy may accept later what it refuses now.
            again: classify(error) == Failure::Refused,
        },
        Failure::Unknown => Outcome {
            settlement: Settlement::Unknown,
            trouble: Some(describe(error)),
            again: true,
        },
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
