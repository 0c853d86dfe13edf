//! Lists: all objects of one kind, once, page by page.

use std::time::Duration;

use anyhow::anyhow;
use kube::Client;
use kube::api::ListParams;
use kube::core::ObjectList;
use rollcall_approver_core::Change;
use tokio::time::timeout;

use crate::engine::Input;
use crate::errors::describe;
use crate::feed::Watched;

/// The limit of one call.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The status code if the next page of a list has expired (Kubernetes: API concepts, retrieving large results sets in
/// chunks).
const GONE: u16 = 410;
/// The number of attempts to list before the list fails.
const ATTEMPTS: usize = 3;

/// Returns everything that a feed would send after its first list.
///
/// # Errors
/// If the list cannot be read.
pub(crate) async fn everything<W: Watched>(
    watched: &W,
    client: &Client,
) -> anyhow::Result<Vec<Change>> {
    let api = timeout(CALL_LIMIT, watched.locate(client))
        .await
        .map_err(|_| late())?
        .map_err(|error| anyhow!(describe(&error)))?;
    let (fields, labels) = (watched.fields(), watched.labels());
    let objects = pages(W::PAGE, |mut params| {
        let api = api.clone();
        params.field_selector.clone_from(&fields);
        params.label_selector.clone_from(&labels);
        async move { api.list(&params).await }
    })
    .await?;
    let mut memory = W::Memory::default();
    let changes = objects
        .into_iter()
        .filter_map(|object| match watched.put(&mut memory, object) {
            Some((_, Input::Change(change))) => Some(change),
            Some((_, Input::Complete(_, _) | Input::Config(_) | Input::Request(_))) | None => None,
        });
    Ok(changes.chain([Change::Synced(watched.feed())]).collect())
}

/// Lists page by page, with this many objects in each; starts again from the beginning when a page has expired.
pub(crate) async fn pages<T, F>(
    page_size: u32,
    mut list: impl FnMut(ListParams) -> F,
) -> anyhow::Result<Vec<T>>
where
    T: Clone,
    F: Future<Output = kube::Result<ObjectList<T>>>,
{
    for _ in 0..ATTEMPTS {
        let mut objects = Vec::new();
        let mut next = ListParams::default().limit(page_size);
        loop {
            let page = match timeout(CALL_LIMIT, list(next.clone())).await {
                Ok(Ok(page)) => page,
                Ok(Err(kube::Error::Api(status)))
                    if status.code == GONE && next.continue_token.is_some() =>
                {
                    break;
                }
                Ok(Err(error)) => return Err(anyhow!(describe(&error))),
                Err(_) => return Err(late()),
            };
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => next = next.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }
    Err(anyhow!(
        "the list changed faster than it could be read, {ATTEMPTS} times"
    ))
}

fn late() -> anyhow::Error {
    anyhow!("no answer for {} s", CALL_LIMIT.as_secs())
}
