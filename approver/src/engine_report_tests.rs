//! Reports of decisions: Events on requests and on Machines.

use rollcall_approver_core::{Contested, Policy};
use serde_json::json;

use super::tests::{Running, start};
use super::*;
use crate::fixtures::{csr, machine};

/// All Events on Machines so far, as `type reason name note`.
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

/// Two keys for one name, with a Machine that appears later: the newer one is approved, if the configuration allows it.
async fn contested() -> Running {
    let mut running = start(Mode::Enforce, &[]);
    let mut policy = Policy::default();
    policy.rules.contested = Contested::Newest;
    let config = InForce {
        mode: Mode::Enforce,
        policy,
        machines: BTreeSet::new(),
    };
    let config = Input::Config(Box::new(config));
    running.news.send(config).await.unwrap();
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
    running
}

#[tokio::test(start_paused = true)]
async fn a_warning_beside_an_approval_is_told() {
    let mut running = contested().await;
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
async fn a_hold_is_told_on_the_machine_too_once_for_each_reason() {
    let mut running = start(Mode::Enforce, &[]);
    let mut failed = machine("m-0", "worker-0");
    failed["status"]["phase"] = json!("Failed");
    running.machine(failed.clone()).await;
    // Two keys, one reason: the Machine gets one Event.
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
    // A failed Machine does not compete. If two could be meant, it is not clear which one is: both get an Event.
    let mut good = machine("m-0", "worker-0");
    good["metadata"]["resourceVersion"] = json!("6");
    running.machine(good).await;
    for _ in 0..2 {
        assert_eq!(running.event().await.0, "Warning Contested");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(told_of_machines(&mut running));
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
    let mut running = contested().await;
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
