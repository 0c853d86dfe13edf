//! The engine with a real client: which news end in a write, and in how many.

use rollcall_approver_core::{Feed, Policy, RequestorRule, Scope, Source};
use serde_json::{Value, json};

use super::writes::STOP_GRACE;
use super::*;
use crate::convert::to_request;
use crate::fixtures::{Call, Server, csr, machine, read, server};
use crate::sources;

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
/// Longer than anything that the engine or a retry waits for.
const LONG: Duration = Duration::from_secs(300);

/// A running engine, and the servers that it talks to: that of its writes and that of its Events.
pub(super) struct Running {
    news: mpsc::Sender<Input>,
    pub(super) writes: Server,
    pub(super) events: Server,
    /// What was told of Machines.
    machine_events: mpsc::UnboundedReceiver<Value>,
    pub(super) leadership: watch::Sender<Leadership>,
    ready: watch::Receiver<bool>,
    record: watch::Receiver<Vec<Claim>>,
    pub(super) wanted: mpsc::UnboundedReceiver<Dial>,
    audit: Audit,
    pub(super) metrics: Metrics,
    stop: CancellationToken,
    engine: tokio::task::JoinHandle<()>,
}

pub(super) fn start(mode: Mode, feeds: &[Feed]) -> Running {
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
    let outside = Outside {
        requests: Api::all(client),
        announcer,
        audit: audit.clone(),
        metrics: metrics.clone(),
        leadership: leads,
        ready,
        record,
        dials,
        joins: watch::channel(Vec::new()).0,
    };
    let (news, inbox) = mpsc::channel(100);
    let stop = CancellationToken::new();
    let cluster =
        Cluster::new(Policy::default(), feeds.iter().cloned()).with_kubelet_ca(["CA".to_owned()]);
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

/// Everything that was told of Machines so far, as `type reason name note`.
fn told_of_machines(running: &mut Running) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(event) = running.machine_events.try_recv() {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        assert_eq!(event["regarding"]["kind"], "Machine");
        let name = event["regarding"]["name"].as_str().unwrap();
        let words = [&text("type"), &text("reason"), name, &text("note")];
        told.push(words.join(" "));
    }
    told
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
    running.change(Change::Synced(Feed::Claims)).await;
    running.writes.expect_none(Duration::from_secs(2)).await;
    assert!(!*running.ready.borrow());
    running.change(Change::Synced(Feed::Nodes)).await;
    running.expect_approval("csr-0").await.answer(&object);
    assert!(*running.ready.borrow());
    // A start that is quick troubles nobody with what was missing.
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
    // What waited is judged when it becomes the leader.
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
    // One try every 16 s, as if nothing had happened in between.
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
async fn a_warning_beside_an_approval_is_told() {
    let mut running = start(Mode::Enforce, &[]);
    let mut older = csr("csr-0", "worker-0");
    let made = Timestamp::now()
        .checked_sub(SignedDuration::from_secs(9))
        .unwrap();
    older["metadata"]["creationTimestamp"] = json!(made);
    running.request(&older).await;
    let newer = csr("csr-1", "worker-0");
    running.request(&newer).await;
    for _ in 0..2 {
        assert_eq!(running.event().await.0, "Normal MachineNotFound");
    }
    running.machine(machine("m-0", "worker-0")).await;
    running.expect_approval("csr-1").await.answer(&newer);
    let mut events = [running.event().await.0, running.event().await.0];
    events.sort();
    let superseded = events
        .iter()
        .any(|word| word == "Warning Superseded" || word == "Warning AlreadyIssued");
    assert!(superseded, "{events:?}");
    assert!(
        events.contains(&"Warning Contested".to_owned()),
        "{events:?}"
    );
    running.writes.expect_none(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_is_told_once_until_it_changes() {
    let mut running = start(Mode::Enforce, &[]);
    let mut object = csr("csr-0", "worker-0");
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    object["metadata"]["resourceVersion"] = json!("8");
    object["metadata"]["labels"] = json!({"touched": "yes"});
    running.request(&object).await;
    running.events.expect_none(Duration::from_secs(1)).await;
    let mut failed = machine("m-0", "worker-0");
    failed["status"]["phase"] = json!("Failed");
    running.machine(failed).await;
    assert_eq!(running.event().await.0, "Warning MachineFailed");
    running.events.expect_none(Duration::from_secs(1)).await;
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

#[tokio::test(start_paused = true)]
async fn a_hold_is_told_on_the_machine_too_once_for_each_reason() {
    let mut running = start(Mode::Enforce, &[]);
    let mut failed = machine("m-0", "worker-0");
    failed["status"]["phase"] = json!("Failed");
    running.machine(failed.clone()).await;
    // Two keys, one reason: the Machine is told once.
    for name in ["csr-0", "csr-1"] {
        running.request(&csr(name, "worker-0")).await;
        assert_eq!(running.event().await.0, "Warning MachineFailed");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = told_of_machines(&mut running);
    let [one] = told.as_slice() else {
        panic!("{told:?}");
    };
    let begin = "Warning MachineFailed m-0 CertificateSigningRequest csr-0: ";
    assert!(one.starts_with(begin), "{one}");
    // It is not clear which one is meant, so both are told.
    running.machine(machine("m-1", "worker-0")).await;
    for _ in 0..2 {
        assert_eq!(running.event().await.0, "Warning MachineAmbiguous");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut told = told_of_machines(&mut running);
    told.sort();
    let [first, second] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(first.starts_with("Warning MachineAmbiguous m-0"), "{first}");
    assert!(
        second.starts_with("Warning MachineAmbiguous m-1"),
        "{second}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_warning_beside_an_approval_is_told_on_the_machine_and_superseded_requests_are_not() {
    let mut running = start(Mode::Enforce, &[]);
    let mut older = csr("csr-0", "worker-0");
    let made = Timestamp::now()
        .checked_sub(SignedDuration::from_secs(9))
        .unwrap();
    older["metadata"]["creationTimestamp"] = json!(made);
    running.request(&older).await;
    running.request(&csr("csr-1", "worker-0")).await;
    for _ in 0..2 {
        assert_eq!(running.event().await.0, "Normal MachineNotFound");
    }
    running.machine(machine("m-0", "worker-0")).await;
    running.expect_approval("csr-1").await.answer(&older);
    for _ in 0..2 {
        running.event().await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = told_of_machines(&mut running);
    assert!(
        told.iter()
            .any(|one| one.starts_with("Warning Contested m-0")),
        "{told:?}"
    );
    assert!(
        !told.iter().any(|one| one.contains("Superseded")),
        "{told:?}"
    );
}

/// The object after others have decided it, as the watch brings it.
fn decided(object: &Value, type_: &str, reason: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!("8");
    let condition =
        json!({"type": type_, "status": "True", "reason": reason, "message": "by others"});
    object["status"] = json!({"conditions": [condition]});
    object
}

/// The report of an audit, once it counts so many requests.
async fn report(running: &Running, count: u64) -> Value {
    for _ in 0..100 {
        let report = serde_json::to_value(running.audit.report()).unwrap();
        let sum = |field: &str| report[field].as_u64().unwrap_or(0);
        if [sum("agreements"), sum("differences")].iter().sum::<u64>() >= count {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing is audited: {:?}", running.audit.report());
}

#[tokio::test(start_paused = true)]
async fn an_audit_says_where_others_decided_otherwise() {
    let mut running = start(Mode::Audit, &[Feed::Nodes]);
    // Decided before every watch was complete: nobody knows by which facts.
    running
        .request(&decided(&csr("csr-old", "worker-9"), "Approved", "Loop"))
        .await;
    running.machine(machine("m-0", "worker-0")).await;
    running.change(Change::Synced(Feed::Nodes)).await;
    let expected = csr("csr-0", "worker-0");
    running.request(&expected).await;
    running
        .request(&decided(&expected, "Approved", "Loop"))
        .await;
    // Others were so quick that it was never seen pending.
    running
        .request(&decided(&csr("csr-1", "stranger"), "Approved", "Loop"))
        .await;
    running
        .request(&decided(&csr("csr-2", "stranger"), "Denied", "Person"))
        .await;
    let mut left = csr("csr-3", "worker-0");
    left["spec"]["usages"] = json!(["client auth"]);
    running.request(&left).await;
    running
        .change(Change::RequestGone(RequestUid("csr-3".to_owned())))
        .await;
    let report = report(&running, 4).await;
    assert_eq!(
        (&report["agreements"], &report["differences"]),
        (&json!(1), &json!(3))
    );
    let last = report["last"].as_array().unwrap();
    let names: Vec<&Value> = last.iter().map(|one| &one["csr"]).collect();
    assert_eq!(names, ["csr-1", "csr-2", "csr-3"]);
    assert_eq!(last[0]["rollcall"]["reason"], "MachineNotFound");
    let others = json!({"decision": "approved", "reason": "Loop", "message": "by others"});
    assert_eq!(last[0]["others"], others);
    let others = json!({"decision": "left", "reason": "", "message": ""});
    assert_eq!(
        (&last[2]["others"], &last[2]["rollcall"]["verdict"]),
        (&others, &json!("deny"))
    );
    let text = running.metrics.text().unwrap();
    for labels in [
        "verdict=\"approve\",others=\"approved\",agrees=\"true\"",
        "verdict=\"hold\",others=\"approved\",agrees=\"false\"",
        "verdict=\"hold\",others=\"denied\",agrees=\"false\"",
        "verdict=\"deny\",others=\"left\",agrees=\"false\"",
    ] {
        let counted = format!("rollcall_audit_decisions_total{{{labels}}} 1");
        assert!(text.contains(&counted), "{counted}: {text}");
    }
    running.writes.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn what_would_have_been_approved_first_stands_whatever_others_do_later() {
    let running = start(Mode::Audit, &[]);
    running.machine(machine("m-0", "worker-0")).await;
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    // It is approved only after its Machine is gone.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gone = rollcall_approver_core::MachineUid("m-0".to_owned());
    running.change(Change::MachineGone(gone)).await;
    running
        .request(&decided(&object, "Approved", "Person"))
        .await;
    assert_eq!(report(&running, 1).await["agreements"], 1);
}

#[tokio::test(start_paused = true)]
async fn outside_of_an_audit_nothing_is_compared() {
    let running = start(Mode::Manual, &[]);
    running
        .request(&decided(&csr("csr-0", "stranger"), "Approved", "Loop"))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(running.audit.report(), None);
}

/// Where the Machines of these tests are.
fn usual() -> Scope {
    Scope::new(Source::OpenShift, "openshift-machine-api")
}

/// An engine that reads Machines there, and has read them all.
async fn start_complete(mode: Mode) -> Running {
    let running = start(mode, &[Feed::Machines(usual())]);
    running
        .change(Change::Synced(Feed::Machines(usual())))
        .await;
    running
}

/// What another configuration comes to that differs from the defaults by its mode.
fn in_mode(mode: Mode) -> InForce {
    InForce {
        mode,
        policy: Policy::default(),
        machines: BTreeSet::from([usual()]),
    }
}

impl Running {
    async fn config(&self, config: InForce) {
        self.news
            .send(Input::Config(Box::new(config)))
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_judged_by_another_policy_at_once() {
    let mut running = start_complete(Mode::Enforce).await;
    let mut object = csr("csr-0", "worker-0");
    object["spec"]["username"] = json!("somebody");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Warning RequestorNotAllowed");
    let mut config = in_mode(Mode::Enforce);
    config.policy.bootstrappers = vec![RequestorRule::username("somebody")];
    running.config(config).await;
    running.expect_approval("csr-0").await.answer(&object);
}

#[tokio::test(start_paused = true)]
async fn modes_change_while_requests_wait() {
    let mut running = start_complete(Mode::Audit).await;
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    running.events.expect_none(LONG).await;
    // What was only logged before is told now, and what a person had to decide is decided.
    running.config(in_mode(Mode::Manual)).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(LONG).await;
    running.config(in_mode(Mode::Enforce)).await;
    running.expect_approval("csr-0").await.fail(409, "modified");
    running.config(in_mode(Mode::Audit)).await;
    running.request(&csr("csr-1", "worker-1")).await;
    running.writes.expect_none(LONG).await;
    running.events.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_source_that_is_quick_troubles_nobody_and_one_that_is_not_is_named() {
    let mut running = start_complete(Mode::Enforce).await;
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    let elsewhere = Scope::new(Source::OpenShift, "elsewhere");
    let source = Feed::Machines(elsewhere.clone());
    let mut config = in_mode(Mode::Enforce);
    config.machines.insert(elsewhere);
    running.config(config.clone()).await;
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(START_GRACE / 2).await;
    running.change(Change::Synced(source.clone())).await;
    running.expect_approval("csr-0").await.answer(&object);
    running.request(&approved(&object)).await;
    running.events.expect_none(START_GRACE).await;
    running.config(in_mode(Mode::Enforce)).await;
    running.config(config).await;
    running.request(&csr("csr-1", "worker-1")).await;
    assert_eq!(running.event().await.0, "Warning FactsStale");
    // A source that is taken out again holds nothing up.
    running.config(in_mode(Mode::Enforce)).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
}
