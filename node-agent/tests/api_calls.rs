//! Every call of the agent, and every possible response, with a real client and a scripted API server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/api.rs"]
mod api;
#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;
#[path = "support/scene.rs"]
mod scene;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_node_agent::Exit;
use serde_json::json;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use api::{status, stored, with_condition};
use machine::TOKEN;
use scene::{ANY, COLLECTION, Scene, accept, file, name_of, request_pem};

#[tokio::test(start_paused = true)]
async fn a_request_is_filed_watched_and_its_certificate_installed() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let call = api.expect(COLLECTION).await;
            let spec = &call.body["spec"];
            assert_eq!(
                spec["signerName"],
                "kubernetes.io/kube-apiserver-client-kubelet"
            );
            assert_eq!(spec["usages"], json!(["digital signature", "client auth"]));
            assert!(spec.get("expirationSeconds").is_none());
            let object = accept(call);
            let name = name_of(&object);
            assert!(name.starts_with("node-csr-"), "{name}");
            let call = api.expect(ANY).await;
            let selector = format!("fieldSelector=metadata.name%3D{name}");
            for part in [
                "watch=true",
                "resourceVersion=10",
                "timeoutSeconds=60",
                &selector,
            ] {
                assert!(call.line.contains(part), "{part} is not in {}", call.line);
            }
            let watch = call.open();
            tokio::time::sleep(Duration::from_secs(3)).await;
            watch.send(
                "MODIFIED",
                &with_condition(&object, "Approved", "OnTheRoll", "m"),
            );
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    scene.assert_installed();
    let text = scene.machine.text();
    for part in [
        "submitted as node-csr-",
        "kubectl describe csr node-csr-",
        "OnTheRoll: m",
        "until 2089",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.ends_with("etc/kubelet.conf\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_request_is_what_the_signer_takes_and_no_secret_is_printed() {
    let mut scene = Scene::new();
    scene.machine.settings.expiration_seconds = Some(600);
    let ended = scene
        .play(async |api| {
            let call = api.expect(COLLECTION).await;
            assert_eq!(call.body["spec"]["expirationSeconds"], 600);
            let object = accept(call);
            let (_, pem) = x509_parser::pem::parse_x509_pem(&request_pem(&object)).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
            let info = &request.certification_request_info;
            assert_eq!(
                info.subject.to_string(),
                "O=system:nodes, CN=system:node:worker-0"
            );
            assert_eq!(
                info.iter_attributes().count(),
                0,
                "no extensions, so no names"
            );
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let text = scene.machine.text();
    assert!(
        !text.contains(TOKEN) && !text.contains("PRIVATE KEY"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_left_by_an_earlier_run_is_adopted() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let call = api.expect(COLLECTION).await;
            let object = stored(&call.body, "7");
            call.refuse(409, "AlreadyExists", "exists");
            let call = api.expect(ANY).await;
            let selector = format!("?&fieldSelector=metadata.name%3D{}", name_of(&object));
            assert!(call.line.ends_with(&selector), "{}", call.line);
            call.list("8", &[&scene.issue(&object)]);
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(
        scene
            .machine
            .text()
            .contains("is there already, for the same key")
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_of_that_name_for_another_key_or_purpose_is_never_adopted() {
    let stranger = rcgen::CertificateParams::default()
        .serialize_request(&rcgen::KeyPair::generate().unwrap())
        .unwrap();
    let foreign_key = json!(STANDARD.encode(stranger.pem().unwrap()));
    let not_a_request = json!(STANDARD.encode("no PEM"));
    for (field, value) in [
        ("request", foreign_key),
        ("request", not_a_request),
        ("signerName", "kubernetes.io/kube-apiserver-client".into()),
        (
            "usages",
            json!(["digital signature", "client auth", "server auth"]),
        ),
    ] {
        let scene = Scene::new();
        let ended = scene
            .play(async |api| {
                let call = api.expect(COLLECTION).await;
                let mut object = scene.issue(&stored(&call.body, "7"));
                object["spec"][field] = value;
                let first = name_of(&object);
                call.refuse(409, "AlreadyExists", "exists");
                api.expect(ANY).await.list("50", &[&object]);
                let call = api.expect(COLLECTION).await;
                assert_eq!(
                    call.body["metadata"]["name"],
                    format!("{first}-1"),
                    "{field}"
                );
                let object = accept(call);
                api.expect(ANY)
                    .await
                    .open()
                    .send("MODIFIED", &scene.issue(&object));
            })
            .await;
        assert!(ended.is_ok(), "{field}: {ended:?}");
        assert!(scene.machine.text().contains("for another key"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_request_ends_the_agent_with_reason_and_keeps_the_key() {
    for (kind, exit_reason) in [("Denied", "RequestDenied"), ("Failed", "RequestFailed")] {
        let scene = Scene::new();
        let ended = scene
            .play(async |api| {
                let object = file(api).await;
                let decided = with_condition(&object, kind, "NotOnTheRoll", "no such Machine");
                api.expect(ANY).await.open().send("MODIFIED", &decided);
            })
            .await
            .unwrap_err();
        assert_eq!((ended.exit(), ended.reason()), (Exit::Refused, exit_reason));
        let sentence = ended.to_string();
        for part in [
            "node-csr-",
            "NotOnTheRoll: no such Machine",
            "kubectl delete csr",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        scene.assert_nothing_installed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_request_is_filed_again() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            api.expect(ANY).await.open().send("DELETED", &object);
            let again = file(api).await;
            assert_eq!(name_of(&again), format!("{}-1", name_of(&object)));
            assert_eq!(request_pem(&again), request_pem(&object), "the same key");
            let watch = api.expect(ANY).await;
            assert!(
                watch.line.contains(&format!("{}-1", name_of(&object))),
                "{}",
                watch.line
            );
            watch.open().send("MODIFIED", &scene.issue(&again));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_closed_or_broken_goes_on_from_a_fresh_read() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let gone = status(410, "Expired", "too old resource version");
            // In an open watch, as the response to opening one, and by closing it.
            api.expect(ANY).await.open().send("ERROR", &gone);
            api.expect(ANY).await.list("20", &[&object]);
            let watch = api.expect(ANY).await;
            assert!(watch.line.contains("resourceVersion=20"), "{}", watch.line);
            watch.answer(410, &gone);
            api.expect(ANY).await.list("30", &[&object]);
            let watch = api.expect(ANY).await;
            assert!(watch.line.contains("resourceVersion=30"), "{}", watch.line);
            drop(watch.open());
            api.expect(ANY).await.list("50", &[&object]);
            api.expect(ANY).await.disconnect();
            api.expect(ANY).await.list("50", &[&object]);
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_connection_died_silently_is_given_up_after_a_minute() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let dead = api.expect(ANY).await.open();
            let before = tokio::time::Instant::now();
            let read = api.expect(ANY).await;
            assert_eq!(before.elapsed().as_secs(), 65);
            read.list("50", &[&scene.issue(&object)]);
            drop(dead);
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_no_watch_saw_is_noticed_by_the_read() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            drop(api.expect(ANY).await.open());
            api.expect(ANY).await.list("50", &[]);
            let again = file(api).await;
            assert_eq!(name_of(&again), format!("{}-1", name_of(&object)));
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&again));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancers_404_is_not_taken_for_a_deletion() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            drop(api.expect(ANY).await.open());
            api.expect(ANY)
                .await
                .answer_text(404, "<html>no such service</html>");
            api.expect(ANY).await.list("50", &[&scene.issue(&object)]);
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(
        scene
            .machine
            .text()
            .contains("does not answer as a Kubernetes API server")
    );
}

#[tokio::test(start_paused = true)]
async fn a_pending_request_is_replaced_after_ten_minutes() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let start = tokio::time::Instant::now();
            let object = file(api).await;
            let mut watches = Vec::new();
            let again = loop {
                let call = api.call().await;
                if call.line.starts_with("POST") {
                    break accept(call);
                }
                if call.line.contains("watch=true") {
                    watches.push(call.open());
                } else {
                    call.list("50", &[&object]);
                }
            };
            assert_eq!(start.elapsed().as_secs(), 600);
            assert_eq!(name_of(&again), format!("{}-1", name_of(&object)));
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&again));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let text = scene.machine.text();
    let reminders = text
        .lines()
        .filter(|line| line.contains("] waiting "))
        .count();
    assert!(
        (5..10).contains(&reminders),
        "{reminders} reminders in ten minutes:\n{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_approved_request_that_nobody_signs_points_at_the_signer() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let object = file(api).await;
            let watch = api.expect(ANY).await.open();
            watch.send(
                "MODIFIED",
                &with_condition(&object, "Approved", "OnTheRoll", ""),
            );
            api.quiet(Duration::from_secs(30)).await;
            watch.send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let text = scene.machine.text();
    assert!(
        text.contains("[ 10.0s] waiting") && text.contains("kube-controller-manager"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_tried_for_a_minute() {
    let scene = Scene::new();
    let start = tokio::time::Instant::now();
    let ended = scene
        .play(async |api| {
            // The pauses are random within bounds, so their number is unknown.
            loop {
                api.expect(COLLECTION)
                    .await
                    .refuse(401, "Unauthorized", "Unauthorized");
                if start.elapsed() >= Duration::from_mins(1) {
                    break;
                }
            }
        })
        .await
        .unwrap_err();
    assert_eq!(
        (ended.exit(), ended.reason()),
        (Exit::Refused, "CredentialRefused")
    );
    let sentence = ended.to_string();
    assert!(
        sentence.contains("https://api.test:6443") && sentence.contains("bootstrap.conf"),
        "{sentence}"
    );
    assert_eq!(start.elapsed().as_secs(), 60);
    scene.assert_nothing_installed();
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_known_late_is_good() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            for _ in 0..4 {
                api.expect(COLLECTION)
                    .await
                    .refuse(401, "Unauthorized", "Unauthorized");
            }
            let object = file(api).await;
            api.expect(ANY)
                .await
                .open()
                .send("MODIFIED", &scene.issue(&object));
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let text = scene.machine.text();
    assert_eq!(text.matches("401 Unauthorized").count(), 1, "{text}");
    assert!(text.contains("answers again"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named_and_waited_for_but_not_for_ever() {
    let scene = Scene::new();
    let message = "User \"u\" cannot create resource \"certificatesigningrequests\"";
    let start = tokio::time::Instant::now();
    let ended = scene
        .play(async |api| {
            while start.elapsed() < Duration::from_mins(5) {
                api.expect(COLLECTION)
                    .await
                    .refuse(403, "Forbidden", message);
            }
        })
        .await
        .unwrap_err();
    assert_eq!(
        (ended.exit(), ended.reason()),
        (Exit::Refused, "RightMissing")
    );
    assert!(ended.to_string().contains(message), "{ended}");
    let told = scene.machine.text().matches("lacks a right").count();
    assert!((2..8).contains(&told), "told {told} times in five minutes");
}

#[tokio::test(start_paused = true)]
async fn errors_and_silence_are_waited_out_with_growing_pauses() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            let start = tokio::time::Instant::now();
            api.expect(COLLECTION).await.disconnect();
            api.expect(COLLECTION)
                .await
                .refuse(500, "InternalError", "etcd is away");
            api.expect(COLLECTION)
                .await
                .answer_text(502, "<html>bad gateway</html>");
            api.expect(COLLECTION)
                .await
                .answer_text(200, "<html>welcome</html>");
            let silent = api.expect(COLLECTION).await;
            let before = tokio::time::Instant::now();
            // Two servers or one that lost its response: the request exists already.
            let call = api.expect(COLLECTION).await;
            assert!(
                before.elapsed() >= Duration::from_secs(15),
                "{:?}",
                before.elapsed()
            );
            drop(silent);
            let object = stored(&call.body, "5");
            call.refuse(409, "AlreadyExists", "exists");
            api.expect(ANY).await.list("50", &[&scene.issue(&object)]);
            assert!(
                start.elapsed() < Duration::from_secs(25),
                "{:?}",
                start.elapsed()
            );
        })
        .await;
    assert!(ended.is_ok(), "{ended:?}");
    let text = scene.machine.text();
    for cause in [
        "connection refused",
        "etcd is away",
        "not the Kubernetes API's",
        "no answer within 15 s",
    ] {
        assert!(text.contains(cause), "{cause} is not in\n{text}");
    }
    assert!(
        text.lines()
            .filter(|line| line.contains("next try in"))
            .count()
            >= 4,
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_will_never_take_ends_the_agent() {
    let scene = Scene::new();
    let ended = scene
        .play(async |api| {
            api.expect(COLLECTION)
                .await
                .refuse(422, "Invalid", "spec.x is wrong")
        })
        .await
        .unwrap_err();
    assert_eq!(ended.exit(), Exit::Failure);
    assert!(ended.to_string().contains("spec.x is wrong"), "{ended}");
}
