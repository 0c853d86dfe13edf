//! Very many requests of one credential, and the service of other requestors meanwhile.

use serde_json::{Value, json};

use super::tests::{approval, start};
use super::*;
use crate::fixtures::{Call, csr, machine};

/// Far more than are written at one time.
const MANY: usize = 300;

/// A request that is denied, because a kubelet does not ask for these usages.
fn junk(name: &str, requestor: &str) -> Value {
    let mut object = csr(name, "worker-9");
    object["spec"]["usages"] = json!(["client auth"]);
    object["spec"]["username"] = json!(requestor);
    object["spec"]["groups"] = json!(["system:bootstrappers"]);
    object
}

fn name_of(call: &Call) -> &str {
    let path = call.path.strip_suffix("/approval").unwrap();
    path.rsplit('/').next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_approval_overtakes_every_denial_that_waits() {
    let mut running = start(Mode::Enforce, &[]);
    for number in 0..MANY {
        running
            .request(&junk(&format!("junk-{number}"), "system:bootstrap:aaaaaa"))
            .await;
    }
    let mut under_way = vec![running.writes.expect("PUT", &approval("junk-0")).await];
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    // Denials that were sent already come first; the approval has room although none of them is answered.
    loop {
        let call = running.writes.call().await;
        if name_of(&call) == "csr-0" {
            break;
        }
        under_way.push(call);
        assert!(under_way.len() < MANY, "the approval waits for denials");
    }
    // The number of requests that were decided before depends on timing.
    assert!((1..=16).contains(&under_way.len()), "{}", under_way.len());
}

#[tokio::test(start_paused = true)]
async fn a_denial_of_another_requestor_waits_for_its_turn_only() {
    let mut running = start(Mode::Enforce, &[]);
    for number in 0..MANY {
        running
            .request(&junk(&format!("junk-{number}"), "system:bootstrap:aaaaaa"))
            .await;
    }
    running
        .request(&junk("mistake", "system:bootstrap:bbbbbb"))
        .await;
    let mut denied = 0;
    loop {
        let call = running.writes.call().await;
        if name_of(&call) == "mistake" {
            break;
        }
        denied += 1;
        let object = junk(name_of(&call), "system:bootstrap:aaaaaa");
        call.answer(&object);
        assert!(denied < MANY, "the other requestor waits for all of them");
    }
    assert!(denied <= 32, "{denied} denials of one requestor came first");
}

#[tokio::test(start_paused = true)]
async fn another_requestor_does_not_wait_until_very_many_are_judged() {
    let mut running = start(Mode::Enforce, &[]);
    running.leadership.send_replace(Leadership::default());
    let many = 40 * SLICE;
    let mut held = csr("junk", "worker-9");
    held["spec"]["username"] = json!("system:bootstrap:aaaaaa");
    held["spec"]["groups"] = json!(["system:bootstrappers"]);
    for number in 0..many {
        let name = format!("junk-{number}");
        held["metadata"]["name"] = json!(name);
        held["metadata"]["uid"] = json!(name);
        running.request(&held).await;
    }
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    running.writes.expect_none(Duration::from_secs(1)).await;
    // A new leader decides all waiting requests.
    running.leadership.send_replace(Leadership::forever());
    let _under_way = running.writes.expect("PUT", &approval("csr-0")).await;
    let line = |number: usize| {
        format!(
            "rollcall_decisions_total{{verdict=\"hold\",reason=\"MachineNotFound\"}} {number}\n"
        )
    };
    let before = running.metrics.text().unwrap();
    assert!(!before.contains(&line(many)), "{before}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = running.metrics.text().unwrap();
    assert!(after.contains(&line(many)), "{after}");
}
