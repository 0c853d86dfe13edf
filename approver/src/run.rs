//! `run`: connects, starts every task, and stops them in order.

use anyhow::Context as _;
use kube::{Api, Client};
use rollcall_approver_core::{Claim, Cluster, Dial, Feed, Scope};
use rollcall_csr::Signer;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::announce::Announcer;
use crate::claims_record::ClaimsRecord;
use crate::connect::{Connection, identity};
use crate::dial::Dialer;
use crate::engine::{Engine, Input, Outside};
use crate::feed::{self, Watched};
use crate::feeds::{Nodes, Requests};
use crate::kubelets::Kubelets;
use crate::lease::Candidate;
use crate::metrics::Metrics;
use crate::tasks::Tasks;
use crate::{Mode, Settings, dial, kubelet_ca, leadership, rights, serve, sources, tasks};

/// How much news may wait for the engine before the watches are slowed down.
const NEWS: usize = 4096;

/// Runs the controller until a signal.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(tasks::on_worker(start(settings)))
}

async fn start(mut settings: Settings) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), mode = ?settings.mode, "rollcall-approver");
    let (client, namespace, management) = connect(&mut settings).await?;
    let namespace = settings.namespace.unwrap_or(namespace);
    let elects = settings.leader_elect && settings.mode != Mode::Audit;
    let identity = identity();
    let candidate = elects.then(|| Candidate::new(client.clone(), &namespace, identity.clone()));

    let metrics = Metrics::new();
    let mut tasks = Tasks::default();
    let ready = serve::start(&mut tasks, settings.metrics_addr, metrics.clone()).await?;
    let (news, inbox) = mpsc::channel(NEWS);
    let feeds = watch_all(&mut tasks, &client, &management, &settings.machines, &news);
    let kubelets = settings.kubelets;
    let dials = look_at_kubelets(&mut tasks, &client, &kubelets, &news)?;
    let (announcer, publishing) =
        Announcer::new(client.clone(), management.clone(), metrics.clone());
    announcer.set_silent(settings.mode == Mode::Audit);
    tasks.forever("events", publishing);
    let leadership = leadership::start(
        &mut tasks,
        &client,
        &namespace,
        candidate,
        news,
        metrics.clone(),
    );
    let record = record_claims(&mut tasks, &client, &namespace);
    tasks.once(
        "rights",
        rights::check(
            client.clone(),
            namespace.clone(),
            management,
            settings.machines,
            kubelets.ca.clone(),
        ),
    );

    let outside = Outside {
        requests: Api::all(client.clone()),
        announcer,
        metrics,
        leadership,
        ready,
        record,
        dials,
    };
    let stop = CancellationToken::new();
    let cluster = Cluster::new(settings.policy, feeds).with_kubelet_ca(kubelets.sources());
    let engine = Engine::new(settings.mode, cluster, outside);
    let engine = Box::pin(engine.run(inbox, stop.clone()));
    let outcome = tasks.supervise(engine, stop).await;
    if elects {
        Candidate::release(client, &namespace, &identity).await;
    }
    outcome
}

/// The cluster that nodes join, with the namespace of the credentials, and the one that keeps the Machine records. No
/// node may serve under what the API servers turn out to be reached by.
async fn connect(settings: &mut Settings) -> anyhow::Result<(Client, String, Client)> {
    let Connection {
        client,
        namespace,
        api_servers,
    } = Connection::open(settings.kubeconfig.as_deref()).await?;
    settings.policy.serving.api_servers.extend(api_servers);
    let management = match settings.management_kubeconfig.as_deref() {
        Some(path) => Connection::open(Some(path)).await?.client,
        None => client.clone(),
    };
    Ok((client, namespace, management))
}

/// Starts what keeps the record of claims. Returns where to hand in claims.
fn record_claims(tasks: &mut Tasks, client: &Client, namespace: &str) -> watch::Sender<Vec<Claim>> {
    let (record, to_record) = watch::channel(Vec::new());
    let claims = ClaimsRecord::new(client.clone(), namespace);
    let recording = leadership::record_claims(claims, to_record);
    tasks.forever("claims record", recording);
    record
}

/// Starts what nodes are dialled by, and the feeds of what that is verified by. Returns where to ask for a dial.
fn look_at_kubelets(
    tasks: &mut Tasks,
    client: &Client,
    kubelets: &Kubelets,
    news: &mpsc::Sender<Input>,
) -> anyhow::Result<mpsc::UnboundedSender<Dial>> {
    kubelet_ca::watch_all(tasks, client, &kubelets.ca, news);
    let (dials, wanted) = mpsc::unbounded_channel();
    let dialer = Dialer::new(kubelets.port)?;
    tasks.add("dials", dial::run(dialer, wanted, news.clone()));
    Ok(dials)
}

/// Starts a feed for everything that decisions rest on. Returns their names.
fn watch_all(
    tasks: &mut Tasks,
    client: &Client,
    management: &Client,
    machines: &[Scope],
    news: &mpsc::Sender<Input>,
) -> Vec<Feed> {
    let mut feeds = vec![Feed::Claims, Nodes.feed()];
    tasks.forever("nodes", feed::run(Nodes, client.clone(), news.clone()));
    for signer in Signer::ALL {
        let watched = Requests(signer);
        feeds.push(watched.feed());
        tasks.forever("requests", feed::run(watched, client.clone(), news.clone()));
    }
    for scope in machines {
        feeds.push(Feed::Machines(scope.clone()));
        if let Some(source) = sources::of(scope.source) {
            let follow = (source.follow)(management.clone(), scope.clone(), news.clone());
            tasks.forever("machines", follow);
        }
    }
    feeds
}
