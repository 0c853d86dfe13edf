//! ExpectedMachines: what may be written, and the way of one from `expect` to its end.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Command, Output};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use rollcall_e2e::ControlPlane;
use rollcall_e2e::agent::Host;
use rollcall_e2e::expected::{self, wait_stage, wait_status};
use rollcall_e2e::programs::{Program, apply_component, binary};
use rollcall_e2e::requests::{self, NodeRequest};
use serde_json::{Value, json};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

const CONFIG: &str =
    "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nmachines:\n- expectedMachines: {}\n";

#[tokio::test]
async fn the_api_server_takes_good_records_and_says_what_is_wrong_with_bad_ones() {
    let control_plane = ControlPlane::start().await.unwrap();
    apply_component(&control_plane, "expected-machines")
        .await
        .unwrap();
    let admin = control_plane.admin();
    let good = json!({
        "nodeName": "worker-0.example", "addresses": ["10.0.0.1", "2001:db8::1", "Rack-1.example"],
        "providerID": "metal://rack/1", "joinBy": "2026-12-01T00:00:00Z", "joinKey": "a2V5", "pool": "metal_1",
    });
    expected::create(&admin, "full", &good).await.unwrap();
    expected::create(&admin, "least", &json!({"nodeName": "a"}))
        .await
        .unwrap();

    assert_eq!(
        columns(&admin, "full").await,
        [
            ("Name", "full"),
            ("Node", "worker-0.example"),
            ("Stage", ""),
            ("Expired", ""),
            ("Join By", "2026-12-01T00:00:00Z"),
            ("Provider ID", "metal://rack/1"),
        ]
        .map(|(column, cell)| (column.to_owned(), cell.to_owned()))
    );

    for (spec, word) in bad_specs() {
        let error = expected::create(&admin, "bad", &spec).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(word), "{spec}: {error}");
    }
    check_changes(&admin).await;
}

/// What nobody may write, and a word of what the API server says of it.
fn bad_specs() -> Vec<(Value, &'static str)> {
    let node = |name: &str| json!({"nodeName": name});
    let with = |field: &str, value: Value| json!({"nodeName": "a", field: value});
    let many: Vec<String> = (0..65).map(|number| format!("10.0.0.{number}")).collect();
    vec![
        (json!({}), "nodeName"),
        (node(""), "nodeName"),
        (node("Worker"), "nodeName"),
        (node("worker_0"), "nodeName"),
        (node("worker."), "nodeName"),
        (node(&"a".repeat(254)), "nodeName"),
        (
            with("addresses", json!(["10.0.0.300"])),
            "IP address or a DNS name",
        ),
        (
            with("addresses", json!(["*.example"])),
            "IP address or a DNS name",
        ),
        (with("addresses", json!([""])), "addresses"),
        (with("addresses", json!(["127.0.0.1"])), "loopback"),
        (with("addresses", json!(["::"])), "unspecified"),
        (
            with("addresses", json!(["10.0.0.1", "10.0.0.1"])),
            "Duplicate",
        ),
        (with("addresses", json!(many)), "addresses"),
        (with("providerID", json!("rack-1")), "providerID"),
        (with("joinBy", json!("tomorrow")), "joinBy"),
        (
            with("joinKey", json!("-----BEGIN PUBLIC KEY-----")),
            "joinKey",
        ),
        (with("pool", json!("a b")), "pool"),
    ]
}

async fn check_changes(admin: &Client) {
    for (patch, word) in [
        (
            json!({"nodeName": "worker-1"}),
            "nodeName cannot be changed",
        ),
        (
            json!({"providerID": "metal://rack/2"}),
            "providerID cannot be changed",
        ),
        (json!({"providerID": null}), "providerID cannot be changed"),
        (json!({"joinKey": "b3RoZXI="}), "joinKey cannot be changed"),
    ] {
        let error = change(admin, "full", &patch).await.unwrap_err().to_string();
        assert!(error.contains(word), "{patch}: {error}");
    }
    let later = json!({"joinBy": "2026-12-02T00:00:00Z", "addresses": ["10.0.0.2"]});
    change(admin, "full", &later).await.unwrap();
    change(admin, "least", &json!({"providerID": "metal://rack/3"}))
        .await
        .unwrap();
}

/// What `kubectl get em NAME -o wide` shows, but for the age.
async fn columns(admin: &Client, name: &str) -> Vec<(String, String)> {
    let request = http::Request::get(format!(
        "/apis/rollcall.dev/v1alpha1/expectedmachines/{name}"
    ))
    .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
    .body(Vec::new())
    .unwrap();
    let table: Value = admin.request(request).await.unwrap();
    let texts = |pointer: &str, field: &str| -> Vec<String> {
        let list = table.pointer(pointer).unwrap().as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |item: &Value| text(item.get(field).unwrap_or(item));
        list.iter().map(read).collect()
    };
    let headings = texts("/columnDefinitions", "name");
    let all = headings.into_iter().zip(texts("/rows/0/cells", ""));
    all.filter(|(heading, _)| heading != "Age").collect()
}

