//! Lists in pages that are limited in bytes, not only in objects: objects of a megabyte each must not exhaust the memory.

use std::fmt::Debug;
use std::pin::pin;

use futures::AsyncReadExt as _;
use kube::api::ListParams;
use kube::core::{self, ObjectList};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// The most bytes of a page of more than one object. An object is at most about 1.5 MiB in etcd (`--max-request-bytes`), and
/// a few times that as JSON.
const MOST: usize = 4 * 1024 * 1024;
/// The factor by which the number of requested objects falls when a page is larger than that.
const FEWER: u32 = 8;

/// The pages of one list.
pub(crate) struct Pages<'a, K> {
    client: &'a Client,
    api: &'a Api<K>,
    params: ListParams,
    limit: u32,
    most: u32,
}

impl<'a, K: Resource + Clone + DeserializeOwned + Debug> Pages<'a, K> {
    /// The pages of a list: the first with this many objects, and no page with more than `most`.
    pub(crate) fn new(
        client: &'a Client,
        api: &'a Api<K>,
        params: ListParams,
        (first, most): (u32, u32),
    ) -> Self {
        Self {
            client,
            api,
            params,
            limit: first,
            most,
        }
    }

    /// Reads the page of this continue token, or the first one.
    ///
    /// # Errors
    /// If the call fails, or its answer is not such a list.
    pub(crate) async fn read(&mut self, from: Option<String>) -> kube::Result<ObjectList<K>> {
        self.params.continue_token = from;
        loop {
            self.params.limit = Some(self.limit);
            let request = core::Request::new(self.api.resource_url()).list(&self.params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            let answer = self.client.request_stream(request).await?;
            let most = if self.limit > 1 { MOST } else { usize::MAX };
            let mut bytes = Vec::new();
            let end = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
            let mut answer = pin!(answer.take(end));
            answer
                .read_to_end(&mut bytes)
                .await
                .map_err(kube::Error::ReadEvents)?;
            if bytes.len() > most {
                self.limit = self.limit.div_euclid(FEWER).max(1);
                continue;
            }
            if bytes.len() <= MOST.div_euclid(2) {
                self.limit = self.limit.saturating_mul(2).min(self.most);
            }
            return serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::server;

    const PATH: &str = "/api/v1/configmaps";

    /// A page with this many objects of this many bytes each.
    fn page(objects: u32, bytes: usize, more: bool) -> Value {
        let object = |number| {
            json!({
                "metadata": {"name": format!("c-{number}")}, "data": {"a": "x".repeat(bytes)},
            })
        };
        let items: Vec<Value> = (0..objects).map(object).collect();
        json!({
            "kind": "ConfigMapList", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": "1", "continue": if more { "more" } else { "" }},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_too_large_is_read_again_in_smaller_ones() {
        const LARGE: usize = 1 << 20;
        let (client, mut server) = server();
        let reading = tokio::spawn(async move {
            let api: Api<ConfigMap> = Api::all(client.clone());
            let mut pages = Pages::new(&client, &api, ListParams::default(), (64, 128));
            let first = pages.read(None).await.unwrap();
            let token = first.metadata.continue_;
            let second = pages.read(token).await.unwrap();
            (
                first.items.len(),
                second.items.len(),
                second.items[0].name_any(),
            )
        });
        for (limit, objects, bytes) in [("64", 64, LARGE), ("8", 8, LARGE), ("1", 1, 5 * LARGE)] {
            let call = server.expect("GET", PATH).await;
            assert!(
                call.query.contains(&format!("limit={limit}")),
                "{}",
                call.query
            );
            assert!(!call.query.contains("continue"), "{}", call.query);
            call.answer(&page(objects, bytes, true));
        }
        let call = server.expect("GET", PATH).await;
        assert!(call.query.contains("limit=1&"), "{}", call.query);
        assert!(call.query.contains("continue=more"), "{}", call.query);
        call.answer(&page(1, 1, false));
        assert_eq!(reading.await.unwrap(), (1, 1, "c-0".to_owned()));
        server.expect_none(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn pages_grow_while_they_are_small() {
        let (client, mut server) = server();
        let reading = tokio::spawn(async move {
            let api: Api<ConfigMap> = Api::all(client.clone());
            let mut pages = Pages::new(&client, &api, ListParams::default(), (32, 100));
            for _ in 0..4 {
                pages.read(None).await.unwrap();
            }
            pages.read(None).await.unwrap_err()
        });
        for limit in ["limit=32", "limit=64", "limit=100", "limit=100"] {
            let call = server.expect("GET", PATH).await;
            assert!(call.query.contains(limit), "{}", call.query);
            call.answer(&page(1, 1, false));
        }
        server.expect("GET", PATH).await.fail(410, "too old");
        let error = reading.await.unwrap();
        assert!(matches!(error, kube::Error::Api(status) if status.code == 410));
    }
}
