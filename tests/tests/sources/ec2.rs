//! Karpenter's NodeClaims on a pretended EC2: what an instance is called, nobody but EC2 says.

use std::process::Output;

use rollcall_e2e::moto::Moto;
use rollcall_e2e::programs::binary;
use rollcall_e2e::published::KARPENTER_NODE_CLAIMS;
use serde_json::Value;

use crate::TIMEOUT;
use crate::site::{NodeClaims, Site, launched, registered};

const SOURCE: &str = "- karpenter: {ec2: {}}\n";

/// A site with NodeClaims, and an AWS.
async fn scene() -> (Site, NodeClaims, Moto) {
    let site = Site::open("karpenter").await;
    let definition = KARPENTER_NODE_CLAIMS.text().unwrap();
    site.control_plane.apply(&definition).await.unwrap();
    let claims = NodeClaims::of(&site.admin);
    let moto = Moto::start(&site.control_plane).await.unwrap();
    (site, claims, moto)
}

/// A NodeClaim whose instance is known.
async fn claim(claims: &NodeClaims, name: &str, instance: &str) {
    claims.create(name).await;
    let status = launched(Some(&Moto::provider_id(instance)));
    claims.set_status(name, &status).await;
}

#[tokio::test]
async fn a_node_claim_lets_in_who_is_called_as_ec2_calls_its_instance() {
    if let Err(missing) = Moto::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let (site, claims, moto) = scene().await;
    let approver = site.approver_with(SOURCE, &[], &moto.environment());
    // No instance is known yet.
    let (instance, name) = moto.launch().await.unwrap();
    claims.create("default-a").await;
    claims.set_status("default-a", &launched(None)).await;
    let request = site.ask(&name).await;
    site.wait_held(&request, "MachineNotFound").await;
    let status = launched(Some(&Moto::provider_id(&instance)));
    claims.set_status("default-a", &status).await;
    site.wait_issued(&request).await;
    claims.set_status("default-a", &registered(&name)).await;
    let again = site.ask(&name).await;
    site.wait_held(&again, "MachineBound").await;

    // The resource name, as where subnets name hosts after instances.
    let (instance, _) = moto.launch().await.unwrap();
    claim(&claims, "default-b", &instance).await;
    let request = site
        .ask(&format!("{instance}.eu-west-1.compute.internal"))
        .await;
    site.wait_issued(&request).await;
    let log = approver.log();
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn nobody_comes_in_whose_instance_ec2_does_not_know_or_has_terminated_or_while_it_is_down() {
    if let Err(missing) = Moto::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let (site, claims, moto) = scene().await;
    let flags = ["--metrics-addr", "127.0.0.1:0"];
    let approver = site.approver_with(SOURCE, &flags, &moto.environment());
    // One that EC2 has never heard of, and one that has been terminated, are called nothing.
    claim(&claims, "default-c", "i-0123456789abcdef0").await;
    let (instance, name) = moto.launch().await.unwrap();
    moto.terminate(&instance).await.unwrap();
    claim(&claims, "default-d", &instance).await;
    let request = site.ask(&name).await;
    site.wait_held(&request, "MachineNotFound").await;
    approver
        .line(&["WARN", "i-0123456789abcdef0 of default-c"], TIMEOUT)
        .await
        .unwrap();
    let message = site.wait_held(&request, "MachineNotFound").await;
    assert!(message.contains(&name), "{message}");

    // While EC2 is down, that is said, and nobody new gets in.
    let (instance, name) = moto.launch().await.unwrap();
    moto.kill();
    claim(&claims, "default-e", &instance).await;
    let request = site.ask(&name).await;
    let message = site.wait_held(&request, "FactsStale").await;
    assert!(
        message.contains("the look-up of instances (karpenter)"),
        "{message}"
    );
    approver
        .line(
            &["ERROR", "cannot be looked up", "cannot be reached"],
            TIMEOUT,
        )
        .await
        .unwrap();
    let metrics = approver.served("/metrics").await.unwrap();
    let counted = metrics.lines();
    let counted: Vec<&str> = counted
        .filter_map(|line| line.strip_prefix("rollcall_look_up_failures_total "))
        .collect();
    assert!(counted.len() == 1 && counted != ["0"], "{metrics}");
}

/// What `explain` says of the only request.
async fn explain(site: &Site, environment: &[(&str, &str)]) -> (Value, String) {
    let config = site.config(SOURCE);
    let mut command = tokio::process::Command::new(binary("rollcall-approver").unwrap());
    command
        .args(["explain", "-o", "json", "--config", &config, "--kubeconfig"])
        .arg(site.control_plane.admin_kubeconfig())
        .env_clear()
        .envs(environment.iter().copied());
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{told}");
    let mut answers: Value = serde_json::from_slice(&stdout).unwrap();
    (answers[0].take(), told)
}

#[tokio::test]
async fn commands_ask_ec2_too_and_say_so_when_they_cannot() {
    if let Err(missing) = Moto::prerequisites() {
        eprintln!("skipped: {missing}");
        return;
    }
    let (site, claims, moto) = scene().await;
    let (instance, name) = moto.launch().await.unwrap();
    claim(&claims, "default-a", &instance).await;
    site.ask(&name).await;
    let (answer, told) = explain(&site, &moto.environment()).await;
    assert_eq!(answer["verdict"], "approve", "{answer} {told}");
    assert_eq!(answer["machine"]["name"], "default-a", "{answer}");
    assert!(!told.contains("instances"), "{told}");

    // Somebody who has no credentials, and is on no instance that has a role.
    let (answer, told) = explain(
        &site,
        &[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ],
    )
    .await;
    assert_eq!(answer["verdict"], "hold", "{answer}");
    assert_eq!(answer["reason"], "FactsStale", "{answer}");
    assert!(
        told.contains("instances (karpenter) cannot be looked up from here"),
        "{told}"
    );
}
