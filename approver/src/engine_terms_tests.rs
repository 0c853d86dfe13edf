//! The end of the hold on the Lease, however short, and the beginning of each term.

use rollcall_approver_core::{Contested, Policy};
use rollcall_csr::Signer;
use serde_json::{Value, json};

use super::tests::{LONG, Running, approval, approved, start, start_with};
use super::*;
use crate::fixtures::{csr, machine};

const REQUESTS: Feed = Feed::Requests(Signer::KubeApiserverClientKubelet);

/// A hold of ten seconds from now on.
fn hold(term: u64) -> Leadership {
    Leadership::Until(
        Instant::now().checked_add(Duration::from_secs(10)).unwrap(),
        term,
    )
}

/// An engine that leads in this term, which depends on the claims and on the requests.
async fn begin(term: u64) -> Running {
    let mut policy = Policy::default();
    policy.rules.contested = Contested::Newest;
    let running = start_with(policy, Mode::Enforce, &[Feed::Claims, REQUESTS]);
    running.leadership.send_replace(Leadership::None);
    tokio::time::sleep(Duration::from_millis(10)).await;
    running.leadership.send_replace(hold(term));
    running
}

async fn complete(running: &Running, term: u64) {
    running.complete(Feed::Claims, term).await;
    running.complete(REQUESTS, term).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_the_hold_has_run_out_is_approved_when_it_is_renewed() {
    for next in [1, 2] {
        let mut running = begin(1).await;
        complete(&running, 1).await;
        running.machine(machine("m-0", "worker-0")).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        let object = csr("csr-0", "worker-0");
        running.request(&object).await;
        running.writes.expect_none(Duration::from_secs(1)).await;
        // The end of the hold was not reported, only its continuation.
        running.leadership.send_replace(hold(next));
        if next == 2 {
            running.writes.expect_none(Duration::from_secs(1)).await;
            complete(&running, 2).await;
        }
        running.expect_approval("csr-0").await.answer(&object);
    }
}

#[tokio::test(start_paused = true)]
async fn a_term_approves_nothing_before_all_that_it_rests_on_was_read_in_it() {
    let mut running = begin(2).await;
    let long = Instant::now().checked_add(LONG).unwrap();
    running.leadership.send_replace(Leadership::Until(long, 2));
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    running.change(Change::Synced(REQUESTS)).await;
    complete(&running, 1).await;
    running.complete(REQUESTS, 2).await;
    running.writes.expect_none(Duration::from_secs(5)).await;
    // The reason of a longer wait is reported.
    let (word, note) = running.event().await;
    assert_eq!(word, "Warning FactsStale");
    assert!(
        note.contains("the record of claims has not been read"),
        "{note}"
    );
    running.complete(Feed::Claims, 2).await;
    running.expect_approval("csr-0").await;
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_with_the_hold() {
    let mut running = begin(1).await;
    complete(&running, 1).await;
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&csr("csr-0", "worker-0")).await;
    let unanswered = running.expect_approval("csr-0").await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(running.metrics.write_failures.get(), 0);
    running.leadership.send_replace(Leadership::None);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(running.metrics.write_failures.get(), 1);
    drop(unanswered);
    // Its result is unknown: no other key gets the Machine, and no former leader can approve one any more.
    let mut rival = csr("csr-1", "worker-0");
    running.request(&rival).await;
    running.leadership.send_replace(hold(2));
    complete(&running, 2).await;
    expect_mark(&mut running, &mut rival).await;
    running.expect_approval("csr-0").await;
}

/// Asserts that a write only changes the version of a request.
async fn expect_mark(running: &mut Running, object: &mut Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let call = running.writes.expect("PUT", &approval(&name)).await;
    assert_eq!(
        call.body["status"]["conditions"],
        json!([]),
        "{}",
        call.body
    );
    assert_eq!(call.body["metadata"]["resourceVersion"], "7");
    let annotations = call.body["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(
        annotations.keys().collect::<Vec<_>>(),
        ["rollcall.dev/seen-by"]
    );
    object["metadata"]["resourceVersion"] = json!("8");
    call.answer(object);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_approved_only_after_its_older_rivals_were_changed_and_once_in_a_term() {
    let mut running = begin(1).await;
    let mut rival = csr("csr-0", "worker-0");
    running.request(&rival).await;
    let object = csr("csr-1", "worker-0");
    running.request(&object).await;
    complete(&running, 1).await;
    running.machine(machine("m-0", "worker-0")).await;
    expect_mark(&mut running, &mut rival).await;
    let call = running.expect_approval("csr-1").await;
    call.fail(429, "too many requests");
    // The watch brings what this replica wrote itself, and it is not changed a second time.
    running.request(&rival).await;
    running.leadership.send_replace(hold(1));
    running.expect_approval("csr-1").await.answer(&object);
    running.request(&approved(&object)).await;
    // A rival that came later was never seen by a former leader.
    running.leadership.send_replace(Leadership::forever());
    running.request(&csr("csr-2", "worker-1")).await;
    running.request(&csr("csr-3", "worker-1")).await;
    running.machine(machine("m-1", "worker-1")).await;
    let call = running.writes.call().await;
    assert_eq!(call.body["status"]["conditions"][0]["type"], "Approved");
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_a_former_leader_approved_first_keeps_the_machine() {
    let mut running = begin(1).await;
    let rival = csr("csr-0", "worker-0");
    running.request(&rival).await;
    running.request(&csr("csr-1", "worker-0")).await;
    complete(&running, 1).await;
    running.machine(machine("m-0", "worker-0")).await;
    let call = running.writes.expect("PUT", &approval("csr-0")).await;
    call.fail(409, "modified");
    running.request(&approved(&rival)).await;
    running.leadership.send_replace(Leadership::forever());
    running.writes.expect_none(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_waits_is_judged_again_from_time_to_time() {
    let mut running = start(Mode::Enforce, &[]);
    let object = csr("csr-0", "worker-0");
    running.machine(machine("m-0", "worker-0")).await;
    running.request(&object).await;
    // The answer reports that it is gone; nothing wakes it if that is wrong.
    running
        .expect_approval("csr-0")
        .await
        .fail(404, "not found");
    let refused = Instant::now();
    running.expect_approval("csr-0").await.answer(&object);
    assert!(
        refused.elapsed() <= Duration::from_mins(1),
        "{:?}",
        refused.elapsed()
    );
    running.request(&approved(&object)).await;
    running.writes.expect_none(LONG).await;
}
