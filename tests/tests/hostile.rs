//! What one bootstrap credential, or a pod without any, may do to the approver: names that are no URI, very large requests,
//! half a request over HTTP; and what others approve or refuse.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::api::PostParams;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{Program, apply_component, config_with};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::usage::peak_memory_mib;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many requests of each kind of junk are filed, and how many valid machines ask: small numbers, unless the variable
/// `ROLLCALL_JUNK` says `full`, which is 190 MB in etcd and 1,000 machines.
fn sizes() -> (usize, usize) {
    match std::env::var("ROLLCALL_JUNK").as_deref() {
        Ok("full") => (150, 1000),
        _ => (24, 20),
    }
}

async fn bootstrapper(control_plane: &ControlPlane) -> Client {
    let kubeconfig = control_plane.bootstrap_kubeconfig().await.unwrap();
    control_plane.client_from(&kubeconfig).await.unwrap()
}

async fn expect(control_plane: &ControlPlane, node: &str, ip: &str) {
    let status = MachineStatus::provisioned(node, ip);
    let admin = control_plane.admin();
    machines::create_machine(&admin, node, &status)
        .await
        .unwrap();
}

/// Files a request under a name, whatever the name holds.
async fn file(client: &Client, name: &str, node: &str) {
    let request = NodeRequest::client(node).unwrap().named(name);
    request.submit(client).await.unwrap();
}

/// The request of this name: a field selector takes any.
async fn find(client: &Client, name: &str) -> CertificateSigningRequest {
    let all = requests::api(client)
        .list(&Default::default())
        .await
        .unwrap();
    let mut found = all.items.into_iter();
    found
        .find(|request| request.metadata.name.as_deref() == Some(name))
        .unwrap()
}

async fn until_approved(client: &Client, name: &str) {
    rollcall_e2e::wait::poll(&format!("the approval of {name:?}"), TIMEOUT, || async {
        let request = find(client, name).await;
        let approved = requests::condition(&request, "Approved").is_some();
        anyhow::ensure!(approved, "{request:?}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Names that kube-apiserver takes and that are no path segment as they are.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "zz evil",
        "X?y",
        "X?dryRun=All&x=",
        "X#y",
        "a\nINFO approved request=\"node-csr-GOOD\"",
        "esc\u{1b}[2Jape",
        "\u{202e}gpj.exe",
        "back`tick<>",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("n".repeat(300));
    names
}

#[tokio::test]
async fn a_request_of_any_name_is_decided_itself_and_forges_no_line() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = bootstrapper(&control_plane).await;
    let config = config_with(&control_plane, "bootstrap: {clockSkew: 5m, maxIssues: 1}").unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    // Nobody expects worker-x: its request waits, whoever else is called nearly like it.
    file(&bootstrapper, "X", "worker-x").await;
    for (number, name) in names().iter().enumerate() {
        let node = format!("worker-{number}");
        expect(&control_plane, &node, &format!("192.0.2.{}", number + 1)).await;
        file(&bootstrapper, name, &node).await;
        until_approved(&control_plane.admin(), name).await;
    }
    assert!(requests::is_pending(
        &find(&control_plane.admin(), "X").await
    ));
    let log = approver.log();
    assert!(!log.contains("could not be written"), "{log}");
    let forged = |line: &str| line.trim_start().starts_with("INFO approved");
    assert!(!log.lines().any(forged), "{log}");
    assert!(!log.contains(['\u{1b}', '\u{202e}']), "{log}");
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_cannot_be_written_bears_on_no_other() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = bootstrapper(&control_plane).await;
    let fields = "bootstrap: {clockSkew: 5m, maxIssues: 1}\ndeny: [malformed, profile, superseded]";
    let config = config_with(&control_plane, fields).unwrap();
    let _approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    let admin = control_plane.admin();
    file(&bootstrapper, "good", "worker-0").await;
    // It is newer, and its name is too long for a URI once it is encoded.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    file(
        &bootstrapper,
        &format!("z{}", " ".repeat(30_000)),
        "worker-0",
    )
    .await;
    expect(&control_plane, "worker-0", "192.0.2.1").await;
    until_approved(&admin, "good").await;
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn a_decision_that_is_refused_is_told_and_leaves_the_machine_to_others() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = bootstrapper(&control_plane).await;
    let policy = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refuse}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [certificates.k8s.io]
      apiVersions: [v1]
      operations: [UPDATE]
      resources: [certificatesigningrequests/approval]
  validations:
  - expression: \"object.metadata.name != 'refused' || !has(object.status.conditions) || object.status.conditions.size() == 0\"
    message: not this one
";
    control_plane.apply(policy).await.unwrap();
    let binding = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refuse}
