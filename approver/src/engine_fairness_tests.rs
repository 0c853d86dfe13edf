//! Very many requests of one credential, and who is served meanwhile.

use serde_json::{Value, json};

use super::tests::{approval, start};
use super::*;
use crate::fixtures::{Call, csr, machine};

/// Far more than are written at one time.
const MANY: usize = 300;

/// A request that is denied, since no kubelet asks for these usages.
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
    // Denials that were handed on already come first; the approval has room although none of them is answered.
    loop {
        let call = running.writes.call().await;
        if name_of(&call) == "csr-0" {
            break;
        }
        under_way.push(call);
        assert!(under_way.len() < MANY, "the approval waits for denials");
    }
    assert_eq!(under_way.len(), 16);
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
