//! Very many approvals by one credential: their claims are recorded, and after the requests are gone and the approver was
//! restarted no Machine is spent a second time.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and print what they measured"
)]

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use rollcall_e2e::programs::{APPROVER, Program, apply_component};
use rollcall_e2e::setting::Setting;
use rollcall_e2e::{expected, requests, wait};
use serde_json::json;

/// The number of concurrent calls.
const AT_ONE_TIME: usize = 32;
/// The number of Machines for which another key asks after the restart.
const TRIED: usize = 20;
const CONFIG: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\nbootstrap:\n  maxIssues: 1\n  joinWindow: 24h\n\
                      machines:\n- expectedMachines: {}\n";

/// The number of Machines that are spent: few, or `ROLLCALL_APPROVALS`.
fn approvals() -> usize {
    let number = std::env::var("ROLLCALL_APPROVALS").ok();
    number.map_or(200, |number| number.parse().unwrap())
}

/// Far more than all approvals take; reached only on failure.
fn timeout() -> Duration {
    Duration::from_secs(60) + Duration::from_millis(50) * u32::try_from(approvals()).unwrap()
}

fn worker(number: usize) -> String {
    format!("worker-{number}")
}

async fn expect(admin: &Client, number: usize) {
    let spec = json!({"nodeName": worker(number)});
    let name = format!("machine-{number}");
    expected::create(admin, &name, &spec).await.unwrap();
}

/// How many claims are recorded, in how many bytes.
async fn recorded(admin: &Client) -> anyhow::Result<(usize, usize)> {
    let records: Api<ConfigMap> = Api::namespaced(admin.clone(), APPROVER.0);
    let records = records.list(&ListParams::default()).await?.into_iter();
    let is_record = |record: &ConfigMap| {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        name.starts_with("rollcall-claims")
    };
    let entries: Vec<(String, String)> = records
        .filter(is_record)
        .filter_map(|record| record.data)
        .flatten()
        .collect();
    let bytes = entries.iter().map(|(key, value)| key.len() + value.len());
    Ok((entries.len(), bytes.sum()))
}

/// Has every Machine spent and its request deleted, and waits until the claims are recorded.
async fn spend(setting: &Setting, approver: &Program, many: usize) {
    let (admin, timeout) = (&setting.admin, timeout());
    let begin = Instant::now();
    let asked = futures::stream::iter(0..many).map(|number| async move {
        setting.ask(&worker(number)).await;
    });
    asked.buffer_unordered(AT_ONE_TIME).collect::<()>().await;
    let counted = format!("rollcall_approval_seconds_count {many}");
    approver.metric(&counted, timeout).await.unwrap();
    assert_eq!(setting.all_approved().await.len(), many);
    println!("{many} requests approved after {:?}", begin.elapsed());
    // kube-controller-manager deletes approved requests in the same way after an hour.
    requests::api(admin)
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
    let begin = Instant::now();
    wait::poll("the record of all claims", timeout, || async {
        let (claims, bytes) = recorded(admin).await?;
        ensure!(claims >= many, "{claims} of {many} claims in {bytes} bytes");
        println!(
            "{claims} claims recorded after {:?}, {bytes} bytes",
            begin.elapsed()
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_very_many_approvals_and_a_restart_no_machine_is_spent_a_second_time() {
    let many = approvals();
    let setting = &Setting::new().await;
    apply_component(&setting.control_plane, "expected-machines")
        .await
        .unwrap();
    let config = setting.control_plane.dir().join("approver.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let flags = ["--config", config, "--metrics-addr", "127.0.0.1:0"];
    let made = futures::stream::iter(0..many).map(|number| expect(&setting.admin, number));
    made.buffer_unordered(AT_ONE_TIME).collect::<()>().await;

    let first = setting.approver_with("one", &setting.kubeconfig, &flags);
    spend(setting, &first, many).await;

    first.kill();
    let second = setting.approver_again("one", &flags);
    let tried = (0..TRIED).map(|number| number * many / TRIED);
    let held = futures::stream::iter(tried).map(|number| async move {
        let thief = setting.ask(&worker(number)).await;
        println!("{}", setting.held(&thief, "AlreadyIssued").await);
    });
    held.buffer_unordered(AT_ONE_TIME).collect::<()>().await;
    // A Machine that is not spent is approved.
    expect(&setting.admin, many).await;
    let other = setting.ask(&worker(many)).await;
    setting.approved(&[other]).await;
    assert!(!second.log().contains("ERROR"), "{}", second.log());
}
