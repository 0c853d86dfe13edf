//! Records of two sources of one machine: who may write those of the source that is listed second adds nothing to what the
//! first one says.

use rollcall_e2e::expected;
use rollcall_e2e::machines::{self, MachineStatus};
use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn who_writes_one_source_adds_no_name_to_the_machines_of_another() {
    let site = Site::open("expected-machines").await;
    let status = MachineStatus::provisioned("worker-0", "192.0.2.9");
    machines::create_machine(&site.admin, "worker-0", &status)
        .await
        .unwrap();
    let instance = status.provider_id.unwrap();
    let spec = json!({"nodeName": "vault", "providerID": instance});
    expected::create(&site.admin, "vault", &spec).await.unwrap();

    let sources = "- openshift: {}\n- expectedMachines: {}\n";
    let approver = site.approver(sources, &[]);
    let request = site.ask("vault").await;
    let message = site.wait_held(&request, "MachineNotFound").await;
    assert!(
        message.contains("vouching: first") && message.contains("openshift-machine-api/worker-0"),
        "{message}"
    );
    let own = site.ask("worker-0").await;
    site.wait_issued(&own).await;
    drop(approver);

    // The other way round, the record made by hand is the one that counts.
    let status = MachineStatus::provisioned("worker-1", "192.0.2.10");
    machines::create_machine(&site.admin, "worker-1", &status)
        .await
        .unwrap();
    let spec = json!({"nodeName": "rack-1", "providerID": status.provider_id.unwrap()});
    expected::create(&site.admin, "rack-1", &spec)
        .await
        .unwrap();
    let sources = "- expectedMachines: {}\n- openshift: {}\n";
    let _approver = site.approver(sources, &[]);
    let corrected = site.ask("rack-1").await;
    site.wait_issued(&corrected).await;
    let other = site.ask("worker-1").await;
    site.wait_held(&other, "MachineNotFound").await;
}
