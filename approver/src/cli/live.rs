//! The cluster to a scene: everything that decisions rest on, listed once, as the approver would see it.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, ObjectList};
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{Change, Cluster, Feed};
use tokio::time::timeout;

use super::print::complain;
use super::scene::{Entry, Scene};
use crate::ClusterArgs;
use crate::claims_record::ClaimsRecord;
use crate::config::Config;
use crate::connect::Connection;
use crate::engine::Input;
use crate::errors::describe;
use crate::feed::Watched;
use crate::feeds::{Nodes, OpenShiftMachines};

/// How long one call may take.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Objects per page of a list: the page size of client-go (`tools/pager`).
const PAGE: u32 = 500;
/// The code of a list whose next page is no longer known (Kubernetes: API concepts, retrieving large results sets in
/// chunks).
const GONE: u16 = 410;
/// How often a list is begun again before it is given up.
const ATTEMPTS: usize = 3;

/// A cluster, looked at once.
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) scene: Scene,
}

/// Reads everything. Without a source of facts, requests are judged as the approver would judge them without it.
///
/// # Errors
/// If there is no connection, or the requests cannot be read.
pub(super) async fn open(args: &ClusterArgs, config: Config) -> anyhow::Result<Live> {
    let client = Connection::open(args.kubeconfig.as_deref()).await?.client;
    let management = match args.management_kubeconfig.as_deref() {
        Some(path) => Connection::open(Some(path)).await?.client,
        None => client.clone(),
    };
    let now = Timestamp::now();
    let entries = requests(&client).await?;
    let mut feeds = vec![Feed::Claims, Feed::Nodes];
    let machines: Vec<OpenShiftMachines> = config
        .openshift_namespaces
        .iter()
        .map(|namespace| OpenShiftMachines {
            namespace: namespace.clone(),
        })
        .collect();
    feeds.extend(machines.iter().map(Watched::feed));
    let mut scene = Scene::new(Cluster::new(config.policy, feeds));
    facts(&mut scene, &Nodes, Api::all(client.clone()), now).await;
    for source in &machines {
        let api = Api::namespaced(management.clone(), &source.namespace);
        facts(&mut scene, source, api, now).await;
    }
    claims(&mut scene, &client, &args.namespace, now).await;
    for entry in entries {
        scene.add(entry, now);
    }
    Ok(Live { client, scene })
}

/// All requests. One that cannot be read is told and left out.
async fn requests(client: &Client) -> anyhow::Result<Vec<Entry>> {
    let api: Api<DeserializeGuard<CertificateSigningRequest>> = Api::all(client.clone());
    let objects = pages(|params| {
        let api = api.clone();
        async move { api.list(&params).await }
    })
    .await
    .context("the requests (certificatesigningrequests) cannot be listed")?;
    let read = objects.into_iter().filter_map(|object| {
        let name = object.name_any();
        let entry = object
            .0
            .map_err(|error| error.to_string())
            .and_then(|object| Entry::read(object).map_err(|error| error.to_string()));
        entry
            .map_err(|error| complain("error", &format!("request {name} cannot be read: {error}")))
            .ok()
    });
    Ok(read.collect())
}

/// Takes in all objects that one feed of the approver would bring.
async fn facts<W: Watched>(scene: &mut Scene, watched: &W, api: Api<W::Resource>, now: Timestamp) {
    let listed = pages(|params| {
        let api = api.clone();
        async move { W::list(&api, &params).await }
    })
    .await;
    match listed {
        Ok(objects) => {
            let mut memory = W::Memory::default();
            for object in objects {
                if let Some((_, Input::Change(change))) = watched.put(&mut memory, object) {
                    scene.cluster.apply(change, now);
                }
            }
            scene.cluster.apply(Change::Synced(watched.feed()), now);
        }
        Err(error) => complain(
            "warning",
            &format!("{} cannot be listed: {error}", watched.feed()),
        ),
    }
}

/// Takes in the record of claims. A person may have no right to read it, and most requests are judged right without.
async fn claims(scene: &mut Scene, client: &Client, namespace: &str, now: Timestamp) {
    match timeout(
        CALL_LIMIT,
        ClaimsRecord::new(client.clone(), namespace).load(),
    )
    .await
    {
        Ok(Ok(claims)) => {
            for claim in claims {
                scene.cluster.apply(Change::Claimed(claim), now);
            }
        }
        Ok(Err(error)) => complain(
            "warning",
            &format!(
                "the record of claims in namespace {namespace} cannot be read, so that certificates issued more than an \
                 hour ago are not seen: {}",
                describe(&error)
            ),
        ),
        Err(_) => complain("warning", "the record of claims could not be read in time"),
    }
    scene.cluster.apply(Change::Synced(Feed::Claims), now);
}

/// Lists page by page; when a page is no longer known, from the beginning.
async fn pages<T, F>(mut list: impl FnMut(ListParams) -> F) -> anyhow::Result<Vec<T>>
where
    T: Clone,
    F: Future<Output = kube::Result<ObjectList<T>>>,
{
    for _ in 0..ATTEMPTS {
        let mut objects = Vec::new();
        let mut next = ListParams::default().limit(PAGE);
        loop {
            let page = match timeout(CALL_LIMIT, list(next.clone())).await {
                Ok(Ok(page)) => page,
                Ok(Err(kube::Error::Api(status)))
                    if status.code == GONE && next.continue_token.is_some() =>
                {
                    break;
                }
                Ok(Err(error)) => return Err(anyhow!(describe(&error))),
                Err(_) => return Err(anyhow!("no answer for {} s", CALL_LIMIT.as_secs())),
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
