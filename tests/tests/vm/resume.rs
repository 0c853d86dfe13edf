//! A machine that was off until its certificate had expired comes back by itself.

use std::time::{Duration, Instant};

use rollcall_e2e::agent::issued_keys;
use rollcall_e2e::vm::Seed;

use crate::lab::{BOOT, Lab, SOON};

const NODE: &str = "worker-0";

/// How long the cluster's certificates are valid: long enough for a machine to be switched off in between.
const VALIDITY: Duration = Duration::from_secs(90);

#[tokio::test]
#[ignore = "boots a virtual machine: cargo xtask test --vm"]
async fn a_machine_that_was_off_past_the_end_of_its_certificate_resumes() {
    let lab = Lab::start_with(|options| options.cluster_signing_duration(VALIDITY)).await;
    let mut machine = lab.machine(0, "machine-0");
    lab.expect(&machine, NODE).await;
    let seed = Seed {
        user_data: lab.user_data(&["--agent-flag", "keep-bootstrap=true"], None),
        ..lab.seed(NODE)
    };
    lab.power_on(&mut machine, &seed);
    machine.line(&["done ", "installed"], BOOT).await.unwrap();
    let issued = Instant::now();
    lab.registered(&machine, NODE).await;
    machine.power_off().await.unwrap();
    let before = issued_keys(&lab.admin, NODE).await.unwrap();

    // Kubelet may have renewed until it was switched off.
    tokio::time::sleep(VALIDITY).await;
    println!(
        "off until {:?} after the first certificate",
        issued.elapsed()
    );
    lab.power_on(&mut machine, &seed);
    machine.line(&["identity ", "expired"], BOOT).await.unwrap();
    machine.line(&["done ", "installed"], SOON).await.unwrap();
    let after = issued_keys(&lab.admin, NODE).await.unwrap();
    assert!(after.len() > before.len());
    lab.ready(NODE).await;
}
