//! The change to another configuration while requests wait.

use std::collections::BTreeSet;

use rollcall_approver_core::{Feed, Policy, RequestorRule, Scope, Source};
use serde_json::json;

use super::tests::{LONG, Running, approved, start};
use super::*;
use crate::fixtures::{csr, machine};

/// The scope of the Machines of these tests.
fn usual() -> Scope {
    Scope::new(Source::OpenShift, "openshift-machine-api")
}

/// An engine that reads Machines in this scope, and has read them all.
async fn start_complete(mode: Mode) -> Running {
    let running = start(mode, &[Feed::Machines(usual())]);
    running
        .change(Change::Synced(Feed::Machines(usual())))
        .await;
    running
}

/// The effective configuration that differs from the defaults only in its mode.
fn in_mode(mode: Mode) -> InForce {
    InForce {
        mode,
        policy: Policy::default(),
        machines: BTreeSet::from([usual()]),
    }
}

impl Running {
    async fn config(&self, config: InForce) {
        self.news
            .send(Input::Config(Box::new(config)))
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_judged_by_another_policy_at_once() {
    let mut running = start_complete(Mode::Enforce).await;
    let mut object = csr("csr-0", "worker-0");
    object["spec"]["username"] = json!("somebody");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Warning RequestorNotAllowed");
    let mut config = in_mode(Mode::Enforce);
    config.policy.bootstrappers = vec![RequestorRule::username("somebody")];
    running.config(config).await;
    running.expect_approval("csr-0").await.answer(&object);
}

#[tokio::test(start_paused = true)]
async fn modes_change_while_requests_wait() {
    let mut running = start_complete(Mode::Audit).await;
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    running.events.expect_none(LONG).await;
    // Decisions that were only logged before are reported now, and those left to a person are written.
    running.config(in_mode(Mode::Manual)).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(LONG).await;
    running.config(in_mode(Mode::Enforce)).await;
    running.expect_approval("csr-0").await.fail(409, "modified");
    running.config(in_mode(Mode::Audit)).await;
    running.request(&csr("csr-1", "worker-1")).await;
    running.writes.expect_none(LONG).await;
    running.events.expect_none(LONG).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_source_that_is_quick_troubles_nobody_and_one_that_is_not_is_named() {
    let mut running = start_complete(Mode::Enforce).await;
    let object = csr("csr-0", "worker-0");
    running.request(&object).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
    let elsewhere = Scope::new(Source::OpenShift, "elsewhere");
    let source = Feed::Machines(elsewhere.clone());
    let mut config = in_mode(Mode::Enforce);
    config.machines.insert(elsewhere);
    running.config(config.clone()).await;
    running.machine(machine("m-0", "worker-0")).await;
    running.writes.expect_none(START_GRACE / 2).await;
    running.change(Change::Synced(source.clone())).await;
    running.expect_approval("csr-0").await.answer(&object);
    running.request(&approved(&object)).await;
    running.events.expect_none(START_GRACE).await;
    running.config(in_mode(Mode::Enforce)).await;
    running.config(config).await;
    running.request(&csr("csr-1", "worker-1")).await;
    assert_eq!(running.event().await.0, "Warning FactsStale");
    // A source that is removed again delays nothing.
    running.config(in_mode(Mode::Enforce)).await;
    assert_eq!(running.event().await.0, "Normal MachineNotFound");
}
