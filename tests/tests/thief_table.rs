//! The table of SECURITY.md on the real control plane: the certificates that a holder of a bootstrap credential gets who is not
//! the machine.
//! `every_cell_of_the_table_in_security_md` plays the same with the times of the defaults; here they are seconds.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::config_with;
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::setting::Setting;
use serde_json::json;
use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::{Instant, sleep_until};

/// Far more than anything takes that waits here; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The second by which every approval of a script has been made: the last of three keys four seconds (`settleAfter`) and twice five
/// (`reissueAfter`) after the thief stops.
const END: u64 = 27;
/// The key of the machine. The thief has the others.
const OWN: usize = 0;

/// Something that happens at a second of its script.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The record says what the machine is called.
    Facts,
    /// Somebody asks with this key.
    Ask(usize),
    /// The machine and three keys of the thief ask within one second.
    Many,
}

/// The result of a cell: the number of the thief's keys that have a certificate, and whether the machine's has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    thief: usize,
    machine: bool,
}

const fn end(thief: usize, machine: bool) -> End {
    End { thief, machine }
}

/// The machine's proof besides the bootstrap credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Nothing,
    Token,
    JoinKey,
}

struct Row {
    pool: &'static str,
    rules: &'static str,
    proof: Proof,
    ends: [End; 6],
}

const COLUMNS: [&str; 6] = ["first", "last", "many", "late", "before", "slow"];
const NOTHING: [End; 6] = [end(0, true); 6];

fn rows() -> [Row; 7] {
    let row = |pool, rules, ends| Row {
        pool,
        rules,
        proof: Proof::Nothing,
        ends,
    };
    let (none, lost) = (end(0, true), end(0, false));
    let (both, spent) = (end(1, true), end(1, false));
    let all = end(3, false);
    [
        row(
            "defaults",
            "maxIssues: 3",
            [both, none, lost, none, all, none],
        ),
        row(
            "once",
            "maxIssues: 1",
            [spent, none, lost, none, spent, none],
        ),
        row(
            "hold",
            "contested: hold",
            [both, none, lost, lost, lost, none],
        ),
        row(
            "hold-once",
            "contested: hold, maxIssues: 1",
            [spent, none, lost, lost, lost, none],
        ),
        row(
            "newest",
            "contested: newest",
            [both, none, all, all, all, none],
        ),
        Row {
            proof: Proof::Token,
            ..row("token", "evidence: replayable", NOTHING)
        },
        Row {
            proof: Proof::JoinKey,
            ..row("join-key", "evidence: bound", NOTHING)
        },
    ]
}

/// The script of a column, by the second.
fn script(column: &str) -> Vec<(u64, Step)> {
    let refile = |from| {
        let keys = [1, 2, 3].into_iter().cycle();
        // Keys that first ask within one second have no order, and a request may take most of a second.
        let asks = (from..=10).step_by(2).zip(keys);
        asks.map(|(when, key)| (when, Step::Ask(key)))
    };
    let own = |when| (when, Step::Ask(OWN));
    let facts = |when| (when, Step::Facts);
    let mut script: Vec<(u64, Step)> = match column {
        "first" => vec![facts(0), (1, Step::Ask(1)), own(3)],
        "last" => vec![facts(0), own(1), (3, Step::Ask(1))],
        "many" => vec![(1, Step::Many), facts(2)],
        "late" => [own(1), facts(6)].into_iter().chain(refile(3)).collect(),
        "before" => [(0, Step::Ask(1)), own(3), facts(6)]
            .into_iter()
            .chain(refile(5))
            .collect(),
        _ => [facts(0), own(1)].into_iter().chain(refile(3)).collect(),
    };
    script.sort_by_key(|(when, _)| *when);
    script
}

/// One cell, with its Machine and its keys.
struct Cell<'c> {
    setting: &'c Setting,
    pool: &'static str,
    column: &'static str,
    node: String,
    expected: End,
    /// The machine's request, and those of the thief with each of its keys.
    keys: Vec<NodeRequest>,
    owner: Client,
    pinned: bool,
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.pool, self.column)
    }
}

impl<'c> Cell<'c> {
    async fn new(setting: &'c Setting, row: &Row, column: &'static str, expected: End) -> Self {
        let node = format!("{}-{column}", row.pool);
        let mut keys: Vec<NodeRequest> = (0..4)
            .map(|_| NodeRequest::client(&node).unwrap())
            .collect();
        let mut owner = setting.bootstrapper.clone();
        match row.proof {
            Proof::Nothing => {}
            Proof::Token => {
                let place = format!("{}:{node}", machines::NAMESPACE);
                let group = format!("system:bootstrappers:rollcall-machine:{place}");
                let groups = ["system:bootstrappers", group.as_str()];
                let user = "system:bootstrap:abcdef";
                let client = setting.control_plane.client_as(user, &groups).await;
                owner = client.unwrap();
            }
            Proof::JoinKey => {
                let ca = setting.control_plane.ca_pem();
                let own = keys.remove(OWN);
                let key = own.key_pem().to_owned();
                keys.insert(OWN, own.join_key(&key, ca).unwrap());
            }
        }
        Self {
            setting,
            pool: row.pool,
            column,
            node,
            expected,
            keys,
            owner,
            pinned: row.proof == Proof::JoinKey,
        }
    }

