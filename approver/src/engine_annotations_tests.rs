//! The annotations of a held request: the times of their writes, their number, and the effect on other parts.

use rollcall_approver_core::MachineUid;
use serde_json::{Value, json};

use super::tests::{Running, approval, approved, start};
use super::*;
use crate::fixtures::{Call, Lines, csr, machine};

const REASON: &str = "rollcall.dev/reason";
const MESSAGE: &str = "rollcall.dev/message";
/// A little less than the time after which a held request is annotated.
const NOT_YET: Duration = Duration::from_millis(4900);
/// Longer than any scheduled check of a waiting request.
const LONG: Duration = Duration::from_secs(3600);

/// A request that is held already, with its Event written.
async fn held(mode: Mode, object: &Value) -> Running {
    let mut running = start(mode, &[]);
    running.request(object).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    running
}

impl Running {
    /// The next write, which has to be that of an annotation, however long that takes.
    async fn annotation(&mut self, name: &str) -> Call {
        let call = tokio::time::timeout(LONG, self.events.next()).await;
        let call = call.expect("an annotation has to be written").unwrap();
        assert_eq!(
            (call.method.as_str(), &*call.path),
            ("PUT", &*approval(name))
        );
        assert_eq!(call.body["status"]["conditions"], json!([]));
        call
    }

    /// Lets the server accept a write: an Event, or an annotation of this object, which the watch then brings. Returns the
    /// reason of the hold after it.
    async fn take(&self, call: Call, object: &mut Value) -> Option<String> {
        if call.method == "PUT" {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap();
            let next = version.parse::<u32>().unwrap().saturating_add(1);
            object["metadata"]["annotations"] = call.body["metadata"]["annotations"].clone();
            object["metadata"]["resourceVersion"] = json!(next.to_string());
            call.answer(object);
            self.request(object).await;
            let reason = &object["metadata"]["annotations"][REASON];
            return Some(reason.as_str().unwrap_or_default().to_owned());
        }
        let body = call.body.clone();
        call.answer(&body);
        None
    }
}

