//! The findings of an audit from the decisions of others.

use rollcall_approver_core::Feed;
use serde_json::{Value, json};

use super::tests::{LONG, Running, start};
use super::*;
use crate::fixtures::{csr, machine};

/// The object after others have decided it, as the watch brings it.
fn decided(object: &Value, type_: &str, reason: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!("8");
    let condition =
        json!({"type": type_, "status": "True", "reason": reason, "message": "by others"});
    object["status"] = json!({"conditions": [condition]});
    object
}

/// The report of an audit, once it counts this number of requests.
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
    // Decided before every watch was complete: the facts of that time are unknown.
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
