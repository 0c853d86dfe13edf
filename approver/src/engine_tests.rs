//! The engine with a real client: the inputs that cause writes, and the number of these.

use rollcall_approver_core::{Feed, Policy, Source};
use serde_json::{Value, json};

use super::writes::STOP_GRACE;
use super::*;
use crate::convert::to_request;
use crate::fixtures::{Call, Server, csr, machine, read, server};
use crate::sources;

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
/// Longer than any pause of the engine or of a retry.
pub(super) const LONG: Duration = Duration::from_secs(300);

/// A running engine, and its servers: that of its writes and that of its Events.
pub(super) struct Running {
    pub(super) news: mpsc::Sender<Input>,
    pub(super) writes: Server,
    pub(super) events: Server,
    /// The Events on Machines.
    pub(super) machine_events: mpsc::UnboundedReceiver<Value>,
    pub(super) leadership: watch::Sender<Leadership>,
    ready: watch::Receiver<bool>,
    record: watch::Receiver<Vec<Claim>>,
    pub(super) wanted: mpsc::UnboundedReceiver<Dial>,
    pub(super) audit: Audit,
    pub(super) metrics: Metrics,
    stop: CancellationToken,
    engine: tokio::task::JoinHandle<()>,
}

pub(super) fn start(mode: Mode, feeds: &[Feed]) -> Running {
    start_with(Policy::default(), mode, feeds)
}

pub(super) fn start_with(policy: Policy, mode: Mode, feeds: &[Feed]) -> Running {
    let (client, writes) = server();
    let (events_client, events) = server();
    let (management_client, mut management) = server();
    let (told_of_machine, machine_events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(call) = management.next().await {
            let body = call.body.clone();
            call.answer(&body);
            told_of_machine.send(body).ok();
        }
    });
    let (audit, metrics) = (Audit::default(), Metrics::new());
    let (leadership, leads) = watch::channel(Leadership::forever());
    let (announcer, publishing) = Announcer::new(
        events_client,
        management_client,
        leads.clone(),
        metrics.clone(),
    );
    tokio::spawn(publishing);
    let (ready, is_ready) = watch::channel(false);
    let (record, to_record) = watch::channel(Vec::new());
    let (dials, wanted) = mpsc::unbounded_channel();
    let (leases, _) = mpsc::unbounded_channel();
    let outside = Outside {
        requests: Api::all(client),
        announcer,
        audit: audit.clone(),
        metrics: metrics.clone(),
        leadership: leads,
        ready,
        health: Health::new(),
        record,
        dials,
        leases,
        joins: watch::channel(Vec::new()).0,
    };
    let (news, inbox) = mpsc::channel(100);
    let stop = CancellationToken::new();
    let cluster = Cluster::new(policy, feeds.iter().cloned()).with_kubelet_ca(["CA".to_owned()]);
    let engine = Engine::new(mode, cluster, outside);
    Running {
        news,
        writes,
        events,
        machine_events,
        leadership,
        ready: is_ready,
        record: to_record,
        wanted,
        audit,
        metrics,
        engine: tokio::spawn(engine.run(inbox, stop.clone())),
        stop,
    }
}

impl Running {
    pub(super) async fn request(&self, object: &Value) {
        let news = to_request(read(object)).unwrap();
        self.news
            .send(Input::Request(Box::new(news)))
            .await
            .unwrap();
    }

    pub(super) async fn machine(&self, object: Value) {
        let openshift = sources::of(Source::OpenShift).unwrap();
        let machine = (openshift.read)(object).unwrap();
        self.change(Change::Machine(Box::new(machine))).await;
    }

    /// Reports that a feed was read in a term.
    pub(super) async fn complete(&self, feed: Feed, term: u64) {
        let complete = Input::Complete(feed, Some(term));
        self.news.send(complete).await.unwrap();
    }

    pub(super) async fn change(&self, change: Change) {
        self.news.send(Input::Change(change)).await.unwrap();
    }

    pub(super) async fn expect_approval(&mut self, name: &str) -> Call {
        let call = self.writes.expect("PUT", &approval(name)).await;
        let condition = &call.body["status"]["conditions"][0];
        assert_eq!(condition["type"], "Approved", "{condition}");
        assert_eq!(condition["reason"], "FirstCertificate", "{condition}");
        call
    }