/// A Machine that owns the name and cannot get a certificate.
fn failed_machine() -> Value {
    let mut machine = machine("m-0", "worker-0");
    machine["status"]["phase"] = json!("Failed");
    machine
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stays_held_tells_why_once_and_that_alone_changes_nothing() {
    let mut object = csr("csr-0", "worker-0");
    // The annotations set by its creator are only text.
    object["metadata"]["annotations"] =
        json!({REASON: "FirstCertificate", MESSAGE: "all is well", "kept": "yes"});
    let mut running = held(Mode::Enforce, &object).await;
    running.events.expect_none(NOT_YET).await;
    let call = running.annotation("csr-0").await;
    assert_eq!(call.body["metadata"]["resourceVersion"], "7");
    let annotations = &call.body["metadata"]["annotations"];
    assert_eq!(annotations[REASON], "MachineNotFound");
    let message = annotations[MESSAGE].as_str().unwrap();
    let expected = "no Machine owns the node name worker-0";
    assert!(message.contains(expected), "{message}");
    assert_eq!(annotations["kept"], "yes");
    running.take(call, &mut object).await;
    running.events.expect_none(LONG).await;
    running.writes.expect_none(Duration::from_secs(1)).await;
    let text = running.metrics.text().unwrap();
    let counted = "rollcall_decisions_total{verdict=\"hold\",reason=\"MachineNotFound\"} 1\n";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_write_that_decides_takes_away_what_a_request_was_held_for() {
    let mut object = csr("csr-0", "worker-0");
    object["metadata"]["annotations"] = json!({"kept": "yes"});
    let mut running = held(Mode::Enforce, &object).await;
    let call = running.annotation("csr-0").await;
    running.take(call, &mut object).await;
    running.machine(machine("m-0", "worker-0")).await;
    let call = running.expect_approval("csr-0").await;
    assert_eq!(call.body["metadata"]["annotations"], json!({"kept": "yes"}));
    assert_eq!(call.body["metadata"]["resourceVersion"], "8");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_approved_soon_costs_no_other_write() {
    let object = csr("csr-0", "worker-0");
    let mut running = held(Mode::Enforce, &object).await;
    running.events.expect_none(NOT_YET).await;
    running.machine(machine("m-0", "worker-0")).await;
    let call = running.expect_approval("csr-0").await;
    running.events.expect_none(Duration::from_secs(1)).await;
    call.answer(&object);
    running.request(&approved(&object)).await;
    running.events.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_comes_and_goes_is_written_ever_more_slowly_and_the_last_one_stays() {
    let mut object = csr("csr-0", "worker-0");
    let mut running = held(Mode::Enforce, &object).await;
    let gone = || Change::MachineGone(MachineUid("m-0".to_owned()));
    let mut written = Vec::new();
    for second in 0..1000 {
        if second % 2 == 0 {
            running.machine(failed_machine()).await;
        } else {
            running.change(gone()).await;
        }
        let pause = Instant::now() + Duration::from_secs(1);
        while let Ok(Some(call)) = tokio::time::timeout_at(pause, running.events.next()).await {
            written.extend(running.take(call, &mut object).await);
        }
    }
    assert!((2..=6).contains(&written.len()), "{written:?}");
    running.machine(failed_machine()).await;
    while let Ok(Some(call)) = tokio::time::timeout(LONG, running.events.next()).await {
        written.extend(running.take(call, &mut object).await);
    }
    assert_eq!(object["metadata"]["annotations"][REASON], "MachineFailed");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_by_an_earlier_leader_is_not_written_again() {
    let mut object = csr("csr-0", "worker-0");
    let mut earlier = held(Mode::Enforce, &object).await;
    let call = earlier.annotation("csr-0").await;
    earlier.take(call, &mut object).await;
    let mut next = held(Mode::Enforce, &object).await;
    next.events.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_told_once_and_not_tried_again_before_long() {
    let lines = Lines::default();
    let _guard = lines.subscribe();
    let mut object = csr("csr-0", "worker-0");
    let mut running = held(Mode::Enforce, &object).await;
    for pause in [15, 60, 240] {
        running.annotation("csr-0").await.fail(403, "forbidden");
        running.events.expect_none(Duration::from_secs(pause)).await;
    }
    // A change by another client is not an error.
    running.annotation("csr-0").await.fail(409, "modified");
    object["metadata"]["resourceVersion"] = json!("9");
    object["metadata"]["labels"] = json!({"seen": "yes"});
    running.request(&object).await;
    running.events.expect_none(Duration::from_secs(240)).await;
    let call = running.annotation("csr-0").await;
    assert_eq!(call.body["metadata"]["resourceVersion"], "9");
    assert_eq!(call.body["metadata"]["labels"]["seen"], "yes");
    running.take(call, &mut object).await;
    running.events.expect_none(LONG).await;
    let text = lines.text();
    let told = text.matches("its machine cannot show it").count();
    assert_eq!(told, 1, "{text}");
    assert!(!text.contains("modified"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_has_no_request_tell_anything() {
    let mut running = held(Mode::Enforce, &csr("csr-0", "worker-0")).await;
    running.leadership.send_replace(Leadership::default());
    running.events.expect_none(LONG).await;
    // If no other request came in its place, it does so when it leads again.
    running.leadership.send_replace(Leadership::forever());
    running.annotation("csr-0").await;
}

#[tokio::test(start_paused = true)]
async fn in_manual_mode_it_is_told_too_until_only_a_person_is_missing() {
    let mut object = csr("csr-0", "worker-0");
    let mut running = held(Mode::Manual, &object).await;
    let call = running.annotation("csr-0").await;
    let reason = running.take(call, &mut object).await;
    assert_eq!(reason.as_deref(), Some("MachineNotFound"));
    running.machine(machine("m-0", "worker-0")).await;
    let call = running.annotation("csr-0").await;
    let reason = running.take(call, &mut object).await;
    assert_eq!(reason.as_deref(), Some(""));
    running.events.expect_none(LONG).await;
    running.writes.expect_none(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_left_to_others_is_never_touched() {
    let mut object = csr("csr-0", "worker-0");
    object["spec"]["username"] = json!("somebody");
    object["metadata"]["annotations"] = json!({REASON: "MachineNotFound"});
    let mut running = start(Mode::Enforce, &[]);
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Warning RequestorNotAllowed");
    running.events.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn very_many_held_requests_of_one_requestor_cost_few_writes_and_hold_up_no_other() {
    const MANY: usize = 1000;
    let mut running = start(Mode::Enforce, &[]);
    let mut junk = csr("junk", "worker-9");
    junk["spec"]["username"] = json!("system:bootstrap:aaaaaa");
    junk["spec"]["groups"] = json!(["system:bootstrappers"]);
    for number in 0..MANY {
        let name = format!("junk-{number}");
        junk["metadata"]["name"] = json!(name);
        junk["metadata"]["uid"] = json!(name);
        running.request(&junk).await;
    }
    let honest = csr("csr-0", "worker-0");
    running.request(&honest).await;
    let mut annotated = Vec::new();
    while let Ok(Some(call)) = tokio::time::timeout(LONG / 6, running.events.next()).await {
        let name = call.body["metadata"]["name"].as_str().unwrap().to_owned();
        let mut object = if name == "csr-0" { &honest } else { &junk }.clone();
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(name);
        if running.take(call, &mut object).await.is_some() {
            annotated.push(name);
        }
    }
    let place = annotated.iter().position(|name| name == "csr-0");
    assert!(place.unwrap() < 10, "{place:?}");
    assert!(annotated.len() < MANY / 2, "{}", annotated.len());
}
