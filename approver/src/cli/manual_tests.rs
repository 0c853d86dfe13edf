//! What is sent to the API server when a request changes between the judgement and the write.

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use rollcall_approver_core::{Cluster, Policy};
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

use super::*;

const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1";

fn request(version: &str, conditions: &Value) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {
            "name": "csr-1", "uid": "u", "resourceVersion": version,
            "creationTimestamp": "2026-11-23T10:00:00Z",
        },
        "spec": {
            "request": "", "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "username": "jane",
        },
        "status": {"conditions": conditions},
    })
}

fn entry(object: Value) -> Entry {
    Entry::read(serde_json::from_value(object).unwrap()).unwrap()
}

/// Expects one call and answers it. Returns the body that was sent.
async fn answer(
    api: &mut Handle<Request<Body>, Response<Body>>,
    (method, path): (&str, &str),
    (status, body): (StatusCode, &Value),
) -> Value {
    let (call, send) = api.next_request().await.unwrap();
    assert_eq!((call.method().as_str(), call.uri().path()), (method, path));
    let sent = call.into_body().collect_bytes().await.unwrap();
    let response = Response::builder()
        .status(status)
        .body(Body::from(serde_json::to_vec(body).unwrap()));
    send.send_response(response.unwrap());
    serde_json::from_slice(&sent).unwrap_or_default()
}

fn conflict() -> Value {
    json!({"kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": "changed"})
}

/// Overrides policy for `csr-1` while somebody else plays the API server.
async fn approve_while<F: Future<Output = ()>>(
    api_server: impl FnOnce(Handle<Request<Body>, Response<Body>>) -> F,
) -> Account {
    let (service, handle) = mock::pair();
    let hand = Hand::of(Client::new(service, "default"), "ada");
    let mut scene = Scene::new(Cluster::new(Policy::default(), []));
    scene.add(entry(request("1", &json!([]))), Timestamp::now());
    let approval = Approval {
        hand: &hand,
        name: "csr-1",
        overrule: Some("spare part"),
        sweep: false,
    };
    tokio::join!(approval.carry_out(&mut scene), api_server(handle)).0
}

#[tokio::test]
async fn a_request_that_changed_is_read_and_judged_again() {
    let approval = format!("{PATH}/approval");
    let account = approve_while(async |mut api| {
        let refused = (StatusCode::CONFLICT, &conflict());
        answer(&mut api, ("PUT", &approval), refused).await;
        let now = request("2", &json!([]));
        answer(&mut api, ("GET", PATH), (StatusCode::OK, &now)).await;
        let sent = answer(&mut api, ("PUT", &approval), (StatusCode::OK, &now)).await;
        assert_eq!(sent["metadata"]["resourceVersion"], "2");
        let condition = &sent["status"]["conditions"][0];
        assert_eq!(condition["reason"], "ManualApproval");
        let message = condition["message"].as_str().unwrap();
        assert!(
            message.starts_with("approved by ada: spare part; this overrides RequestorNotAllowed:")
        );
        let events = "/apis/events.k8s.io/v1/namespaces/default/events";
        let event = json!({"metadata": {}, "eventTime": null});
        let told = answer(&mut api, ("POST", events), (StatusCode::CREATED, &event)).await;
        assert_eq!(told["note"], message);
    })
    .await;
    assert_eq!(account.outcome(), Outcome::Approved);
}

#[tokio::test]
async fn what_somebody_else_denied_meanwhile_stays_denied() {
    let account = approve_while(async |mut api| {
        let refused = (StatusCode::CONFLICT, &conflict());
        answer(&mut api, ("PUT", &format!("{PATH}/approval")), refused).await;
        let denied = json!([{"type": "Denied", "status": "True", "reason": "Stolen"}]);
        let now = request("2", &denied);
        answer(&mut api, ("GET", PATH), (StatusCode::OK, &now)).await;
    })
    .await;
    assert_eq!(account.outcome(), Outcome::Failed);
}