    /// Creates the Machine, which is not called anything yet.
    async fn record(&self) {
        let admin = &self.setting.admin;
        let labels = json!({"machine.openshift.io/cluster-api-machineset": self.pool});
        let object = json!({
            "metadata": {"name": self.node, "labels": labels},
            "spec": {"lifecycleHooks": {}, "metadata": {}, "providerSpec": {}},
            "status": {"phase": "Provisioning"},
        });
        machines::create_like(admin, &object).await.unwrap();
        if self.pinned {
            let pin = self.keys.first().unwrap().public_key_base64().unwrap();
            let patch = json!({"metadata": {"annotations": {"rollcall.dev/join-key": pin}}});
            machines::api(admin.clone())
                .patch(&self.node, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap();
        }
    }

    /// A request with one of the keys. The thief's names are behind the machine's in the alphabet.
    fn request(&self, key: usize, number: usize) -> NodeRequest {
        let who = if key == OWN { "a" } else { "z" };
        let name = format!("{}-{who}-{key}-{number}", self.node);
        self.keys.get(key).unwrap().clone().named(&name)
    }

    async fn ask(&self, key: usize, number: usize) -> String {
        let client = if key == OWN {
            &self.owner
        } else {
            &self.setting.bootstrapper
        };
        self.request(key, number).submit(client).await.unwrap()
    }

    /// All keys ask within one second, as the API server sees it.
    async fn many(&self, number: usize) {
        let api = requests::api(&self.setting.admin);
        for attempt in 0..20 {
            let names = (0..4).map(|key| self.ask(key, number * 100 + attempt));
            let names = join_all(names).await;
            let mut times = BTreeSet::new();
            for name in &names {
                let made = api.get(name).await.unwrap().metadata.creation_timestamp;
                times.insert(made.map(|time| time.0));
            }
            if times.len() == 1 {
                return;
            }
            for name in &names {
                api.delete(name, &Default::default()).await.unwrap();
            }
        }
        panic!("{self}: four requests never came within one second")
    }

    async fn play(&self, begin: Instant) {
        for (number, (when, step)) in script(self.column).into_iter().enumerate() {
            sleep_until(begin + Duration::from_secs(when)).await;
            match step {
                Step::Facts => {
                    let status = MachineStatus::provisioned(&self.node, "192.0.2.10");
                    let set = machines::set_status(&self.setting.admin, &self.node, &status).await;
                    set.unwrap();
                }
                Step::Ask(key) => drop(self.ask(key, number).await),
                Step::Many => self.many(number).await,
            }
        }
    }

    /// Registers the Node as soon as the machine has its certificate, or, where the kubelet is slow, two seconds later.
    async fn register(&self, mut approved: Receiver<BTreeSet<String>>) {
        let has = approved.wait_for(|approved| self.seen(approved).machine);
        if has.await.is_err() {
            return;
        }
        if self.column == "slow" {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        let node: Node = serde_json::from_value(json!({"metadata": {"name": self.node}})).unwrap();
        let nodes: Api<Node> = Api::all(self.setting.admin.clone());
        nodes.create(&PostParams::default(), &node).await.unwrap();
    }

    fn seen(&self, approved: &BTreeSet<String>) -> End {
        let own = approved.iter().filter_map(|name| {
            let key = name.strip_prefix(&format!("{}-", self.node))?;
            let (_, key) = key.split_once("a-").or_else(|| key.split_once("z-"))?;
            key.split('-').next()?.parse::<usize>().ok()
        });
        let keys: BTreeSet<usize> = own.collect();
        let machine = keys.contains(&OWN);
        end(keys.len() - usize::from(machine), machine)
    }
}

/// Publishes the approved requests until the scripts are over, and longer while an approval is missing.
async fn look(cells: &[Cell<'_>], setting: &Setting, sender: Sender<BTreeSet<String>>) {
    let begin = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let approved = setting.all_approved().await;
        let complete = cells
            .iter()
            .all(|cell| cell.seen(&approved) == cell.expected);
        sender.send_replace(approved);
        let limit = if complete {
            Duration::from_secs(END)
        } else {
            TIMEOUT
        };
        if begin.elapsed() >= limit {
            return;
        }
    }
}

#[tokio::test]
async fn what_a_thief_gets_by_each_row_and_column_of_the_table() {
    let setting = Setting::new().await;
    let bootstrappers = json!({
        "kind": "Group", "name": "system:bootstrappers", "apiGroup": "rbac.authorization.k8s.io",
    });
    let (binding, role) = ("bootstrappers", "system:node-bootstrapper");
    let bound = setting
        .control_plane
        .bind_cluster_role(binding, role, &bootstrappers);
    bound.await.unwrap();
    let pools: String = rows()
        .iter()
        .map(|row| format!("  - {{pool: {}, {}}}\n", row.pool, row.rules))
        .collect();
    let rules = "  clockSkew: 1m\n  settleAfter: 4s\n  reissueAfter: 5s\n  pools:\n";
    let fields = format!("bootstrap:\n{rules}{pools}");
    let config = config_with(&setting.control_plane, &fields).unwrap();
    let approver =
        setting.approver_with("one", &setting.kubeconfig, &["--config", config.as_str()]);
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    let mut cells = Vec::new();
    for row in &rows() {
        for (column, expected) in COLUMNS.into_iter().zip(row.ends) {
            let cell = Cell::new(&setting, row, column, expected).await;
            cell.record().await;
            cells.push(cell);
        }
    }
    let begin = Instant::now();
    let (sender, approved) = watch::channel(BTreeSet::new());
    let plays = cells.iter().map(|cell| {
        let approved = approved.clone();
        async move { tokio::join!(cell.play(begin), cell.register(approved)) }
    });
    tokio::join!(join_all(plays), look(&cells, &setting, sender));
    let mut wrong = Vec::new();
    for cell in &cells {
        let seen = cell.seen(&approved.borrow());
        if seen != cell.expected {
            wrong.push(format!("{cell}: {seen:?}, not {:?}", cell.expected));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", approver.log());
}
