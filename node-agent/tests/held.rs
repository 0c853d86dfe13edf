//! The approver's annotations on a held request, and the machine's console output about them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/api.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod api;
#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;
#[path = "support/scene.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod scene;

use std::time::Duration;

use serde_json::{Value, json};

use scene::{ANY, Scene, file};

/// The request with the approver's reason for holding it.
fn held(object: &Value, reason: &str, message: &str) -> Value {
    let mut object = object.clone();
    object["metadata"]["annotations"] =
        json!({"rollcall.dev/reason": reason, "rollcall.dev/message": message});
    object
}

/// The lines about waiting, without the elapsed time.
fn waiting(scene: &Scene) -> Vec<String> {
    let text = scene.machine.text();
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("] waiting "));
    lines.map(|(_, rest)| rest.trim().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_held_request_says_why_once_for_every_change_until_it_is_approved() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let watch = api.expect(ANY).await.open();
            let nobody = held(&object, "MachineNotFound", "no Machine owns worker-0");
            tokio::time::sleep(Duration::from_secs(6)).await;
            watch.send("MODIFIED", &nobody);
            watch.send("MODIFIED", &nobody);
            tokio::time::sleep(Duration::from_secs(3)).await;
            watch.send("MODIFIED", &held(&object, "MachineFailed", ""));
            tokio::time::sleep(Duration::from_secs(1)).await;
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let lines = waiting(&scene);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("is pending until the cluster's approver"));
    assert!(lines[1].ends_with(" is held: MachineNotFound: no Machine owns worker-0"));
    assert!(lines[2].ends_with(" is held: MachineFailed"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn reminders_say_it_too_and_no_longer_when_it_is_no_longer_so() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let watch = api.expect(ANY).await.open();
            watch.send("MODIFIED", &held(&object, "MachineNotFound", "m"));
            tokio::time::sleep(Duration::from_secs(15)).await;
            watch.send("MODIFIED", &object);
            tokio::time::sleep(Duration::from_secs(1)).await;
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let lines = waiting(&scene);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let reminder = " is pending for 10s until the cluster's approver or an administrator approves it; \
                    it is held: MachineNotFound: m";
    assert!(lines[2].ends_with(reminder), "{lines:?}");
    assert!(lines[3].contains("to see why: kubectl describe csr"));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_an_earlier_run_says_at_once_what_it_is_held_for() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let call = api.expect(scene::COLLECTION).await;
            let object = held(&api::stored(&call.body, "7"), "MachineNotFound", "m");
            call.refuse(409, "AlreadyExists", "exists");
            api.expect(ANY).await.list("8", &[&object]);
            let watch = api.expect(ANY).await.open();
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let lines = waiting(&scene);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("is pending") && lines[0].ends_with("it is held: MachineNotFound: m")
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_stands_there_it_is_one_line_of_bounded_length() {
    for (reason, message) in [
        (
            "Lines",
            "a\n[  0.1s] done      all is well\r\u{1b}[2J\u{202e}b",
        ),
        ("Long", &"é".repeat(100_000)),
        (&"R".repeat(100_000), "m"),
        (&"two\nlines".repeat(3), "m"),
    ] {
        let scene = Scene::new();
        let ended = scene
            .play(async |api| {
                let object = file(api).await;
                let watch = api.expect(ANY).await.open();
                watch.send("MODIFIED", &held(&object, reason, message));
                tokio::time::sleep(Duration::from_secs(1)).await;
                watch.send("MODIFIED", &scene.issue(&object));
            })
            .await;
        assert!(ended.is_ok(), "{ended:?}");
        let text = scene.machine.text();
        let line = text
            .lines()
            .find(|line| line.contains(" is held: "))
            .unwrap();
        assert!(
            line.chars().count() < 700,
            "{} characters",
            line.chars().count()
        );
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
        let forged = text.lines().any(|line| line.starts_with("[  0.1s]"));
        assert!(!forged, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_reason_and_other_annotations_say_nothing() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let watch = api.expect(ANY).await.open();
            let mut other = object.clone();
            other["metadata"]["annotations"] = json!({"rollcall.dev/message": "m", "a": "b"});
            watch.send("MODIFIED", &other);
            watch.send("MODIFIED", &held(&object, "", "m"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let lines = waiting(&scene);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains("held"), "{lines:?}");
}