    /// The next Event, as `type reason`, and its note.
    pub(super) async fn event(&mut self) -> (String, String) {
        let call = self.events.expect("POST", EVENTS).await;
        let body = call.body.clone();
        call.answer(&body);
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        assert_eq!(body["regarding"]["kind"], "CertificateSigningRequest");
        (format!("{} {}", text("type"), text("reason")), text("note"))
    }
}

pub(super) fn approval(name: &str) -> String {
    format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/approval")
}

/// The object after its approval, as the watch brings it.
pub(super) fn approved(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!("8");
    object["status"] = json!({"conditions": [
        {"type": "Approved", "status": "True", "lastUpdateTime": Timestamp::now()},
    ]});
    object
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_machine_appears_is_approved_by_one_write() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    let (word, note) = running.event().await;
    assert_eq!(word, "Normal MachineNotFound");
    assert!(
        note.contains("no Machine owns the node name worker-0"),
        "{note}"
    );
    running.machine(machine("m-0", "worker-0")).await;
    running.expect_approval("csr-0").await.answer(&object);
    running.request(&approved(&object)).await;
    running.machine(machine("m-1", "worker-1")).await;
    running.writes.expect_none(LONG).await;
    running.events.expect_none(Duration::from_secs(1)).await;
    let text = running.metrics.text().unwrap();
    assert!(text.contains("rollcall_approval_seconds_count 1"), "{text}");
    assert!(text.contains("rollcall_machines 2"), "{text}");
    assert!(text.contains("rollcall_pending_requests 0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_every_feed_is_complete() {
    let mut running = start(Mode::Enforce, &[Feed::Nodes, Feed::Claims]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.complete(Feed::Claims, 1).await;
    running.writes.expect_none(Duration::from_secs(2)).await;
    assert!(!*running.ready.borrow());
    running.change(Change::Synced(Feed::Nodes)).await;
    running.expect_approval("csr-0").await.answer(&object);
    assert!(*running.ready.borrow());
    // A quick start does not report missing facts.
    running.events.expect_none(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_ready_when_its_watches_are_but_decides_nothing_without_the_claims() {
    let mut running = start(Mode::Enforce, &[Feed::Nodes, Feed::Claims]);
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    running.change(Change::Synced(Feed::Nodes)).await;
    running.writes.expect_none(Duration::from_secs(5)).await;
    assert!(*running.ready.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_long_says_what_is_missing() {
    let mut running = start(Mode::Enforce, &[Feed::Nodes]);
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    let (word, note) = running.event().await;
    assert_eq!(word, "Warning FactsStale");
    assert!(
        note.contains("the watch of nodes has not been complete yet"),
        "{note}"
    );
    running.writes.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let mut running = start(Mode::Enforce, &[]);
    running.leadership.send_replace(Leadership::default());
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.writes.expect_none(LONG).await;
    running.events.expect_none(Duration::from_secs(1)).await;
    // Waiting requests are decided when it becomes the leader.
    running.leadership.send_replace(Leadership::forever());
    running.expect_approval("csr-0").await.answer(&object);
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_a_person_decides() {
    let mut running = start(Mode::Manual, &[]);
    running.request(&csr("csr-0", "worker-0")).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(LONG).await;
    let text = running.metrics.text().unwrap();
    let counted = "rollcall_decisions_total{verdict=\"approve\",reason=\"FirstCertificate\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(running.record.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_audit_mode_nothing_is_written_at_all() {
    let mut running = start(Mode::Audit, &[]);
    running.request(&csr("csr-0", "worker-0")).await;
    running.request(&csr("csr-1", "worker-1")).await;
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(LONG).await;
    running.events.expect_none(LONG).await;
    let text = running.metrics.text().unwrap();
    for counted in [
        "rollcall_decisions_total{verdict=\"approve\",reason=\"FirstCertificate\"} 1",
        "rollcall_decisions_total{verdict=\"hold\",reason=\"MachineNotFound\"} 1",
    ] {
        assert!(text.contains(counted), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_the_request_is_judged_again_as_it_is_now() {
    let mut running = start(Mode::Enforce, &[]);
    let mut object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.expect_approval("csr-0").await.fail(409, "modified");
    running.writes.expect_none(Duration::from_millis(200)).await;
    object["metadata"]["resourceVersion"] = json!("9");
    object["metadata"]["labels"] = json!({"seen": "yes"});
    running.request(&object).await;
    let call = running.expect_approval("csr-0").await;
    assert_eq!(call.body["metadata"]["resourceVersion"], "9");
    assert_eq!(call.body["metadata"]["labels"]["seen"], "yes");
    call.answer(&object);
    running.request(&approved(&object)).await;
    running.writes.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_with_a_decision_nothing_more_is_written() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.expect_approval("csr-0").await.fail(409, "modified");
    let mut denied = object.clone();
    denied["status"] = json!({"conditions": [{"type": "Denied", "status": "True"}]});
    running.request(&denied).await;
    running.writes.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_tried_again_ever_more_slowly() {
    let mut running = start(Mode::Enforce, &[]);
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    let started = Instant::now();
    let mut times = Vec::new();
    for _ in 0..9 {
        let call = running.expect_approval("csr-0").await;
        times.push(started.elapsed());
        call.fail(403, "forbidden");
    }
    let pauses: Vec<u64> = times
        .windows(2)
        .map(|pair| {
            (pair[1].as_millis() - pair[0].as_millis())
                .try_into()
                .unwrap()
        })
        .collect();
    let expected = [250_u64, 500, 1000, 2000, 4000, 8000, 16000, 16000];
    for (pause, expected) in pauses.iter().zip(expected) {
        assert!((expected..expected + 20).contains(pause), "{pauses:?}");
    }
    let text = running.metrics.text().unwrap();
    assert!(text.contains("rollcall_write_failures_total 8"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn news_during_a_pause_add_one_try_and_no_second_row_of_tries() {
    let mut running = start(Mode::Enforce, &[]);
    let mut record = machine("m-0", "worker-0");
    running.machine(record.clone()).await;
    running.request(&csr("csr-0", "worker-0")).await;
    for phase in 0..10 {
        running
            .expect_approval("csr-0")
            .await
            .fail(403, "forbidden");
        record["status"]["phase"] = json!(phase.to_string());
        running.machine(record.clone()).await;
    }
    running
        .expect_approval("csr-0")
        .await
        .fail(403, "forbidden");
    // One attempt every 16 s, as if nothing had happened in between.
    for _ in 0..3 {
        running.writes.expect_none(Duration::from_secs(15)).await;
        running
            .expect_approval("csr-0")
            .await
            .fail(403, "forbidden");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_with_an_unknown_end_is_repeated_and_no_other_key_gets_the_machine() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.expect_approval("csr-0").await.break_off();
    // A request with another key that is newer does not get it meanwhile.
    let mut newer = csr("csr-1", "worker-0");
    newer["metadata"]["name"] = json!("csr-1");
    running.request(&newer).await;
    let again = running.expect_approval("csr-0").await;
    again.fail(409, "modified");
    running.request(&approved(&object)).await;
    running.writes.expect_none(Duration::from_secs(50)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_for_ever_is_denied_and_told() {
    let mut running = start(Mode::Enforce, &[]);
    let mut object = csr("csr-0", "worker-0");
    object["spec"]["usages"] = json!(["digital signature", "client auth", "server auth"]);
    running.request(&object).await;
    let call = running.writes.expect("PUT", &approval("csr-0")).await;
    let condition = &call.body["status"]["conditions"][0];
    assert_eq!(condition["type"], "Denied");
    assert_eq!(condition["reason"], "UsagesNotAllowed");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.contains("server auth") && message.contains("no Machine owns"),
        "{message}"
    );
    call.answer(&object);
    let (word, note) = running.event().await;
    assert_eq!(word, "Warning UsagesNotAllowed");
    assert!(note.contains("server auth"), "{note}");
    running.writes.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_writes_under_way() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    let call = running.expect_approval("csr-0").await;
    running.stop.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!running.engine.is_finished());
    call.answer(&object);
    tokio::time::timeout(Duration::from_millis(100), running.engine)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_ever() {
    let mut running = start(Mode::Enforce, &[]);
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    let _unanswered = running.expect_approval("csr-0").await;
    running.stop.cancel();
    tokio::time::timeout(STOP_GRACE + Duration::from_millis(100), running.engine)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_request_is_gone_is_recorded() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    running.expect_approval("csr-0").await.answer(&object);
    running.request(&approved(&object)).await;
    running
        .change(Change::RequestGone(RequestUid("csr-0".to_owned())))
        .await;
    let recorded = running.record.wait_for(|claims| !claims.is_empty());
    let claims = tokio::time::timeout(LONG, recorded).await.unwrap().unwrap();
    let [claim] = claims.as_slice() else {
        panic!("{claims:?}");
    };
    assert_eq!(
        (claim.machine.0.as_str(), claim.request.0.as_str()),
        ("m-0", "csr-0")
    );
}
