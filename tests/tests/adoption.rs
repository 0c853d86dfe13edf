//! A cluster that ran before Rollcall: its Nodes are adopted, and what they ask for next is decided.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use rollcall_csr::NODES_GROUP;
use rollcall_e2e::expected::{self, wait_stage};
use rollcall_e2e::node::{Network, Node};
use rollcall_e2e::programs::{Program, apply_component, binary};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::serving::PretendedKubelet;
use rollcall_e2e::{CertificateProfile, ControlPlane};
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The Node that a pretended kubelet serves for.
const NAME: &str = "worker-0.example.internal";
/// How many Nodes the cluster has.
const NODES: u8 = 20;

const CONFIG: &str =
    "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nmachines:\n- expectedMachines: {}\n";

/// A kubelet that has been there for long: it has an identity and a Node, and no Machine.
struct Kubelet {
    name: String,
    ip: IpAddr,
    client: Client,
    uid: String,
}

impl Kubelet {
    async fn start(control_plane: &ControlPlane, name: &str, ip: IpAddr) -> Self {
        let user = format!("system:node:{name}");
        let client = control_plane
            .client_as(&user, &[NODES_GROUP])
            .await
            .unwrap();
        let nodes: Api<NodeObject> = Api::all(client.clone());
        let node = json!({
            "metadata": {"name": name}, "spec": {"providerID": format!("metal://{name}")},
            "status": {
                "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        });
        let node = serde_json::from_value(node).unwrap();
        let node = nodes.create(&PostParams::default(), &node).await.unwrap();
        Self {
            name: name.to_owned(),
            ip,
            client,
            uid: node.uid().unwrap(),
        }
    }

    /// Asks for its next certificates, for client and server.
    async fn renews(&self) -> [String; 2] {
        let client = NodeRequest::client(&self.name).unwrap();
        let serving = NodeRequest::serving(&self.name, &[self.name.as_str()], &[self.ip]).unwrap();
        [
            client.submit(&self.client).await.unwrap(),
            serving.submit(&self.client).await.unwrap(),
        ]
    }
}

/// A control plane with the kind, an approver whose roll it is, and the path of its configuration.
async fn start(config: &str) -> (ControlPlane, Program, String) {
    let control_plane = ControlPlane::start().await.unwrap();
    apply_component(&control_plane, "expected-machines")
        .await
        .unwrap();
    let file = control_plane.dir().join("approver.yaml");
    std::fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    let arguments = ["--config", file.as_str()];
    let approver = Program::approver(&control_plane, &arguments).await.unwrap();
    (control_plane, approver, file)
}

fn run(kubeconfig: &Path, config: &str, arguments: &[&str]) -> Output {
    Command::new(binary("rollcall-approver").unwrap())
        .args(["expect", "--from-nodes", "--config", config])
        .args(arguments)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .output()
        .unwrap()
}

/// Runs `expect --from-nodes` as the administrator; it has to end with this code. Returns what it says, and on standard error.
fn adopt(
    control_plane: &ControlPlane,
    config: &str,
    arguments: &[&str],
    code: i32,
) -> (String, String) {
    let ended = run(&control_plane.admin_kubeconfig(), config, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (said, errors) = (text(ended.stdout), text(ended.stderr));
    assert_eq!(ended.status.code(), Some(code), "{said}\n{errors}");
    (said, errors)
}

/// The names of all records, with their versions.
async fn records(admin: &Client) -> Vec<(String, Value)> {
    let all = expected::api(admin)
        .list(&ListParams::default())
        .await
        .unwrap();
    let records = all.items.into_iter();
    records
        .map(|record| {
            (
                record.name_any(),
                record.data.get("spec").cloned().unwrap_or_default(),
            )
        })
        .collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, step by step")]
async fn twenty_nodes_are_adopted_and_each_renews_both_certificates() {
    let (control_plane, approver, config) = start(CONFIG).await;
    let admin = control_plane.admin();
    let names = (0..NODES).map(|number| match number {
        0..3 => (format!("master-{number}"), number),
        _ => (format!("worker-{number}.example"), number),
    });
    let kubelets = names.map(|(name, number)| {
        let control_plane = &control_plane;
        async move {
            let ip = IpAddr::from([192, 0, 2, number.saturating_add(1)]);
            Kubelet::start(control_plane, &name, ip).await
        }
    });
    let kubelets: Vec<Kubelet> = join_all(kubelets).await;

    // Before, both are held, and the reason names the way out.
    let pending = join_all(kubelets.iter().map(Kubelet::renews)).await;
    for (kubelet, asked) in kubelets.iter().zip(&pending) {
        for name in asked {
            let held = requests::wait_event(&admin, name, "MachineNotFound", TIMEOUT).await;
            let message = held.unwrap().message.unwrap_or_default();
            let command = format!("expect --from-nodes --node {}", kubelet.name);
            assert!(message.contains(&command), "{message}");
        }
    }

    // To look, and to be asked where nobody can answer, does nothing.
    let (said, errors) = adopt(&control_plane, &config, &["--dry-run"], 0);
    let shown = said.lines().filter(|line| line.contains("create")).count();
    assert_eq!(shown, usize::from(NODES), "{said}");
    assert!(
        said.contains("its kubelet alone states 192.0.2.1, which is not taken"),
        "{said}"
    );
    assert!(errors.contains("--addresses FILE"), "{errors}");
    let (_, errors) = adopt(&control_plane, &config, &[], 64);
    assert!(errors.contains("--yes"), "{errors}");
    assert_eq!(records(&admin).await, []);
    check_rights(&control_plane, &config);

    let hosts = kubelets
        .iter()
        .map(|kubelet| format!("{},{}\n", kubelet.name, kubelet.ip));
    let file = control_plane.dir().join("hosts.csv");
    std::fs::write(
        &file,
        format!("name,addresses\n{}", hosts.collect::<String>()),
    )
    .unwrap();
    let given = ["--yes", "--addresses", file.to_str().unwrap()];
    let (said, _) = adopt(&control_plane, &config, &given, 0);
    let created = said
        .lines()
        .filter(|line| line.ends_with("created"))
        .count();
    assert_eq!(created, usize::from(NODES), "{said}");

    // What was held is approved, of every node both.
    for asked in &pending {
        for (name, expected) in asked.iter().zip(["Renewal", "ServingCertificate"]) {
            let approved = requests::wait_approved(&admin, name, TIMEOUT)
                .await
                .unwrap();
            let (reason, message) = requests::condition(&approved, "Approved").unwrap();
            assert_eq!(reason, expected, "{message}");
        }
    }
    for kubelet in &kubelets {
        let status = wait_stage(&admin, &kubelet.name, "Ready", TIMEOUT)
            .await
            .unwrap();
        assert_eq!(
            expected::condition(&status, "Approved"),
            Some(("True", "Adopted"))
        );
        let node = json!({"name": kubelet.name, "uid": kubelet.uid});
        assert_eq!(status.get("nodeRef"), Some(&node));
    }

    // Again, nothing is left to be done.
    let before = records(&admin).await;
    let (said, errors) = adopt(&control_plane, &config, &given, 0);
    assert!(
        errors.contains("20 Nodes are bound to Machines already"),
        "{said}{errors}"
    );
    assert_eq!(records(&admin).await, before);

    applied_by_hand(&control_plane, &config).await;
    no_trouble(&approver);
}

/// A record that is printed, and applied by other means, is bound by the approver itself.
async fn applied_by_hand(control_plane: &ControlPlane, config: &str) {
    let admin = control_plane.admin();
    let ip = "192.0.2.99".parse().unwrap();
    let late = Kubelet::start(control_plane, "late", ip).await;
    let (printed, _) = adopt(control_plane, config, &["--dry-run", "-o", "yaml"], 0);
    control_plane.apply(&printed).await.unwrap();
    wait_stage(&admin, "late", "Ready", TIMEOUT).await.unwrap();
    let [renewal, serving] = late.renews().await;
    requests::wait_approved(&admin, &renewal, TIMEOUT)
        .await
        .unwrap();
    let held = requests::wait_event(&admin, &serving, "NameNotOwned", TIMEOUT).await;
    let message = held.unwrap().message.unwrap_or_default();
    assert!(
        message.contains("serving.renewWithoutAddresses"),
        "{message}"
    );
    // A machine that comes under its name gets no first certificate by this record.
    let nodes: Api<NodeObject> = Api::all(admin.clone());
    nodes.delete("late", &Default::default()).await.unwrap();
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let thief = control_plane.client_from(&bootstrap).await.unwrap();
    let request = NodeRequest::client("late")
        .unwrap()
        .submit(&thief)
        .await
        .unwrap();
    let held = requests::wait_event(&admin, &request, "MachineBound", TIMEOUT).await;
    let message = held.unwrap().message.unwrap_or_default();
    assert!(message.contains("OutsideJoinWindow"), "{message}");
    let request = requests::api(&admin).get(&request).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
}

/// Whoever lacks a right is told which, and how to go on.
fn check_rights(control_plane: &ControlPlane, config: &str) {
    let visitor = control_plane.kubeconfig_as("visitor", &["guests"]).unwrap();
    let ended = run(&visitor, config, &["--yes"]);
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{errors}");
    for words in ["expectedmachines", "cannot list", "nothing was done"] {
        assert!(errors.contains(words), "{errors}");
    }
}

// The command is waited for on one thread while the pretended kubelet answers it on another.
#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_node_whose_record_has_no_address_gets_again_what_it_serves_where_a_setting_says_so()
 {
    if let Err(missing) = Node::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let network = Network::create().await.unwrap();
    let ip = network.host_address();
    let (control_plane, approver, config) = start(CONFIG).await;
    let admin = control_plane.admin();
    let client = CertificateProfile::node(NAME);
    let profile = CertificateProfile {
        organizations: client.organizations,
        ..CertificateProfile::server(&client.common_name, &[NAME], &[ip])
    };
    let certificate = control_plane.issue_certificate(&profile).unwrap();
    let server = PretendedKubelet::start(ip, 0, &certificate).await.unwrap();
    let serving = |more: &str| format!("{CONFIG}serving:\n  port: {}\n{more}", server.port());
    // How kubelets are dialled cannot change while the approver runs.
    approver.stop();
    std::fs::write(&config, serving("")).unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    let kubelet = Kubelet::start(&control_plane, NAME, ip).await;

    // The certificate that it serves would say its address; without that, nobody does.
    let (said, _) = adopt(&control_plane, &config, &["--dry-run", "--dial"], 0);
    let vouched = format!("{ip}, from the certificate of the kubelet CA that it serves at {ip}");
    assert!(said.contains(&vouched), "{said}");
    adopt(&control_plane, &config, &["--yes"], 0);
    let [renewal, server_certificate] = kubelet.renews().await;
    requests::wait_approved(&admin, &renewal, TIMEOUT)
        .await
        .unwrap();
    let held = requests::wait_event(&admin, &server_certificate, "NameNotOwned", TIMEOUT).await;
    let message = held.unwrap().message.unwrap_or_default();
    assert!(message.contains("ServingUnreachable"), "{message}");

    std::fs::write(&config, serving("  renewWithoutAddresses: adopted\n")).unwrap();
    let approved = requests::wait_approved(&admin, &server_certificate, TIMEOUT).await;
    let approved = approved.unwrap();
    let (reason, message) = requests::condition(&approved, "Approved").unwrap();
    assert_eq!(reason, "ServingRenewal", "{message}");
    assert!(message.contains("renewWithoutAddresses"), "{message}");
    // A name more than it serves is still more than anybody vouches for.
    let more = NodeRequest::serving(NAME, &[NAME, "more.example"], &[ip]).unwrap();
    let more = more.submit(&kubelet.client).await.unwrap();
    let held = requests::wait_event(&admin, &more, "NameNotOwned", TIMEOUT).await;
    let message = held.unwrap().message.unwrap_or_default();
    assert!(message.contains("ServingMismatch"), "{message}");

    // Nor does it help where the record was not made for the Node.
    let forget = json!({"metadata": {"annotations": {"rollcall.dev/adopted-node": null}}});
    let records = expected::api(&admin);
    let params = PatchParams::default();
    records
        .patch(NAME, &params, &Patch::Merge(forget))
        .await
        .unwrap();
    // A request of the same second could count as the newer one.
    requests::api(&admin)
        .delete(&more, &DeleteParams::default())
        .await
        .unwrap();
    let [_, again] = kubelet.renews().await;
    let held = requests::wait_event(&admin, &again, "NameNotOwned", TIMEOUT).await;
    let message = held.unwrap().message.unwrap_or_default();
    assert!(message.contains("ServingUnreachable"), "{message}");
    no_trouble(&approver);
}

/// Nothing went wrong, and no right that is needed was missing.
fn no_trouble(approver: &Program) {
    let log = approver.log();
    let mut lines = log.lines();
    let trouble = lines.find(|line| line.contains(" ERROR ") || line.contains(" WARN "));
    assert_eq!(trouble, None, "in:\n{log}");
}