spec: {policyName: refuse, validationActions: [Deny]}
";
    control_plane.apply(binding).await.unwrap();
    let admin = control_plane.admin();
    // The policy counts once the API server has seen it.
    file(&bootstrapper, "refused", "worker-0").await;
    rollcall_e2e::wait::poll("the policy", TIMEOUT, || async {
        let refused = requests::approve(&admin, "refused").await.is_err();
        if !refused {
            requests::api(&admin)
                .delete("refused", &Default::default())
                .await?;
            file(&bootstrapper, "refused", "worker-0").await;
        }
        anyhow::ensure!(refused);
        Ok(())
    })
    .await
    .unwrap();
    let config = config_with(&control_plane, "bootstrap: {clockSkew: 5m, maxIssues: 1}").unwrap();
    let approver = Program::approver(&control_plane, &["--config", &config])
        .await
        .unwrap();
    expect(&control_plane, "worker-0", "192.0.2.1").await;
    let event = requests::wait_event(&admin, "refused", "WriteFailed", TIMEOUT);
    let note = event.await.unwrap().message.unwrap_or_default();
    assert!(note.contains("not this one"), "{note}");
    file(&bootstrapper, "good", "worker-0").await;
    until_approved(&admin, "good").await;
    let log = approver.log();
    assert_eq!(log.matches("could not be written").count(), 1, "{log}");
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn deny_denies_the_request_of_exactly_this_name() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = bootstrapper(&control_plane).await;
    let admin = control_plane.admin();
    file(&bootstrapper, "X", "worker-0").await;
    let kubeconfig = control_plane.admin_kubeconfig();
    let kubeconfig = kubeconfig.to_str().unwrap();
    for (number, name) in ["X?y", "X#y", "X y", "X%3Fy"].into_iter().enumerate() {
        let exists = !name.contains('%');
        if exists {
            file(&bootstrapper, name, "worker-1").await;
        }
        let logs = control_plane.logs_dir().join(format!("deny-{number}"));
        let arguments = [
            "deny",
            name,
            "--reason",
            "stolen",
            "--kubeconfig",
            kubeconfig,
        ];
        let mut deny = Program::start("rollcall-approver", &logs, &arguments).unwrap();
        let ended = deny.end(TIMEOUT).await.unwrap();
        assert_eq!(ended.success(), exists, "{name}: {}", deny.log());
        if exists {
            let request = find(&admin, name).await;
            assert!(requests::condition(&request, "Denied").is_some(), "{name}");
        }
        let victim = find(&admin, "X").await;
        assert!(requests::is_pending(&victim), "{name}: {}", deny.log());
    }
    control_plane.stop().await.unwrap();
}

/// Requests with a megabyte behind the PEM text, and others with large annotations.
fn junk(each: usize) -> Vec<CertificateSigningRequest> {
    let mut junk = Vec::new();
    for number in 0..each {
        let request = NodeRequest::client(&format!("junk-{number}")).unwrap();
        let mut long = request.pem().unwrap().into_bytes();
        long.resize(long.len() + (1 << 20), b'\n');
        junk.push(request.object_with(long));
        let mut large = request.object().unwrap();
        let annotation = ("large".to_owned(), "x".repeat(240_000));
        large.metadata.annotations = Some(BTreeMap::from([annotation]));
        junk.push(large);
    }
    junk
}

