//! `run`: connects, starts every task, and stops them in order.

use anyhow::Context as _;
use jiff::Timestamp;
use kube::{Api, Client};
use rollcall_approver_core::{Claim, Cluster, Dial, Feed};
use rollcall_csr::{NodeName, Signer};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::announce::Announcer;
use crate::audit::Audit;
use crate::claims_record::ClaimsRecord;
use crate::config::{Config, without_effect};
use crate::connect::{Connection, identity};
use crate::dial::Dialer;
use crate::engine::{Engine, Input, Outside};
use crate::feed::{self, Watched};
use crate::feeds::{Nodes, Requests};
use crate::health::Health;
use crate::joins::Joins;
use crate::kubelets::Kubelets;
use crate::leadership::Turn;
use crate::lease::{Candidate, Leadership};
use crate::machine_feeds::MachineFeeds;
use crate::metrics::Metrics;
use crate::mirror::JoinWindows;
use crate::reload::{Fixed, Reload};
use crate::serve::Addresses;
use crate::sources::cluster_addresses;
use crate::tasks::Tasks;
use crate::{
    Mode, Settings, dial, joins, kubelet_ca, leadership, mirror, new_start, node_lease, others,
    rights, serve, tasks,
};

/// The number of inputs that may wait for the engine before the watches are slowed down.
const NEWS: usize = 4096;

/// Runs the controller until a signal.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    without_effect::tell(settings.remarks());
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(tasks::on_worker(start(settings)))
}

#[expect(
    clippy::too_many_lines,
    reason = "one line for each part, in the order in which they start"
)]
async fn start(settings: Settings) -> anyhow::Result<()> {
    let health = Health::new();
    let clients = Clients::connect(&settings, &health).await?;
    let in_force = clients.fixed.with(&settings.config);
    let mode = in_force.mode;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        ?mode,
        "rollcall-approver"
    );
    let candidate = clients.candidate(settings.leader_elect);
    let (audit, metrics) = (Audit::default(), Metrics::new());
    metrics.config_taken_over(Timestamp::now());
    let mut tasks = Tasks::default();
    let (served, addresses) = ((metrics.clone(), audit.clone()), addresses(&settings));
    let ready = serve::start(&mut tasks, addresses, health.clone(), served).await?;
    let (news, inbox) = mpsc::channel(NEWS);
    let (modes, mode_in_force) = watch::channel(mode);
    let claims = ClaimsRecord::new(clients.cluster.clone(), &clients.namespace);
    let leadership = leadership::start(
        &mut tasks,
        claims.clone(),
        candidate.clone(),
        mode_in_force.clone(),
        news.clone(),
        metrics.clone(),
    );
    let feeds = watch_all(&mut tasks, &clients.cluster, &news, &leadership);
    let named = in_force.facts();
    let kubelets = &settings.config.kubelets;
    let cluster = Cluster::new(in_force.policy, feeds.into_iter().chain(named))
        .with_kubelet_ca(kubelets.sources())
        .with_node_leases();
    let leases = ask_for_leases(&mut tasks, &clients.cluster, &news);
    let dials = look_at_kubelets(&mut tasks, &clients.cluster, kubelets, &news)?;
    let announcer = clients.announce(&mut tasks, mode, leadership.clone(), &metrics);
    let turn = Turn::new(leadership.clone(), mode_in_force.clone());
    let joins = clients.keep_records(&mut tasks, &turn, &metrics);
    let to_engine = (leadership.clone(), news.clone());
    let record = record_claims(&mut tasks, claims, to_engine, metrics.clone());
    check_surroundings(&mut tasks, &clients, &settings, &health);

    let outside = Outside {
        requests: Api::all(clients.cluster),
        announcer,
        audit,
        metrics: metrics.clone(),
        leadership,
        ready,
        health,
        record,
        dials,
        leases,
        joins,
    };
    let feeds = MachineFeeds::new(clients.management, news, metrics.clone());
    let reload = Reload::new(clients.fixed, feeds, modes);
    let reload = reload.run(settings.config, settings.config_file, metrics);
    tasks.add("configuration", reload);
    let stop = CancellationToken::new();
    let engine = Engine::new(mode, cluster, outside);
    let engine = Box::pin(engine.run(inbox, stop.clone()));
    let outcome = tasks.supervise(engine, stop).await;
    let writes = *mode_in_force.borrow() != Mode::Audit;
    if let Some(candidate) = candidate.filter(|_| writes) {
        candidate.release().await;
    }
    outcome
}

/// The addresses that metrics and probes are served at.
fn addresses(settings: &Settings) -> Addresses {
    Addresses {
        metrics: settings.metrics_addr,
        probes: settings.probe_addr,
    }
}

/// Starts the check of the connection, and checks once the rights of this approver and of others.
fn check_surroundings(tasks: &mut Tasks, clients: &Clients, settings: &Settings, health: &Health) {
    let watching = new_start::watch_over(health.clone(), settings.kubeconfig.clone());
    tasks.add("connection", watching);
    tasks.once("rights", clients.check_rights(&settings.config));
    let bootstrappers = settings.config.policy.bootstrappers.clone();
    let others = others::check(clients.cluster.clone(), bootstrappers);
    tasks.once("other approvers", others);
}

