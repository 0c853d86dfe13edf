//! A time limit for calls to the API server: the client itself waits for an answer for a long time.

use std::time::Duration;

use tokio::time::timeout;

/// A call that was not answered within its limit.
#[derive(Debug, thiserror::Error)]
#[error("no answer for {} s", .0.as_secs())]
struct UnansweredError(Duration);

/// Makes one call, or several that belong together. Without an answer in time, the result of the call is unknown.
pub(crate) async fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> kube::Result<T> {
    match timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(kube::Error::Service(UnansweredError(limit).into())),
    }
}
