//! Waits for objects by watching them, with a deadline and an error that includes the last state.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An object that can be watched.
pub trait Object: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static {}

impl<K: Resource + Clone + Debug + DeserializeOwned + Serialize + Send + 'static> Object for K {}

/// Waits until `condition` holds for the object called `name` (`None` while it does not exist), and returns it in that
/// state. `what` completes the sentence "waited 5s for ...".
///
/// # Errors
/// If the time is over; the error includes the last state.
pub async fn until<K: Object>(
    api: &Api<K>,
    name: &str,
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<K>> {
    let mut last = None;
    let mut trouble = None;
    let watch = async {
        let mut stream = std::pin::pin!(watcher::watch_object(api.clone(), name).default_backoff());
        while let Some(seen) = stream.next().await {
            match seen {
                Ok(object) => {
                    if condition(object.as_ref()) {
                        return Ok(object);
                    }
                    last = object;
                }
                Err(error) => trouble = Some(error),
            }
        }
        Err(anyhow!("the watch of {name} ended"))
    };
    match tokio::time::timeout(timeout, watch).await {
        Ok(result) => result,
        Err(_elapsed) => Err(overdue(
            &format!("{what} of {name}"),
            timeout,
            last.as_ref(),
            trouble.as_ref(),
        )),
    }
}

/// Waits until the object called `name` exists and `condition` holds for it.
///
/// # Errors
/// As [`until`].
pub async fn object<K: Object>(
    api: &Api<K>,
    name: &str,
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut(&K) -> bool,
) -> Result<K> {
    let found = until(api, name, what, timeout, |object| {
        object.is_some_and(&mut condition)
    })
    .await?;
    found.with_context(|| format!("{name} is gone"))
}

/// Waits until `condition` holds for any of the objects that `config` selects, and returns that object.
///
/// # Errors
/// As [`until`].
pub async fn any<K: Object>(
    api: &Api<K>,
    config: watcher::Config,
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut(&K) -> bool,
) -> Result<K> {
    let mut last = None;
    let mut trouble = None;
    let watch = async {
        let mut stream = std::pin::pin!(
            watcher(api.clone(), config)
                .default_backoff()
                .applied_objects()
        );
        while let Some(seen) = stream.next().await {
            match seen {
                Ok(object) if condition(&object) => return Ok(object),
                Ok(object) => last = Some(object),
                Err(error) => trouble = Some(error),
            }
        }
        Err(anyhow!("the watch for {what} ended"))
    };
    match tokio::time::timeout(timeout, watch).await {
        Ok(result) => result,
        Err(_elapsed) => Err(overdue(what, timeout, last.as_ref(), trouble.as_ref())),
    }
}

/// Polls, if there is nothing to watch (a process, a file, a URL), until `check` returns a value.
///
/// # Errors
/// If the time is over; the error includes the last reason from `check`.
pub async fn poll<T, F>(what: &str, timeout: Duration, mut check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    /// Too short for users to notice, long compared with a local request.
    const INTERVAL: Duration = Duration::from_millis(20);
    let mut reason = None;
    let attempts = async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(error) => reason = Some(error),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(timeout, attempts).await {
        Ok(value) => Ok(value),
        Err(_elapsed) => Err(match reason {
            Some(error) => error.context(format!("waited {timeout:?} for {what}")),
            None => anyhow!("waited {timeout:?} for {what}, and not one attempt came to an end"),
        }),
    }
}

fn overdue<K: Serialize>(
    what: &str,
    timeout: Duration,
    last: Option<&K>,
    trouble: Option<&watcher::Error>,
) -> anyhow::Error {
    let seen = last.map_or_else(
        || "nothing was seen".to_owned(),
        |object| {
            let text = serde_json::to_string(object).unwrap_or_else(|error| error.to_string());
            format!("last seen: {text}")
        },
    );
    let trouble = trouble
        .map(|error| format!("; last error of the watch: {error}"))
        .unwrap_or_default();
    anyhow!("waited {timeout:?} for {what}; {seen}{trouble}")
}