/// The clients of the clusters that a run uses.
struct Clients {
    /// The cluster that nodes join.
    cluster: Client,
    /// The cluster with the Machine records.
    management: Client,
    /// The approver's own namespace in the cluster that nodes join.
    namespace: String,
    fixed: Fixed,
}

impl Clients {
    /// The candidate for the Lease, if replicas elect a leader.
    fn candidate(&self, elects: bool) -> Option<Candidate> {
        elects.then(|| Candidate::new(self.cluster.clone(), &self.namespace, identity()))
    }

    async fn connect(settings: &Settings, health: &Health) -> anyhow::Result<Self> {
        let Connection {
            client,
            namespace,
            cluster,
        } = Connection::open_lasting(settings.kubeconfig.as_deref(), Some(health.clone())).await?;
        let management = match settings.management_kubeconfig.as_deref() {
            Some(path) => Connection::open_lasting(Some(path), None).await?.client,
            None => client.clone(),
        };
        Ok(Self {
            cluster: client,
            management,
            namespace: settings.namespace.clone().unwrap_or(namespace),
            fixed: Fixed {
                mode: settings.mode,
                cluster,
                kubelets: settings.config.kubelets.clone(),
                auto_scaling: settings.config.auto_scaling.clone(),
                join_windows: JoinWindows::of(&settings.config.policy),
            },
        })
    }

    /// Starts the task that writes Events, and annotations on requests.
    fn announce(
        &self,
        tasks: &mut Tasks,
        mode: Mode,
        leadership: watch::Receiver<Leadership>,
        metrics: &Metrics,
    ) -> Announcer {
        let (cluster, management) = (self.cluster.clone(), self.management.clone());
        let (announcer, publishing) =
            Announcer::new(cluster, management, leadership, metrics.clone());
        announcer.set_silent(mode == Mode::Audit);
        tasks.forever("events", publishing);
        announcer
    }

    /// Starts the tasks that write ExpectedMachines: their status, and the objects for instances of Auto Scaling Groups.
    /// Returns the channel on which the engine sends the state of the joins.
    fn keep_records(
        &self,
        tasks: &mut Tasks,
        turn: &Turn,
        metrics: &Metrics,
    ) -> watch::Sender<Joins> {
        let (joins, current) = watch::channel(Joins::default());
        let keep = joins::keep(
            self.management.clone(),
            current,
            turn.clone(),
            metrics.clone(),
        );
        tasks.forever("status of ExpectedMachines", keep);
        for groups in &self.fixed.auto_scaling {
            let mirror = mirror::run(
                groups.clone(),
                self.fixed.join_windows.clone(),
                self.management.clone(),
                self.cluster.clone(),
                turn.clone(),
                metrics.clone(),
            );
            tasks.forever("auto scaling groups", mirror);
        }
        joins
    }

    /// Checks every right that is needed.
    fn check_rights(&self, config: &Config) -> impl Future<Output = ()> + Send + use<> {
        rights::check(
            self.cluster.clone(),
            self.namespace.clone(),
            self.management.clone(),
            self.fixed.with(config).feeds(),
            config.kubelets.ca.clone(),
            !config.auto_scaling.is_empty(),
            config.policy.replace_leftover_nodes,
        )
    }
}

/// Starts the task that writes the record of claims. Returns the channel for claims.
fn record_claims(
    tasks: &mut Tasks,
    claims: ClaimsRecord,
    (leadership, news): (watch::Receiver<Leadership>, mpsc::Sender<Input>),
    metrics: Metrics,
) -> watch::Sender<Vec<Claim>> {
    let (record, to_record) = watch::channel(Vec::new());
    let recording = leadership::record_claims(claims, to_record, leadership, news, metrics);
    tasks.forever("claims record", recording);
    record
}

/// Starts the dialer, and the feeds of the CA that verifies it. Returns the channel for dials.
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

/// Starts the task that reads the Leases of Nodes. Returns the channel for Node names.
fn ask_for_leases(
    tasks: &mut Tasks,
    client: &Client,
    news: &mpsc::Sender<Input>,
) -> mpsc::UnboundedSender<NodeName> {
    let (leases, wanted) = mpsc::unbounded_channel();
    tasks.add(
        "leases of nodes",
        node_lease::run(client.clone(), wanted, news.clone()),
    );
    leases
}

/// Starts a feed for everything that decisions depend on except Machines. Returns their names.
fn watch_all(
    tasks: &mut Tasks,
    client: &Client,
    news: &mpsc::Sender<Input>,
    leadership: &watch::Receiver<Leadership>,
) -> Vec<Feed> {
    let nodes = Nodes { conditions: false };
    let mut feeds = vec![Feed::Claims, nodes.feed()];
    tasks.forever("nodes", feed::run(nodes, client.clone(), news.clone()));
    feeds.extend(cluster_addresses::feeds());
    cluster_addresses::watch_all(tasks, client, news);
    for signer in Signer::ALL {
        let watched = Requests(signer);
        feeds.push(watched.feed());
        let (client, news) = (client.clone(), news.clone());
        match signer {
            // A new leader has to know all approvals of the earlier ones.
            Signer::KubeApiserverClientKubelet => {
                let leadership = leadership.clone();
                let feed = feed::run_in_terms(watched, client, news, leadership);
                tasks.forever("requests", feed);
            }
            Signer::KubeletServing => tasks.forever("requests", feed::run(watched, client, news)),
        }
    }
    feeds
}
