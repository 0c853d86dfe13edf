//! Calls to the API server that end in any case, and sentences for those that fail.

use anyhow::anyhow;
use tokio::time::timeout;

use crate::errors::describe;
use crate::listing::CALL_LIMIT;

/// Waits for the answer to one call, and not for ever.
pub(super) async fn limited<T>(
    work: impl Future<Output = kube::Result<T>>,
) -> anyhow::Result<kube::Result<T>> {
    timeout(CALL_LIMIT, work).await.map_err(|_| {
        anyhow!(
            "no answer from the API server for {} s",
            CALL_LIMIT.as_secs()
        )
    })
}

/// Why a call failed. What is forbidden here is forbidden to a person, whose rights are in no role of ours.
pub(super) fn explain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error
        && status.is_forbidden()
    {
        return format!("you have no right to do that: {}", status.message);
    }
    describe(error)
}

/// As [`explain`], for errors that end the command.
pub(super) fn failed(what: &str, error: &kube::Error) -> anyhow::Error {
    anyhow!(explain(error)).context(format!("cannot {what}"))
}