async fn change(admin: &Client, name: &str, spec: &Value) -> kube::Result<()> {
    let patch = Patch::Merge(json!({"spec": spec}));
    let records = expected::api(admin);
    records
        .patch(name, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_machine_that_was_expected_joins_and_one_that_is_expected_no_more_renews_nothing() {
    let (control_plane, approver) = start().await;
    let admin = control_plane.admin();

    let said = expect(
        &control_plane,
        &["worker-0", "--address=192.0.2.10", "--join-by=1h"],
    );
    assert!(
        said.contains("worker-0") && said.contains("created"),
        "{said}"
    );
    let status = wait_stage(&admin, "worker-0", "Provisioned", TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        expected::condition(&status, "Approved"),
        Some(("False", "Provisioned"))
    );
    assert_eq!(
        expected::condition(&status, "Expired"),
        Some(("False", "Provisioned"))
    );

    let kubelet = join(&control_plane, "worker-0").await;
    let uid = register(&kubelet, "worker-0").await;
    let status = wait_stage(&admin, "worker-0", "Registered", TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        status.get("nodeRef"),
        Some(&json!({"name": "worker-0", "uid": uid}))
    );
    let addresses = ["192.0.2.10".parse().unwrap()];
    let serving = NodeRequest::serving("worker-0", &["worker-0"], &addresses).unwrap();
    assert_eq!(
        approved(&admin, &kubelet, &serving).await,
        "ServingCertificate"
    );
    wait_stage(&admin, "worker-0", "Serving", TIMEOUT)
        .await
        .unwrap();
    is_ready(&kubelet, "worker-0").await;
    wait_stage(&admin, "worker-0", "Ready", TIMEOUT)
        .await
        .unwrap();
    let renewal = NodeRequest::client("worker-0").unwrap();
    assert_eq!(approved(&admin, &kubelet, &renewal).await, "Renewal");

    expected::delete(&admin, "worker-0").await.unwrap();
    let renewal = NodeRequest::client("worker-0").unwrap();
    let held = renewal.submit(&kubelet).await.unwrap();
    requests::wait_event(&admin, &held, "MachineNotFound", TIMEOUT)
        .await
        .unwrap();
    let request = requests::api(&admin).get(&held).await.unwrap();
    assert!(requests::is_pending(&request), "{request:?}");
    no_trouble(&approver);
}

#[tokio::test]
async fn a_machine_that_did_not_join_in_time_has_expired_and_says_so() {
    let (control_plane, approver) = start().await;
    let admin = control_plane.admin();
    // The API server dates requests by whole seconds.
    let soon = Timestamp::now().as_second().checked_add(3).unwrap();
    let soon = Timestamp::from_second(soon).unwrap();
    let spec = json!({"nodeName": "late", "joinBy": soon.to_string()});
    expected::create(&admin, "late", &spec).await.unwrap();
    wait_expired(&admin, "True").await;

    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let bootstrapper = control_plane.client_from(&bootstrap).await.unwrap();
    let request = NodeRequest::client("late").unwrap();
    let name = request.submit(&bootstrapper).await.unwrap();
    let event = requests::wait_event(&admin, &name, "OutsideJoinWindow", TIMEOUT)
        .await
        .unwrap();
    assert!(
        event.message.clone().unwrap().contains("spec.joinBy"),
        "{event:?}"
    );
    let status = wait_stage(&admin, "late", "Requested", TIMEOUT)
        .await
        .unwrap();
    assert_eq!(
        expected::condition(&status, "Approved"),
        Some(("False", "OutsideJoinWindow"))
    );
    assert_eq!(status.get("request"), Some(&json!(name)));

    // More time, and the same request is approved.
    let later = Timestamp::now()
        .checked_add(SignedDuration::from_hours(1))
        .unwrap();
    change(&admin, "late", &json!({"joinBy": later.to_string()}))
        .await
        .unwrap();
    requests::wait_approved(&admin, &name, TIMEOUT)
        .await
        .unwrap();
    wait_expired(&admin, "False").await;
    no_trouble(&approver);
}

async fn wait_expired(admin: &Client, holds: &str) {
    let what = format!("condition Expired {holds}");
    let status = wait_status(admin, "late", &what, TIMEOUT, |status| {
        expected::condition(status, "Expired").is_some_and(|(status, _)| status == holds)
    });
    status.await.unwrap();
}

#[tokio::test]
async fn many_are_expected_from_a_file_or_none_of_them() {
    let control_plane = ControlPlane::start().await.unwrap();
    apply_component(&control_plane, "expected-machines")
        .await
        .unwrap();
    let admin = control_plane.admin();
    let file = control_plane.dir().join("hosts.csv");
    let path = file.to_str().unwrap();

    // Somebody else has set this one's pool; that is seen before anything is written.
    let other = json!({"nodeName": "worker-1", "pool": "others"});
    expected::create(&admin, "worker-1", &other).await.unwrap();
    let hosts = "name,pool\nworker-0,mine\nworker-1,mine\nworker-2,mine\n";
    std::fs::write(&file, hosts).unwrap();
    let errors = refused(&control_plane, &["--from", path], 1);
    assert!(
        errors.contains("worker-1") && errors.contains(".spec.pool"),
        "{errors}"
    );
    assert_eq!(names(&admin).await, ["worker-1"]);
    let ended = run(&control_plane, &["--from", path, "--keep-going"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(outcomes(&ended.stdout), ["created", "failed", "created"]);

    let hosts = "name,pool\nworker-0,mine\nworker-2,mine\nworker-3,mine\n";
    std::fs::write(&file, hosts).unwrap();
    let said = expect(&control_plane, &["--from", path]);
    assert_eq!(
        outcomes(said.as_bytes()),
        ["unchanged", "unchanged", "created"]
    );

    std::fs::write(
        &file,
        "name,addresses\nworker-4,10.0.0.1\nworker-5,nowhere!\n",
    )
    .unwrap();
    let errors = refused(&control_plane, &["--from", path], 64);
    assert!(errors.contains("hosts.csv:3: addresses"), "{errors}");
    let shown = expect(&control_plane, &["worker-6", "--dry-run"]);
    control_plane.apply(&shown).await.unwrap();
    let all = ["worker-0", "worker-1", "worker-2", "worker-3", "worker-6"];
    assert_eq!(names(&admin).await, all);
}

/// The names of all records.
async fn names(admin: &Client) -> Vec<String> {
    let all = expected::api(admin)
        .list(&ListParams::default())
        .await
        .unwrap();
    all.items.iter().map(ResourceExt::name_any).collect()
}

/// The last column of a table.
fn outcomes(table: &[u8]) -> Vec<String> {
    let table = String::from_utf8(table.to_vec()).unwrap();
    let rows = table.lines().skip(1).filter(|line| !line.starts_with(' '));
    rows.filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect()
}

/// Runs `expect`, which has to end with this code. Returns what it complains of.
fn refused(control_plane: &ControlPlane, arguments: &[&str], code: i32) -> String {
    let ended = run(control_plane, arguments);
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(code), "{errors}");
    errors
}

/// A control plane with the kind, and an approver whose roll it is.
async fn start() -> (ControlPlane, Program) {
    let control_plane = ControlPlane::start().await.unwrap();
    apply_component(&control_plane, "expected-machines")
        .await
        .unwrap();
    let config = control_plane.dir().join("approver.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let approver = Program::approver(&control_plane, &arguments).await.unwrap();
    (control_plane, approver)
}

/// A machine gets its first certificate by node-agent. Returns a client that is its kubelet.
async fn join(control_plane: &ControlPlane, name: &str) -> Client {
    let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
    let host = Host::create(control_plane, name).unwrap();
    let mut agent = host.start(&bootstrap, &[]).unwrap();
    let ended = agent.end(TIMEOUT).await.unwrap();
    assert_eq!(ended.code(), Some(0), "{}", agent.log());
    let admin = control_plane.admin();
    let status = wait_stage(&admin, name, "Issued", TIMEOUT).await.unwrap();
    assert_eq!(
        expected::condition(&status, "Approved"),
        Some(("True", "FirstCertificate"))
    );
    control_plane.client_from(&host.kubeconfig()).await.unwrap()
}

/// Runs `expect` as the administrator.
fn run(control_plane: &ControlPlane, arguments: &[&str]) -> Output {
    Command::new(binary("rollcall-approver").unwrap())
        .arg("expect")
        .args(arguments)
        .arg("--kubeconfig")
        .arg(control_plane.admin_kubeconfig())
        .output()
        .unwrap()
}

/// Runs `expect`, which has to go well. Returns what it says.
fn expect(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    let ended = run(control_plane, arguments);
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{errors}");
    String::from_utf8(ended.stdout).unwrap()
}

/// Registers the Node as its kubelet does.
async fn register(kubelet: &Client, name: &str) -> String {
    let node: Node = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    let nodes: Api<Node> = Api::all(kubelet.clone());
    let node = nodes.create(&PostParams::default(), &node).await.unwrap();
    node.uid().unwrap()
}

/// Says that the Node is ready, as its kubelet does.
async fn is_ready(kubelet: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(kubelet.clone());
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady"});
    let status = json!({"status": {"conditions": [ready]}});
    let params = PatchParams::default();
    let patch = Patch::Strategic(status);
    nodes.patch_status(name, &params, &patch).await.unwrap();
}

/// Submits a request and waits until it is approved. Returns the reason.
async fn approved(admin: &Client, client: &Client, request: &NodeRequest) -> String {
    let name = request.submit(client).await.unwrap();
    let request = requests::wait_approved(admin, &name, TIMEOUT)
        .await
        .unwrap();
    requests::condition(&request, "Approved")
        .unwrap()
        .0
        .to_owned()
}

fn no_trouble(approver: &Program) {
    let log = approver.log();
    for trouble in ["forbidden", "right is missing", "ERROR"] {
        assert!(!log.contains(trouble), "{trouble} in:\n{log}");
    }
}
