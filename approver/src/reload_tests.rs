//! The effects of a changed file on the feeds, the engine and the other writers, and their order.

use rollcall_approver_core::{Change, Feed, ServerName, Source};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};

use super::*;
use crate::fixtures::{Server, machine, server};

const HEAD: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";

/// A running reload, the file it reads, and all parts that it affects.
struct Running {
    folder: tempfile::TempDir,
    machines: Server,
    told: mpsc::Receiver<Input>,
    mode: watch::Receiver<Mode>,
}

fn path(namespace: &str) -> String {
    format!("/apis/machine.openshift.io/v1beta1/namespaces/{namespace}/machines")
}

fn scope(namespace: &str) -> Scope {
    Scope::new(Source::OpenShift, namespace)
}

fn start(fixed: Fixed) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("approver.yaml");
    std::fs::write(&file, HEAD).unwrap();
    let config = Config::load(&file).unwrap();
    let (client, machines) = server();
    let (news, told) = mpsc::channel(100);
    let (modes, mode) = watch::channel(fixed.with(&config).mode);
    let feeds = MachineFeeds::new(client, news, Metrics::new());
    let reload = Reload::new(fixed, feeds, modes);
    tokio::spawn(reload.run(config, Some(file), Metrics::new()));
    Running {
        folder,
        machines,
        told,
        mode,
    }
}

impl Running {
    fn write(&self, body: &str) {
        let file = self.folder.path().join("approver.yaml");
        std::fs::write(file, format!("{HEAD}{body}\n")).unwrap();
    }

    /// Answers the list of a namespace with one Machine, and keeps the watch after it open.
    async fn serve(&mut self, namespace: &str) {
        let mut object = machine("m-0", "worker-0");
        object["metadata"]["namespace"] = json!(namespace);
        let list = json!({
            "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": [object],
        });
        self.machines
            .expect("GET", &path(namespace))
            .await
            .answer(&list);
        self.machines
            .expect("GET", &path(namespace))
            .await
            .events(&[], false);
    }

    /// Refuses the next call. Returns its path.
    async fn refuse(&mut self) -> String {
        loop {
            tokio::select! {
                call = self.machines.call() => {
                    let path = call.path.clone();
                    call.fail(403, "not allowed");
                    return path;
                }
                // No other receiver reads the inputs, and the feeds wait for that.
                told = self.told.recv() => drop(told.expect("it lives")),
            }
        }
    }

    async fn next(&mut self) -> Input {
        let next = timeout(Duration::from_secs(20), self.told.recv()).await;
        next.expect("something has to be told").expect("it lives")
    }

    /// The three inputs that a feed sends at its start.
    async fn expect_feed(&mut self, namespace: &str) {
        assert!(matches!(
            self.next().await,
            Input::Change(Change::Machine(_))
        ));
        let list = self.next().await;
        assert!(
            matches!(&list, Input::Change(Change::MachineList(listed, _)) if *listed == scope(namespace)),
            "{list:?}"
        );
        let synced = self.next().await;
        assert!(
            matches!(&synced, Input::Change(Change::Synced(synced)) if *synced == Feed::Machines(scope(namespace))),
            "{synced:?}"
        );
    }

    async fn expect_config(&mut self) -> InForce {
        match self.next().await {
            Input::Config(config) => *config,
            other @ (Input::Change(_) | Input::Complete(_, _) | Input::Request(_)) => {
                panic!("no configuration: {other:?}")
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sources_end_before_the_engine_is_told_and_begin_after() {
    let mut running = start(Fixed::default());
    running.serve("openshift-machine-api").await;
    running.expect_feed("openshift-machine-api").await;
    running.write("machines: [{openshift: {namespace: elsewhere}}]");
    let config = running.expect_config().await;
    assert_eq!(config.machines, BTreeSet::from([scope("elsewhere")]));
    running.serve("elsewhere").await;
    running.expect_feed("elsewhere").await;
    // The stopped feed makes no call and sends no input, although its watch would have ended twice.
    let silent = timeout(Duration::from_secs(20), running.told.recv()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn whose_a_token_is_is_read_while_the_file_says_so_and_the_machines_stay() {
    let mut running = start(Fixed::default());
    running.serve("openshift-machine-api").await;
    running.expect_feed("openshift-machine-api").await;
    running.write("machines: [{openshift: {}}, {clusterAPI: {bootstrapTokens: true}}]");
    let config = running.expect_config().await;
    let scope = Scope::new(Source::ClusterApi, "");
    let feeds = [
        Feed::KubeadmConfigs(scope.clone()),
        Feed::Machines(scope.clone()),
        Feed::Machines(self::scope("openshift-machine-api")),
    ];
    assert_eq!(config.feeds(), BTreeSet::from(feeds));
    // Neither exists, so each is requested again.
    let mut asked = BTreeSet::new();
    while asked.len() < 2 {
        asked.insert(running.refuse().await);
    }
    let [tokens, machines] = [
        "/apis/bootstrap.cluster.x-k8s.io/v1beta2",
        "/apis/cluster.x-k8s.io/v1beta2",
    ];
    assert_eq!(asked, [tokens, machines].map(str::to_owned).into());
    running.write("machines: [{openshift: {}}, {clusterAPI: {}}]");
    let begun = tokio::time::Instant::now();
    // A call that was in progress when the feed ended may still arrive.
    let (settled, end) = (Duration::from_secs(20), Duration::from_secs(80));
    let mut seen = BTreeSet::new();
    while begun.elapsed() < end {
        let path = running.refuse().await;
        if begun.elapsed() > settled {
            seen.insert(path);
        }
    }
    assert!(
        seen.contains(machines) && !seen.contains(tokens),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_is_not_disturbed() {
    let mut running = start(Fixed::default());
    running.serve("openshift-machine-api").await;
    running.expect_feed("openshift-machine-api").await;
    running.write("mode: manual\nbootstrap: {maxIssues: 1}");
    let config = running.expect_config().await;
    assert_eq!(
        (config.mode, config.policy.rules.max_issues),
        (Mode::Manual, 1)
    );
    running
        .mode
        .wait_for(|mode| *mode == Mode::Manual)
        .await
        .unwrap();
    running.machines.expect_none(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn the_command_line_and_the_api_servers_outweigh_every_file() {
    let server = ServerName::read("192.0.2.1").unwrap();
    let mut running = start(Fixed {
        mode: Some(Mode::Manual),
        cluster: Known {
            api_servers: vec![server.clone()],
            ids: Vec::new(),
        },
        ..Fixed::default()
    });
    running.serve("openshift-machine-api").await;
    running.expect_feed("openshift-machine-api").await;
    running.write("mode: enforce\nserving: {apiServers: [api.example.com]}");
    let config = running.expect_config().await;
    assert_eq!(config.mode, Mode::Manual);
    let named = ServerName::read("api.example.com").unwrap();
    assert_eq!(
        config.policy.serving.api_servers,
        BTreeSet::from([server, named])
    );
}