#[tokio::test]
async fn junk_of_any_size_fills_no_memory_at_a_start() {
    let (each, valid) = sizes();
    let long = TIMEOUT * 10;
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = &bootstrapper(&control_plane).await;
    let api = &requests::api(bootstrapper);
    futures::stream::iter(junk(each))
        .map(|request| async move { api.create(&PostParams::default(), &request).await })
        .buffer_unordered(8)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .unwrap();
    let approver = Program::approver(&control_plane, &["--metrics-addr", "127.0.0.1:0"])
        .await
        .unwrap();
    approver
        .line(&["every watch is complete"], long)
        .await
        .unwrap();
    let names: Vec<String> = (0..valid)
        .map(|number| format!("worker-{number}"))
        .collect();
    for (number, name) in names.iter().enumerate() {
        let ip = format!("10.1.{}.{}", number / 250, number % 250 + 1);
        expect(&control_plane, name, &ip).await;
        file(bootstrapper, name, name).await;
    }
    for name in &names {
        requests::wait_approved(&control_plane.admin(), name, long)
            .await
            .unwrap();
    }
    let peak = peak_memory_mib(approver.id()).unwrap();
    println!(
        "{} junk requests, {valid} valid machines: peak {peak:.0} MiB",
        2 * each
    );
    // The limit of deploy/base is 256 MiB, and this build is larger than the one that is deployed.
    assert!(peak < 200.0, "{peak} MiB");
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn half_a_request_over_http_keeps_nobody_out() {
    let control_plane = ControlPlane::start().await.unwrap();
    let flags = ["--metrics-addr", "127.0.0.1:0"];
    let approver = Program::approver(&control_plane, &flags).await.unwrap();
    let line = approver.line(&["serving /metrics"], TIMEOUT).await.unwrap();
    let address = line.split("address=").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap().parse().unwrap();
    let mut half = Vec::new();
    for number in 0..600 {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(format!("127.0.0.{}:0", number % 3 + 2).parse().unwrap())
            .unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await.ok();
        half.push(stream);
    }
    approver.served("/healthz").await.unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", approver.id())).unwrap();
    let open = open.count();
    assert!(open < 150, "{open} descriptors");
    let ended = tokio::time::timeout(TIMEOUT, async {
        for stream in &mut half {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        }
    });
    ended.await.expect("half a request ends");
    control_plane.stop().await.unwrap();
}

#[tokio::test]
async fn what_somebody_else_approves_against_policy_is_told() {
    let control_plane = ControlPlane::start().await.unwrap();
    let bootstrapper = bootstrapper(&control_plane).await;
    apply_component(&control_plane, "other-approvers")
        .await
        .unwrap();
    let nodes =
        json!({"kind": "Group", "name": "system:nodes", "apiGroup": "rbac.authorization.k8s.io"});
    let role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
    let rotation = "kubeadm:node-autoapprove-certificate-rotation";
    control_plane
        .bind_cluster_role(rotation, role, &nodes)
        .await
        .unwrap();
    let flags = ["--metrics-addr", "127.0.0.1:0"];
    let approver = Program::approver(&control_plane, &flags).await.unwrap();
    let warning = [
        "WARN",
        "approves every renewal by itself",
        rotation,
        "system:nodes",
    ];
    approver.line(&warning, TIMEOUT).await.unwrap();
    let admin = control_plane.admin();
    file(&bootstrapper, "evil", "worker-0").await;
    let held = requests::wait_event(&admin, "evil", "MachineNotFound", TIMEOUT);
    held.await.unwrap();
    requests::approve(&admin, "evil").await.unwrap();
    let counted = "rollcall_foreign_approvals_total{reason=\"MachineNotFound\"} 1";
    approver.metric(counted, TIMEOUT).await.unwrap();
    let told = ["WARN", "somebody else approved it (ApprovedByTest)"];
    approver.line(&told, TIMEOUT).await.unwrap();
    control_plane.stop().await.unwrap();
}
