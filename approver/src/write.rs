//! Writes a decision: one call to the approval sub-resource, guarded by the object's resource version.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::PostParams;
use rollcall_approver_core::{Finding, Settlement};
use tokio::time::timeout;

use crate::convert::{Target, to_approval};
use crate::errors::{Failure, classify, describe};
use crate::object_name::segment;

/// How long one write may take: the API server's own limit for a call is 60 s (`--request-timeout`).
const CALL_LIMIT: Duration = Duration::from_secs(70);

/// Which way a request is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Approved,
    Denied,
}

impl Side {
    /// The type of the condition (Kubernetes: `certificates.k8s.io/v1`, `RequestConditionType`).
    fn condition(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Denied => "Denied",
        }
    }
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) settlement: Settlement,
    /// What went wrong, where a person has to know.
    pub(crate) trouble: Option<String>,
    /// Whether to judge the request again after a while, since no watch will bring news of it.
    pub(crate) again: bool,
}

/// Writes one decision.
pub(crate) async fn write(
    api: Api<CertificateSigningRequest>,
    target: &Target,
    side: Side,
    finding: Finding,
) -> Outcome {
    let body = to_approval(target, side.condition(), &finding, Timestamp::now());
    let params = PostParams::default();
    let call = async {
        let name = segment(&target.name)?;
        api.replace_subresource("approval", &name, &params, &body)
            .await
    };
    match timeout(CALL_LIMIT, call).await {
        Ok(Ok(_)) => Outcome {
            settlement: Settlement::Written,
            trouble: None,
            again: false,
        },
        Ok(Err(error)) => failed(&error),
        Err(_) => {
            let trouble = Some(format!("no answer for {} s", CALL_LIMIT.as_secs()));
            Outcome {
                settlement: Settlement::Unknown,
                trouble,
                again: true,
            }
        }
    }
}

fn failed(error: &kube::Error) -> Outcome {
    let undone = |trouble, again| Outcome {
        settlement: Settlement::Undone,
        trouble,
        again,
    };
    match classify(error) {
        // Somebody else changed or removed it: the watch brings, or brought, what it is now.
        Failure::Conflict => undone(None, true),
        Failure::NotFound => undone(None, false),
        Failure::Forbidden | Failure::Later => undone(Some(describe(error)), true),
        Failure::Refused | Failure::Unsendable => Outcome {
            settlement: Settlement::Refused,
            trouble: Some(describe(error)),
            // What cannot be sent now never can; what an admission policy refuses now it may take later.
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
