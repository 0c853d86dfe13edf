//! The main way: a Machine appears, its instance boots, its Node is Ready; it reboots and is Ready again.

use anyhow::Context as _;
use kube::api::ListParams;
use rollcall_e2e::agent::issued_keys;
use rollcall_e2e::requests::NodeRequest;
use rollcall_e2e::vm::VirtualMachine;
use rollcall_e2e::{machines, requests, wait};

use crate::lab::{BOOT, Lab, SOON};
use crate::timeline::{self, Timeline};

const NODE: &str = "worker-0";

#[tokio::test]
#[ignore = "boots a virtual machine: cargo xtask test --vm"]
async fn a_machine_boots_and_becomes_a_ready_node_and_is_ready_again_after_a_reboot() {
    let lab = Lab::start().await;
    let mut machine = lab.machine(0, "machine-0");
    lab.expect(&machine, NODE).await;
    let seed = lab.seed(NODE);
    let mut timeline = Timeline::begin();
    lab.power_on(&mut machine, &seed);

    timeline.follow(&mut machine).await.unwrap();
    lab.registered(&machine, NODE).await;
    timeline.reached("registered");
    assert_kubelet_answers(&lab, &machine).await;
    timeline.reached("serving");
    lab.ready(NODE).await;
    timeline.reached("ready");
    let console = machine.console().unwrap();
    let own_share = timeline::own_share(console).unwrap();
    println!("{timeline}node-agent's own share: {own_share:.1} s");

    let before = request_names(&lab).await;
    power_off_wiped(&lab, &mut machine).await;
    lab.power_on(&mut machine, &seed);
    machine
        .line(&["identity of worker-0 already"], BOOT)
        .await
        .unwrap();
    assert_kubelet_answers(&lab, &machine).await;
    lab.ready(NODE).await;
    assert_eq!(request_names(&lab).await, before);
    // cloud-init has read the user-data again, and kept it again.
    power_off_wiped(&lab, &mut machine).await;

    assert_a_clone_is_another_machine(&lab, &machine).await;
}

/// A copy of the disk boots as another instance: it gets an identity of its own, and nothing of the first one's.
async fn assert_a_clone_is_another_machine(lab: &Lab, original: &VirtualMachine) {
    const CLONE: &str = "worker-1";
    let mut clone =
        VirtualMachine::clone_of(original, &lab.image, &lab.network, 1, "machine-1").unwrap();
    lab.expect(&clone, CLONE).await;
    lab.power_on(&mut clone, &lab.seed(CLONE));
    clone
        .line(&["this disk was copied from instance i-worker-0"], BOOT)
        .await
        .unwrap();
    clone
        .line(
            &["done ", "identity of system:node:worker-1 installed"],
            SOON,
        )
        .await
        .unwrap();
    let first = issued_keys(&lab.admin, NODE).await.unwrap();
    let own = issued_keys(&lab.admin, CLONE).await.unwrap();
    assert_eq!(own.len(), 1);
    assert!(own.iter().all(|key| !first.contains(key)));
    lab.registered(&clone, CLONE).await;
    lab.ready(CLONE).await;
    assert_scale_down_ends_the_identity(lab, &clone, CLONE).await;
}

/// Its Machine is deleted while it runs: it keeps what it has until that expires, and gets nothing new.
async fn assert_scale_down_ends_the_identity(lab: &Lab, machine: &VirtualMachine, node: &str) {
    machines::delete(&lab.admin, machine.name()).await.unwrap();
    let renewal = NodeRequest::client(node).unwrap();
    let user = format!("system:node:{node}");
    let as_node = lab
        .control_plane
        .client_as(&user, &["system:nodes"])
        .await
        .unwrap();
    let name = renewal.submit(&as_node).await.unwrap();
    let (verdict, why) = lab.explained(node).await.unwrap();
    assert_ne!(verdict, "approve", "{why}");
    assert!(why.contains("Machine"), "{why}");
    let request = requests::api(&lab.admin).get(&name).await.unwrap();
    assert!(requests::condition(&request, "Approved").is_none());
}

/// Switches a machine off when cloud-init's last stage is over and its copies of the user-data are gone.
async fn power_off_wiped(lab: &Lab, machine: &mut VirtualMachine) {
    machine
        .line(&["removed ", "in which cloud-init kept user-data"], BOOT)
        .await
        .unwrap();
    machine.power_off().await.unwrap();
    assert_credential_is_gone(lab, machine);
}

/// Neither the token nor what cloud-init makes of it is in any file of the machine.
#[track_caller]
fn assert_credential_is_gone(lab: &Lab, machine: &VirtualMachine) {
    let folders = ["/etc", "/var/lib/cloud", "/var/lib/rollcall"];
    let found = machine.files_with(&folders, &lab.token()).unwrap();
    assert!(found.is_empty(), "{found:?}");
    let record = machine.file("/var/lib/rollcall/identity.json").unwrap();
    assert!(record.unwrap().contains("i-worker-0"));
}

#[tokio::test]
#[ignore = "boots virtual machines: cargo xtask test --vm"]
async fn three_machines_at_once_become_three_nodes() {
    let lab = Lab::start().await;
    let mut pool = Vec::new();
    for index in 0..3 {
        let node = format!("worker-{index}");
        let mut machine = lab.machine(index, &format!("machine-{index}"));
        lab.expect(&machine, &node).await;
        lab.power_on(&mut machine, &lab.seed(&node));
        pool.push((machine, node));
    }
    for (machine, node) in &mut pool {
        machine.line(&["done ", "installed"], BOOT).await.unwrap();
        lab.registered(machine, node).await;
    }
    for (_, node) in &pool {
        lab.ready(node).await;
        assert_eq!(issued_keys(&lab.admin, node).await.unwrap().len(), 1);
    }
}

/// The API server reaches the kubelet by the address in its Node, and trusts its serving certificate.
async fn assert_kubelet_answers(lab: &Lab, machine: &VirtualMachine) {
    let what = format!("the kubelet of {} to answer", machine.name());
    let healthy = wait::poll(&what, BOOT, || async {
        let path = format!("/api/v1/nodes/{NODE}/proxy/healthz");
        let request = http::Request::get(path).body(Vec::new())?;
        lab.admin
            .request_text(request)
            .await
            .with_context(|| format!("the approver says:\n{}", lab.approver_log()))
    });
    assert_eq!(healthy.await.unwrap(), "ok");
}

async fn request_names(lab: &Lab) -> Vec<Option<String>> {
    let all = requests::api(&lab.admin)
        .list(&ListParams::default())
        .await
        .unwrap();
    all.into_iter()
        .map(|request| request.metadata.name)
        .collect()
}
