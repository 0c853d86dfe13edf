//! Serving certificates of nodes: the dials that the engine requests, and its reports meanwhile.

use rollcall_approver_core::{Authority, Chain, Node, Served};
use serde_json::{Value, json};

use super::tests::{Running, approval, start};
use super::*;
use crate::fixtures::{csr_for, machine};
use crate::kubelet_fixtures::{KubeletAuthority, addresses};

const IPS: [&str; 2] = ["10.0.0.1", "10.0.0.2"];

/// A node that requests one more address than its Machine has.
fn serving(name: &str) -> Value {
    let mut object = csr_for(name, "worker-0", addresses(&IPS));
    object["spec"]["signerName"] = json!("kubernetes.io/kubelet-serving");
    object["spec"]["usages"] = json!(["digital signature", "server auth"]);
    object["spec"]["username"] = json!("system:node:worker-0");
    object["spec"]["groups"] = json!(["system:nodes"]);
    object
}

/// An engine that knows Node, Machine and CA, and has a request.
async fn asked(mode: Mode, ca: &KubeletAuthority) -> Running {
    let running = start(mode, &[]);
    let authority = Authority::from_der(&ca.der()).unwrap();
    let ca = Change::KubeletCa("CA".to_owned(), vec![authority]);
    running.change(ca).await;
    let node = Node::new("n-0", Timestamp::now());
    running
        .change(Change::Node("worker-0".parse().unwrap(), node))
        .await;
    let mut record = machine("m-0", "worker-0");
    record["status"]["addresses"] = json!([{"type": "InternalIP", "address": IPS[0]}]);
    record["status"]["nodeRef"] = json!({"kind": "Node", "name": "worker-0"});
    running.machine(record).await;
    running.request(&serving("csr-0")).await;
    running
}

fn served(dial: Dial, answer: Result<Vec<u8>, &str>) -> Change {
    let answer = answer.map(|der| Chain {
        address: dial.addresses[0],
        certificates: vec![der],
    });
    Change::Served(
        dial.node,
        Served {
            at: Timestamp::now(),
            addresses: dial.addresses,
            answer: answer.map_err(str::to_owned),
        },
    )
}

#[tokio::test(start_paused = true)]
async fn a_node_is_dialled_and_approved_by_what_it_serves_without_an_event_before() {
    let ca = KubeletAuthority::new("ca");
    let mut running = asked(Mode::Enforce, &ca).await;
    let dial = running.wanted.recv().await.unwrap();
    assert_eq!(dial.node.as_str(), "worker-0");
    assert_eq!(
        dial.addresses,
        [IPS[0].parse::<std::net::IpAddr>().unwrap()]
    );
    running.events.expect_none(Duration::from_secs(3)).await;
    let der = ca.issue("worker-0", &IPS).der;
    running.change(served(dial, Ok(der))).await;
    let call = running.writes.expect("PUT", &approval("csr-0")).await;
    let condition = &call.body["status"]["conditions"][0];
    assert_eq!(condition["type"], "Approved");
    assert_eq!(condition["reason"], "ServingRenewal");
    call.answer(&serving("csr-0"));
    assert!(running.wanted.try_recv().is_err(), "it was dialled once");
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_brings_nothing_is_told_and_not_made_again_at_once() {
    let ca = KubeletAuthority::new("ca");
    let mut running = asked(Mode::Manual, &ca).await;
    let dial = running.wanted.recv().await.unwrap();
    running
        .change(served(dial, Err("10.0.0.1:10250: connection refused")))
        .await;
    let (word, note) = running.event().await;
    assert_eq!(word, "Warning NameNotOwned");
    let told = "ServingUnreachable: the node could not be asked what it serves now: 10.0.0.1:10250";
    assert!(note.contains(told), "{note}");
    assert!(running.wanted.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_another_authority_issued_is_told_and_approves_nothing() {
    let ca = KubeletAuthority::new("ca");
    let mut running = asked(Mode::Enforce, &ca).await;
    let dial = running.wanted.recv().await.unwrap();
    let der = KubeletAuthority::new("ca").issue("worker-0", &IPS).der;
    running.change(served(dial, Ok(der))).await;
    let (word, note) = running.event().await;
    assert_eq!(word, "Warning NameNotOwned");
    assert!(
        note.contains("ServingMismatch: what the node serves at 10.0.0.1"),
        "{note}"
    );
    running.writes.expect_none(Duration::from_secs(60)).await;
}
