//! User-data that is wrong, and a network that is not there yet: the console says which, and what can heal does.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};

use rollcall_e2e::vm::{CloudConfig, Seed, VirtualMachine};
use rollcall_e2e::{Authority, Credentials};
use serde_json::json;

use crate::lab::{self, BOOT, BOOTSTRAP, Lab, SOON};

/// A time that has passed by every clock.
const LONG_AGO: &str = "2001-01-01T00:00:00Z";

/// Puts one kubeconfig after the other where node-agent looks for it, as soon as what is wrong with the one before is in
/// the unit's status, and prints that status.
const CARE: &str = r#"
    agent=rollcall-node-agent.service
    status() { until systemctl show --property=StatusText $agent | grep "$1"; do sleep 1; done; }
    give() { cp "$1" /etc/kubernetes/bootstrap-kubelet.conf; systemctl restart --no-block $agent; }
    until systemctl is-failed --quiet $agent; do sleep 1; done
    status /etc/kubernetes/bootstrap-kubelet.conf
    give /root/other-ca
    status 'is not signed by'
    give /root/ended
    status '401'
"#;

#[tokio::test]
#[ignore = "boots virtual machines: cargo xtask test --vm"]
async fn a_machine_without_a_network_and_one_with_broken_user_data_say_so_and_join_in_the_end() {
    let lab = Lab::start().await;
    let mut patient = lab.machine(0, "machine-0");
    lab.expect(&patient, "worker-0").await;
    patient.unplug(&lab.network).unwrap();
    lab.power_on(&mut patient, &lab.seed("worker-0"));
    let mut broken = lab.machine(1, "machine-1");
    lab.expect(&broken, "worker-1").await;
    let ended = broken_in_three_ways(&lab, &mut broken).await;

    let causes = assert_each_cause_is_named(&mut broken).await;
    println!("{}", causes.join("\n"));
    lab.control_plane.stop_api_server().await.unwrap();
    assert_patience(&lab, &mut patient).await;
    // An operator gives the token another life: the machine has not given up.
    make_again(&lab, ended).await;
    broken.line(&["done ", "installed"], BOOT).await.unwrap();
    lab.registered(&broken, "worker-1").await;
    lab.registered(&patient, "worker-0").await;
}

/// Switches a machine on whose user-data has a kubeconfig that is none, and brings one with another CA and one whose
/// token has ended for later. Returns that token.
async fn broken_in_three_ways(lab: &Lab, machine: &mut VirtualMachine) -> Secret {
    let ended_file = lab::bootstrap_kubeconfig(&lab.control_plane, "ended")
        .await
        .unwrap();
    let token = lab::token(&ended_file);
    let (id, _) = token.split_once('.').unwrap();
    let ended = end_token(lab, id).await;
    let other_ca = lab
        .control_plane
        .custom_kubeconfig(
            "other-ca",
            &lab.control_plane.machine_server(),
            Authority::generate("kubernetes").unwrap().certificate_pem(),
            &Credentials::Token(lab.token()),
        )
        .unwrap();
    let read = |path| std::fs::read(path).unwrap();
    let own = CloudConfig::default()
        .file(BOOTSTRAP, "apiVersion: v1\nkind: Config\nclusters: [\n")
        .file("/etc/kubernetes/pki/ca.crt", lab.control_plane.ca_pem())
        .file("/root/ended", read(ended_file))
        .file("/root/other-ca", read(other_ca))
        .script(CARE);
    let seed = Seed {
        user_data: own.text(),
        ..lab.seed("worker-1")
    };
    lab.power_on(machine, &seed);
    ended
}

/// On the console, and in the unit's status. Returns the lines.
async fn assert_each_cause_is_named(machine: &mut VirtualMachine) -> Vec<String> {
    let last = machine.line(&["error ", BOOTSTRAP], BOOT).await.unwrap();
    let mut lines = vec![last.clone()];
    // Exit code 64: systemd does not try again, so there is one such line until there is another kubeconfig.
    for cause in ["is not signed by the CA in", "401 Unauthorized"] {
        lines.push(machine.line(&["bootstrap ", cause], BOOT).await.unwrap());
        lines.push(machine.line(&["StatusText=", cause], SOON).await.unwrap());
    }
    let console = machine.console().unwrap();
    let status = console.find(&["StatusText=error: ", BOOTSTRAP]);
    lines.push(status.unwrap());
    let all = console.text();
    assert_eq!(all.matches(&last).count(), 1, "{all}");
    lines
}

/// A machine without a network, and then without a cluster, joins when both are there.
async fn assert_patience(lab: &Lab, machine: &mut VirtualMachine) {
    /// How long the network stays away: longer than a connection is tried.
    const AWAY: Duration = Duration::from_secs(60);
    machine
        .line(&["bootstrap ", "cannot be reached"], BOOT)
        .await
        .unwrap();
    tokio::time::sleep(AWAY).await;
    machine.plug_in(&lab.network).unwrap();
    lab.control_plane.start_api_server().await.unwrap();
    machine
        .line(&["bootstrap ", "answers again after"], SOON)
        .await
        .unwrap();
    machine.line(&["done ", "installed"], SOON).await.unwrap();
    let console = machine.console().unwrap().text();
    let said = console.matches("cannot be reached").count();
    assert!(
        said <= 4,
        "a line for every change, not for every try:\n{console}"
    );
}

/// Ends a bootstrap token, which kube-controller-manager then deletes. Returns it as it was.
async fn end_token(lab: &Lab, id: &str) -> Secret {
    let name = format!("bootstrap-token-{id}");
    let before = tokens(lab).get(&name).await.unwrap();
    let patch = json!({"stringData": {"expiration": LONG_AGO}});
    tokens(lab)
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    before
}

/// Makes a token again that had ended.
async fn make_again(lab: &Lab, token: Secret) {
    let token = Secret {
        metadata: ObjectMeta {
            name: token.metadata.name,
            ..ObjectMeta::default()
        },
        ..token
    };
    tokens(lab)
        .create(&PostParams::default(), &token)
        .await
        .unwrap();
}

fn tokens(lab: &Lab) -> Api<Secret> {
    Api::namespaced(lab.admin.clone(), "kube-system")
}
