//! Checks of the issued certificate: the agent installs the right one and no other.
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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_node_agent::{AgentError, Exit};
use serde_json::{Value, json};

use api::{Api, stored};
use authority::{Authority, node_params};
use scene::{ANY, COLLECTION, Scene, file};

const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews*";

#[tokio::test(start_paused = true)]
async fn a_certificate_with_anything_wrong_is_named_and_not_installed() {
    type Change = fn(&mut rcgen::CertificateParams);
    let cases: [(Change, &str); 6] = [
        (
            |params| *params = node_params("worker-1"),
            "system:node:worker-1",
        ),
        (
            |params| {
                params
                    .distinguished_name
                    .push(rcgen::DnType::OrganizationalUnitName, "x")
            },
            "instead of exactly O=system:nodes",
        ),
        (
            |params| params.extended_key_usages.clear(),
            "no extended key usage client auth",
        ),
        (
            |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth],
            "no extended key usage client auth",
        ),
        (
            |params| params.not_before = rcgen::date_time_ymd(2026, 11, 24),
            "set it right",
        ),
        (
            |params| params.not_after = rcgen::date_time_ymd(2026, 1, 1),
            "expired at 2026-01-01",
        ),
    ];
    for (change, words) in cases {
        let scene = Scene::new();
        let ended = scene
            .play(async |api| {
                let object = file(api).await;
                let issued = scene.issue_changed(&object, change);
                api.expect(ANY).await.open().send("MODIFIED", &issued);
            })
            .await
            .unwrap_err();
        assert_eq!(ended.exit(), Exit::Failure);
        assert!(
            ended.to_string().contains(words),
            "{words} is not in: {ended}"
        );
        scene.assert_nothing_installed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_for_another_key_or_none_at_all_is_not_installed() {
    let scene = Scene::new();
    let other = scene.authority.certificate(&node_params("worker-0")).0;
    for (certificate, words) in [
        (other.as_str(), "another key"),
        ("garbage", "cannot be read"),
    ] {
        let ended = scene
            .play(async |api| {
                let call = api.expect(COLLECTION).await;
                let mut object = scene.issue(&stored(&call.body, "1"));
                object["status"]["certificate"] = STANDARD.encode(certificate).into();
                call.answer(201, &object);
            })
            .await
            .unwrap_err();
        assert!(ended.to_string().contains(words), "{ended}");
        scene.assert_nothing_installed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_ca_than_the_one_demanded_is_not_installed() {
    let mut scene = Scene::new();
    let demanded = scene.machine.path("client-ca.crt");
    std::fs::write(&demanded, Authority::new().pem()).unwrap();
    scene.machine.settings.client_ca = Some(demanded);
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&object));
        })
        .await
        .unwrap_err();
    assert!(ended.to_string().contains("client-ca.crt"), "{ended}");
    scene.assert_nothing_installed();
}

/// A cluster whose kubelets' certificates have another CA than its API server, as in OpenShift.
async fn play_review(
    scene: &mut Scene,
    script: impl AsyncFnOnce(&mut Api),
) -> Result<(), AgentError> {
    scene.authority = Authority::new();
    scene
        .play(async |api| {
            let object = file(api).await;
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&object));
            script(api).await;
        })
        .await
}

fn user(name: &str, groups: &[&str]) -> Value {
    json!({ "metadata": {}, "status": { "userInfo": { "username": name, "groups": groups } } })
}

#[tokio::test(start_paused = true)]
async fn with_another_ca_the_api_server_says_who_the_certificate_is_for() {
    let mut scene = Scene::new();
    let ended = play_review(&mut scene, async |api| {
        api.expect(REVIEW)
            .await
            .refuse(401, "Unauthorized", "Unauthorized");
        let groups = ["system:nodes", "system:authenticated"];
        api.expect(REVIEW)
            .await
            .answer(201, &user("system:node:worker-0", &groups));
    })
    .await;
    assert!(ended.is_ok(), "{ended:?}");
    scene.assert_installed();
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_the_api_server_takes_for_somebody_else_is_not_installed() {
    for answer in [
        user("system:node:worker-1", &["system:nodes"]),
        user("system:node:worker-0", &["system:authenticated"]),
        user("system:anonymous", &[]),
        json!({ "metadata": {} }),
    ] {
        let mut scene = Scene::new();
        let ended = play_review(&mut scene, async |api| {
            api.expect(REVIEW).await.answer(201, &answer)
        })
        .await;
        assert_eq!(ended.unwrap_err().reason(), "AnotherIdentity");
        scene.assert_nothing_installed();
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_the_api_server_never_accepts_is_not_installed() {
    let mut scene = Scene::new();
    let start = tokio::time::Instant::now();
    let ended = play_review(&mut scene, async |api| {
        while start.elapsed() < Duration::from_mins(2) {
            api.expect(REVIEW)
                .await
                .refuse(401, "Unauthorized", "Unauthorized");
        }
    })
    .await
    .unwrap_err();
    assert_eq!(
        (ended.reason(), ended.exit()),
        ("IdentityNotRecognised", Exit::Failure)
    );
    scene.assert_nothing_installed();
}
