//! The cluster to a scene: everything that decisions rest on, listed once, as the approver would see it.

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{Change, Cluster, Feed, Scope, Source};
use tokio::time::timeout;

use super::kubelets;
use super::print::complain;
use super::scene::{Entry, Scene};
use crate::LookArgs;
use crate::claims_record::ClaimsRecord;
use crate::config::Config;
use crate::connect::Connection;
use crate::errors::describe;
use crate::feed::PAGE;
use crate::feeds::Nodes;
use crate::listing::{self, CALL_LIMIT, pages};
use crate::reload;
use crate::sources;
use crate::sources::cluster_addresses;
use crate::sources::instances::{self, Cloud};

/// The namespace that `deploy/` puts the approver in.
const NAMESPACE: &str = "rollcall";

/// A cluster, looked at once.
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) scene: Scene,
}

/// Reads everything. Without a source of facts, requests are judged as the approver would judge them without it.
///
/// # Errors
/// If there is no connection, or the requests cannot be read.
pub(super) async fn open(args: &LookArgs, mut config: Config) -> anyhow::Result<Live> {
    let connection = Connection::open(args.cluster.kubeconfig.as_deref()).await?;
    connection.cluster.add_to(&mut config.policy);
    let client = connection.client;
    let management = match args.cluster.management_kubeconfig.as_deref() {
        Some(path) => Connection::open(Some(path)).await?.client,
        None => client.clone(),
    };
    let now = Timestamp::now();
    let entries = requests(&client).await?;
    let machines = config.machines;
    let replaces_leftovers = config.policy.replace_leftover_nodes;
    let tokens = config.policy.bootstrap_tokens.clone();
    let named = reload::facts(&machines, &config.policy);
    let feeds = [Feed::Claims, Feed::Nodes].into_iter().chain(named);
    let cluster = Cluster::new(config.policy, feeds);
    let cluster = cluster.with_kubelet_ca(config.kubelets.sources());
    let mut scene = Scene::new(cluster.with_node_leases());
    let nodes = listing::everything(&Nodes { conditions: true }, &client).await;
    facts(&mut scene, &Feed::Nodes, nodes, now);
    for change in cluster_addresses::list(&client, None).await {
        scene.cluster.apply(change, now);
    }
    for scope in machines {
        if scope.source == Source::ClusterApi {
            for change in cluster_addresses::list(&management, Some(&scope)).await {
                scene.cluster.apply(change, now);
            }
        }
        read_machines(&mut scene, &management, scope, now).await;
    }
    for scope in tokens {
        if let Some(tokens) = sources::of(scope.source).and_then(|source| source.tokens.as_ref()) {
            let listed = (tokens.list)(management.clone(), scope.clone()).await;
            facts(&mut scene, &Feed::KubeadmConfigs(scope), listed, now);
        }
    }
    let namespace = args.cluster.namespace.as_deref().unwrap_or(NAMESPACE);
    claims(&mut scene, &client, namespace, now).await;
    for entry in entries {
        scene.add(entry, now);
    }
    kubelets::read_ca(&mut scene, &client, &config.kubelets.ca).await;
    kubelets::ask(&mut scene, &config.kubelets, args.dial).await?;
    // Nothing else waits for the Lease of a Node.
    if replaces_leftovers {
        kubelets::ask_for_leases(&mut scene, &client).await;
    }
    Ok(Live { client, scene })
}

/// Takes in the Machines of a scope, with what their instances and MachineHealthChecks say.
async fn read_machines(scene: &mut Scene, management: &Client, scope: Scope, now: Timestamp) {
    let Some(source) = sources::of(scope.source) else {
        return;
    };
    let listed = match (source.list)(management.clone(), scope.clone()).await {
        Ok(changes) => Ok(with_instances(&scope, changes).await),
        Err(error) => Err(error),
    };
    facts(scene, &Feed::Machines(scope.clone()), listed, now);
    if let Some(checks) = &source.health_checks {
        // Where there are none, or a person may not read them, nothing is said of them.
        let listed = (checks.list)(management.clone(), scope).await;
        for change in listed.unwrap_or_default() {
            scene.cluster.apply(change, now);
        }
    }
}

/// All requests. One that cannot be read is told and left out.
async fn requests(client: &Client) -> anyhow::Result<Vec<Entry>> {
    let api: Api<DeserializeGuard<CertificateSigningRequest>> = Api::all(client.clone());
    let objects = pages(PAGE, |params| {
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

/// Adds what the cloud says of the instances, where it is to be asked. A person may have no credentials for that.
pub(super) async fn with_instances(scope: &Scope, mut changes: Vec<Change>) -> Vec<Change> {
    if let Some(look_up) = scope.look_up.clone() {
        let cloud = Cloud::of_process(look_up);
        match instances::complete(scope, &cloud, &changes).await {
            Ok(more) => changes.extend(more),
            Err(error) => complain(
                "warning",
                &format!(
                    "instances ({scope}) cannot be looked up from here, so that their Machines have no names that only EC2 \
                     knows: {error}"
                ),
            ),
        }
    }
    changes
}

/// Takes in all that one feed of the approver would tell.
fn facts(scene: &mut Scene, feed: &Feed, listed: anyhow::Result<Vec<Change>>, now: Timestamp) {
    match listed {
        Ok(changes) => {
            for change in changes {
                scene.cluster.apply(change, now);
            }
        }
        Err(error) => complain("warning", &format!("{feed} cannot be listed: {error}")),
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
