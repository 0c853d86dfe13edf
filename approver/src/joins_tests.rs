//! The writes of the status of ExpectedMachines, and the handling of their failures.

use rollcall_approver_core::{JoinStage, MachineReference, Node};

use super::*;
use crate::Mode;
use crate::fixtures::{Server, server};
use crate::lease::Leadership;

const RECORD: &str = "/apis/rollcall.dev/v1alpha1/expectedmachines/worker-0";
const STATUS: &str = "/apis/rollcall.dev/v1alpha1/expectedmachines/worker-0/status";

struct Running {
    joins: watch::Sender<Joins>,
    leadership: watch::Sender<Leadership>,
    mode: watch::Sender<Mode>,
    metrics: Metrics,
    server: Server,
}

fn start(leadership: Leadership) -> Running {
    let (client, server) = server();
    let (joins, current) = watch::channel(Joins::default());
    let (leadership, leads) = watch::channel(leadership);
    let (mode, in_force) = watch::channel(Mode::Enforce);
    let turn = Turn::new(leads, in_force);
    let metrics = Metrics::new();
    tokio::spawn(keep(client, current, turn, metrics.clone()));
    Running {
        joins,
        leadership,
        mode,
        metrics,
        server,
    }
}

impl Running {
    /// Sends the state of the one Machine.
    fn tell(&self, stage: JoinStage) {
        self.joins.send_replace(vec![join(stage)]);
    }

    /// Answers a read of its record with this status.
    async fn show(&mut self, status: &Value) {
        let call = self.server.expect("GET", RECORD).await;
        call.answer(&record(status));
    }
}

fn join(stage: JoinStage) -> Join {
    let node = Node::new("n-0", Timestamp::now());
    let node = Some(("worker-0".parse().unwrap(), node));
    Join {
        machine: MachineReference {
            namespace: String::new(),
            name: "worker-0".to_owned(),
        },
        uid: MachineUid("u-0".to_owned()),
        stage,
        waiting: None,
        approved: None,
        node: node.filter(|_| stage >= JoinStage::Registered),
        adopted: false,
        other_node: None,
        deadline: None,
    }
}

fn record(status: &Value) -> Value {
    json!({
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
        "metadata": {"name": "worker-0", "uid": "u-0"}, "spec": {"nodeName": "worker-0"}, "status": status,
    })
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_written_once_and_for_this_very_record() {
    let mut running = start(Leadership::forever());
    running.tell(JoinStage::Provisioned);
    running.show(&json!(null)).await;
    let call = running.server.expect("PATCH", STATUS).await;
    assert!(
        call.query.contains("fieldManager=rollcall-approver"),
        "{}",
        call.query
    );
    assert_eq!(
        call.body["metadata"],
        json!({"name": "worker-0", "uid": "u-0"})
    );
    assert_eq!(call.body["status"]["stage"], "Provisioned");
    assert_eq!(call.body.get("spec"), None);
    let body = call.body.clone();
    call.answer(&record(&body["status"]));
    running.tell(JoinStage::Provisioned);
    running.server.expect_none(Duration::from_secs(60)).await;

    running.tell(JoinStage::Registered);
    let call = running.server.expect("PATCH", STATUS).await;
    assert_eq!(
        call.body["status"]["nodeRef"],
        json!({"name": "worker-0", "uid": "n-0"})
    );
    call.answer(&record(&json!(null)));
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_replica_wrote_is_not_written_again() {
    let mut running = start(Leadership::forever());
    let written = content(
        &join(JoinStage::Registered),
        &Default::default(),
        Timestamp::now(),
    );
    running.tell(JoinStage::Registered);
    running.show(&serde_json::to_value(written).unwrap()).await;
    running.server.expect_none(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_counted_and_tried_again_and_a_record_that_is_gone_is_not() {
    let mut running = start(Leadership::forever());
    running.tell(JoinStage::Provisioned);
    running.show(&json!(null)).await;
    running
        .server
        .expect("PATCH", STATUS)
        .await
        .fail(403, "forbidden");
    running.show(&json!(null)).await;
    assert_eq!(running.metrics.status_failures.get(), 1);
    running
        .server
        .expect("PATCH", STATUS)
        .await
        .fail(409, "the uid is another");
    assert_eq!(running.metrics.status_failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_writes_nothing() {
    let mut running = start(Leadership::default());
    running.tell(JoinStage::Provisioned);
    running.server.expect_none(Duration::from_secs(60)).await;
    running.leadership.send_replace(Leadership::forever());
    running.server.expect("GET", RECORD).await;
}

#[tokio::test(start_paused = true)]
async fn in_mode_audit_nothing_is_written_even_without_election() {
    let mut running = start(Leadership::forever());
    running.mode.send_replace(Mode::Audit);
    running.tell(JoinStage::Provisioned);
    running.server.expect_none(Duration::from_secs(60)).await;
    running.mode.send_replace(Mode::Manual);
    running.server.expect("GET", RECORD).await;
}
