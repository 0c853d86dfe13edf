//! User-data that is wrong, and a network that is not there yet: the console says which, and what can heal does.

use std::time::Duration;

use rollcall_e2e::vm::Seed;

use crate::lab::{BOOT, BOOTSTRAP, Lab, SOON};

#[tokio::test]
#[ignore = "boots virtual machines: cargo xtask test --vm"]
async fn a_machine_without_a_cluster_says_so_and_joins_when_it_is_there_and_one_with_broken_user_data_stops()
 {
    /// How long the network stays away: longer than a connection is tried.
    const AWAY: Duration = Duration::from_secs(60);
    let lab = Lab::start().await;
    let mut patient = lab.machine(0, "machine-0");
    lab.expect(&patient, "worker-0").await;
    lab.control_plane.stop_api_server().await.unwrap();
    patient.unplug(&lab.network).unwrap();
    lab.power_on(&mut patient, &lab.seed("worker-0"));

    let mut broken = lab.machine(1, "machine-1");
    let seed = Seed {
        user_data: lab
            .user_data()
            .file(BOOTSTRAP, "apiVersion: v1\nkind: Config\nclusters: [\n"),
        ..lab.seed("worker-1")
    };
    lab.power_on(&mut broken, &seed);

    let last = broken.line(&["error ", BOOTSTRAP], BOOT).await.unwrap();
    println!("{last}");
    // Exit code 64: systemd does not try again, so there is one such line, however long one waits.
    patient
        .line(&["bootstrap ", "cannot be reached"], BOOT)
        .await
        .unwrap();
    tokio::time::sleep(AWAY).await;
    let console = broken.console().unwrap().text();
    assert_eq!(console.matches(&last).count(), 1, "{console}");

    patient.plug_in(&lab.network).unwrap();
    lab.control_plane.start_api_server().await.unwrap();
    patient
        .line(&["bootstrap ", "answers again after"], SOON)
        .await
        .unwrap();
    patient.line(&["done ", "installed"], SOON).await.unwrap();
    let console = patient.console().unwrap().text();
    let said = console.matches("cannot be reached").count();
    assert!(
        said <= 4,
        "a line for every change, not for every try:\n{console}"
    );
    lab.registered(&patient, "worker-0").await;
}
