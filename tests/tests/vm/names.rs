//! Whose name it is: a machine that nobody expects yet waits, and one that wants another's name gets nothing.

use rollcall_e2e::agent::issued_keys;
use rollcall_e2e::vm::{CloudConfig, Seed};

use crate::lab::{BOOT, Lab, SOON};

const NODE: &str = "worker-0";

/// Prints the status of the unit as soon as it says why it waits.
const SHOW_STATUS: &str = "until systemctl show --property=StatusText rollcall-node-agent.service | \
    grep 'is held: '; do sleep 1; done";

#[tokio::test]
#[ignore = "boots virtual machines: cargo xtask test --vm"]
async fn a_machine_waits_for_its_record_and_another_with_its_credential_and_name_gets_nothing() {
    let lab = Lab::start().await;
    let mut machine = lab.machine(0, "machine-0");
    let seed = Seed {
        user_data: lab.user_data(&[], Some(&CloudConfig::default().script(SHOW_STATUS))),
        ..lab.seed(NODE)
    };
    lab.power_on(&mut machine, &seed);
    let waiting = machine
        .line(&["waiting ", "is pending"], BOOT)
        .await
        .unwrap();
    assert!(
        waiting.contains("until the cluster's approver"),
        "{waiting}"
    );
    let (verdict, why) = lab.explained(NODE).await.unwrap();
    assert_eq!(verdict, "hold", "{why}");
    assert!(why.contains("MachineNotFound"), "{why}");

    // So does the machine itself: on its console, and in what the service manager shows.
    for place in ["] waiting ", "StatusText=waiting: "] {
        let line = machine
            .line(&[place, "is held: MachineNotFound: "], SOON)
            .await
            .unwrap();
        println!("{line}");
    }

    lab.expect(&machine, NODE).await;
    machine
        .line(
            &["done ", "identity of system:node:worker-0 installed"],
            SOON,
        )
        .await
        .unwrap();
    lab.registered(&machine, NODE).await;
    let first = issued_keys(&lab.admin, NODE).await.unwrap();
    assert_eq!(first.len(), 1);

    // The same user-data, read by somebody else on the network.
    let mut thief = lab.machine(1, "thief");
    lab.power_on(&mut thief, &seed);
    let held = thief
        .line(&["] waiting ", "is held: NodeExists: "], BOOT)
        .await
        .unwrap();
    let (verdict, why) = lab.explained(NODE).await.unwrap();
    println!("{held}\n{verdict}: {why}");
    assert_eq!(verdict, "hold", "{why}");
    assert!(why.contains("NodeExists"), "{why}");
    // The reason may tell of the first one's approval.
    let approved = thief
        .console()
        .unwrap()
        .find(&["] request ", "was approved"]);
    assert_eq!(approved, None);
    assert_eq!(issued_keys(&lab.admin, NODE).await.unwrap(), first);
    lab.ready(NODE).await;
}
