//! What is sent to the API server, call by call, while somebody else plays it.

use clap::Parser as _;
use http::{Request, Response, StatusCode};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

use super::*;
use crate::{Args, Command};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

type Api = Handle<Request<Body>, Response<Body>>;

fn now() -> Timestamp {
    "2026-11-24T12:00:00.7Z".parse().unwrap()
}

fn order(flags: &[&str]) -> Order {
    let program = ["rollcall-approver", "bootstrap-kubeconfig"];
    let args = Args::parse_from(program.iter().chain(flags));
    let Command::BootstrapKubeconfig(args) = args.command else {
        panic!("another command")
    };
    Order::read(&args, &Config::default()).unwrap()
}

/// Carries an order out while somebody plays the API server.
async fn made_while<F: Future<Output = ()>>(
    flags: &[&str],
    api_server: impl FnOnce(Api) -> F,
) -> Result<Made, String> {
    let (service, handle) = mock::pair();
    let client = Client::new(service, "default");
    let order = order(flags);
    let made = async {
        let made = make(&client, &client, &order, now()).await;
        // The player may then see that nothing more comes.
        drop(client);
        made
    };
    let (made, ()) = tokio::join!(made, api_server(handle));
    made.map_err(|error| format!("{error:#}"))
}

/// Expects one call and answers it. Returns the body that was sent.
async fn answer(api: &mut Api, call: (&str, &str), status: StatusCode, body: &Value) -> Value {
    let (request, send) = api.next_request().await.unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), call);
    let sent = request.into_body().collect_bytes().await.unwrap();
    let response = Response::builder()
        .status(status)
        .body(Body::from(serde_json::to_vec(body).unwrap()));
    send.send_response(response.unwrap());
    serde_json::from_slice(&sent).unwrap_or_default()
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "told so"})
}

/// Answers one review, and returns who and what was asked about.
async fn review(api: &mut Api, allowed: bool) -> (Value, String) {
    let body = json!({"metadata": {}, "spec": {}, "status": {"allowed": allowed}});
    let sent = answer(api, ("POST", REVIEWS), StatusCode::CREATED, &body).await;
    let attributes = &sent["spec"]["resourceAttributes"];
    let part = |name: &str| attributes[name].as_str().unwrap_or_default().to_owned();
    let what = format!(
        "{} {}/{}",
        part("verb"),
        part("resource"),
        part("subresource")
    );
    (sent["spec"].clone(), what)
}

/// Answers all reviews of somebody who may ask and nothing else.
async fn reviews(api: &mut Api) {
    for verb in ["create", "get", "list", "watch"] {
        let (_, what) = review(api, true).await;
        assert_eq!(what, format!("{verb} certificatesigningrequests/"));
    }
    for what in [
        "create certificatesigningrequests/nodeclient",
        "update certificatesigningrequests/approval",
        "* */",
    ] {
        assert_eq!(review(api, false).await.1, what);
    }
}

async fn nothing_more(mut api: Api) {
    assert!(api.next_request().await.is_none());
}

/// The fields of a Secret, decoded.
fn fields(secret: Value) -> Value {
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let data = secret.data.unwrap().into_iter();
    data.map(|(key, ByteString(value))| (key, Value::from(String::from_utf8(value).unwrap())))
        .collect()
}

#[tokio::test]
async fn a_token_for_one_machine_says_so_in_its_secret() {
    let flags = [
        "--machine=worker-0",
        "--group=system:bootstrappers:pool-a",
        "--ttl=30m",
        "--description=spare part",
    ];
    let made = made_while(&flags, async |mut api| {
        let (who, _) = review(&mut api, true).await;
        let groups = ["system:bootstrappers:pool-a", "system:bootstrappers", "system:authenticated"];
        assert_eq!((&who["user"], &who["groups"]), (&Value::Null, &json!(groups)));
        for allowed in [true, true, true, false, false, false] {
            review(&mut api, allowed).await;
        }
        let machine = "/apis/machine.openshift.io/v1beta1/namespaces/openshift-machine-api/machines/worker-0";
        let metadata = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "worker-0"}});
        answer(&mut api, ("GET", machine), StatusCode::OK, &metadata).await;
        let secret = answer(&mut api, ("POST", SECRETS), StatusCode::CREATED, &json!({"metadata": {}})).await;
        assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
        let annotations = &secret["metadata"]["annotations"];
        assert_eq!(annotations["rollcall.dev/machine"], "openshift-machine-api/worker-0");
        let name = secret["metadata"]["name"].clone();
        let fields = fields(secret);
        assert_eq!(name, format!("bootstrap-token-{}", fields["token-id"].as_str().unwrap()));
        assert_eq!(fields["token-secret"].as_str().unwrap().len(), 16);
        assert_eq!(fields["expiration"], "2026-11-24T12:30:00Z");
        assert_eq!(fields["usage-bootstrap-authentication"], "true");
        assert_eq!(fields.get("usage-bootstrap-signing"), None);
        assert_eq!(
            fields["auth-extra-groups"],
            "system:bootstrappers:pool-a,system:bootstrappers:rollcall-machine:openshift-machine-api:worker-0"
        );
        let description = fields["description"].as_str().unwrap();
        assert!(description.contains("spare part") && description.contains("openshift-machine-api/worker-0"));
        nothing_more(api).await;
    })
    .await
    .unwrap();
    assert!(made.account.contains(
        "valid until 2026-11-24T12:30:00Z, made for the Machine openshift-machine-api/worker-0"
    ));
    assert!(
        made.undo
            .starts_with("kubectl -n kube-system delete secret bootstrap-token-")
    );
    assert_eq!(made.warnings, [""; 0]);
}

#[tokio::test]
async fn a_machine_that_is_not_there_is_told() {
    let made = made_while(&["--machine=worker-0"], async |mut api| {
        reviews(&mut api).await;
        let machine =
            "/apis/machine.openshift.io/v1beta1/namespaces/openshift-machine-api/machines/worker-0";
        answer(
            &mut api,
            ("GET", machine),
            StatusCode::NOT_FOUND,
            &failure(404, "NotFound"),
        )
        .await;
        answer(
            &mut api,
            ("POST", SECRETS),
            StatusCode::CREATED,
            &json!({"metadata": {}}),
        )
        .await;
    })
    .await
    .unwrap();
    assert!(made.warnings[0].contains("there is no Machine openshift-machine-api/worker-0"));
}

#[tokio::test]
async fn a_namespace_that_the_approver_does_not_read_is_told() {
    let made = made_while(&["--machine=elsewhere/worker-0"], async |mut api| {
        reviews(&mut api).await;
        let created = json!({"metadata": {}});
        answer(&mut api, ("POST", SECRETS), StatusCode::CREATED, &created).await;
        nothing_more(api).await;
    })
    .await
    .unwrap();
    assert!(made.warnings[0].contains("reads no Machines in the namespace elsewhere"));
}

#[tokio::test]
async fn an_id_that_is_taken_is_drawn_again() {
    let made = made_while(&[], async |mut api| {
        reviews(&mut api).await;
        let taken = failure(409, "AlreadyExists");
        let first = answer(&mut api, ("POST", SECRETS), StatusCode::CONFLICT, &taken).await;
        let second = answer(
            &mut api,
            ("POST", SECRETS),
            StatusCode::CREATED,
            &json!({"metadata": {}}),
        )
        .await;
        assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
        assert_ne!(
            first["data"]["token-secret"],
            second["data"]["token-secret"]
        );
        nothing_more(api).await;
    });
    assert!(made.await.is_ok());
}

#[tokio::test]
async fn whoever_may_not_ask_gets_no_token() {
    let refusal = made_while(&[], async |mut api| {
        for allowed in [false, true, true, false] {
            review(&mut api, allowed).await;
        }
        nothing_more(api).await;
    })
    .await
    .err()
    .unwrap();
    assert!(
        refusal.contains(
            "the group system:bootstrappers may not create, watch certificatesigningrequests"
        ) && refusal.contains("--create-rights"),
        "{refusal}"
    );
}

/// Answers the reviews of somebody who may not ask and nothing else.
async fn may_not_ask(api: &mut Api) {
    for _ in 0..4 {
        review(api, false).await;
    }
}

#[tokio::test]
async fn rights_are_created_on_request_and_no_more_than_it_takes() {
    let flags = ["--create-rights", "--group=system:bootstrappers:pool-a"];
    let made = made_while(&flags, async |mut api| {
        may_not_ask(&mut api).await;
        let created = json!({"metadata": {}, "roleRef": {"apiGroup": "", "kind": "", "name": ""}});
        let sent = answer(&mut api, ("POST", BINDINGS), StatusCode::CREATED, &created).await;
        assert_eq!(
            sent["metadata"]["name"],
            "rollcall:node-bootstrapper:system:bootstrappers:pool-a"
        );
        assert_eq!(sent["roleRef"]["name"], "system:node-bootstrapper");
        let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers:pool-a"});
        assert_eq!(sent["subjects"], json!([subject]));
        for _ in 0..3 {
            review(&mut api, false).await;
        }
        answer(
            &mut api,
            ("POST", SECRETS),
            StatusCode::CREATED,
            &json!({"metadata": {}}),
        )
        .await;
        nothing_more(api).await;
    });
    assert!(made.await.is_ok());
}

#[tokio::test]
async fn a_binding_of_that_name_for_something_else_is_not_taken_for_ours() {
    let taken = failure(409, "AlreadyExists");
    let there = json!({
        "metadata": {"name": "x"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}],
    });
    let refusal = made_while(&["--create-rights"], async |mut api| {
        may_not_ask(&mut api).await;
        answer(&mut api, ("POST", BINDINGS), StatusCode::CONFLICT, &taken).await;
        let path = format!("{BINDINGS}/rollcall:node-bootstrapper:system:bootstrappers");
        answer(&mut api, ("GET", &path), StatusCode::OK, &there).await;
        nothing_more(api).await;
    })
    .await
    .err()
    .unwrap();
    assert!(refusal.contains("binds something else"), "{refusal}");
}

#[tokio::test]
async fn whoever_could_get_approved_without_rollcall_is_told() {
    let made = made_while(&[], async |mut api| {
        for _ in 0..7 {
            review(&mut api, true).await;
        }
        answer(
            &mut api,
            ("POST", SECRETS),
            StatusCode::CREATED,
            &json!({"metadata": {}}),
        )
        .await;
    })
    .await
    .unwrap();
    let [nodeclient, approval, everything] = made.warnings.as_slice() else {
        panic!("{:?}", made.warnings)
    };
    assert!(
        nodeclient.contains("kube-controller-manager approves every request"),
        "{nodeclient}"
    );
    assert!(
        approval.contains("update certificatesigningrequests/approval"),
        "{approval}"
    );
    assert!(everything.contains("which is everything"), "{everything}");
}

#[tokio::test]
async fn rights_that_cannot_be_checked_are_told_and_a_token_is_made() {
    let made = made_while(&[], async |mut api| {
        let refused = failure(403, "Forbidden");
        answer(&mut api, ("POST", REVIEWS), StatusCode::FORBIDDEN, &refused).await;
        answer(
            &mut api,
            ("POST", SECRETS),
            StatusCode::CREATED,
            &json!({"metadata": {}}),
        )
        .await;
        nothing_more(api).await;
    })
    .await
    .unwrap();
    assert!(made.warnings[0].contains("cannot be checked: you have no right to do that: told so"));
}

#[tokio::test]
async fn a_service_accounts_token_is_as_the_api_server_makes_it() {
    let token = {
        use base64::Engine as _;
        let claims = json!({"exp": now().as_second() + 3600}).to_string();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("e30.{claims}.c2ln")
    };
    let flags = ["--service-account=machines/joiner", "--ttl=2h"];
    let path = "/api/v1/namespaces/machines/serviceaccounts/joiner/token";
    let made = made_while(&flags, async |mut api| {
        let (who, _) = review(&mut api, true).await;
        assert_eq!(who["user"], "system:serviceaccount:machines:joiner");
        for allowed in [true, true, true, false, false, false] {
            review(&mut api, allowed).await;
        }
        let status = json!({"token": token, "expirationTimestamp": "2026-11-24T13:00:00Z"});
        let body = json!({"metadata": {}, "spec": {"audiences": []}, "status": status});
        let sent = answer(&mut api, ("POST", path), StatusCode::CREATED, &body).await;
        assert_eq!(sent["spec"]["expirationSeconds"], 7200);
        nothing_more(api).await;
    })
    .await
    .unwrap();
    assert!(
        made.warnings[0].contains("valid for 59m 59s, and not for 2h"),
        "{:?}",
        made.warnings
    );
    assert!(!made.account.contains(&token) && made.account.contains("2026-11-24T13:00:00Z"));

    let refusal = made_while(&flags, async |mut api| {
        reviews(&mut api).await;
        answer(
            &mut api,
            ("POST", path),
            StatusCode::NOT_FOUND,
            &failure(404, "NotFound"),
        )
        .await;
    })
    .await
    .err()
    .unwrap();
    assert!(
        refusal.contains("kubectl -n machines create serviceaccount joiner"),
        "{refusal}"
    );
}

#[test]
fn what_the_approver_would_not_take_and_what_lives_too_long_is_told() {
    let order = order(&["--service-account=machines/joiner", "--ttl=24h"]);
    let [long, stranger] = order.warnings.as_slice() else {
        panic!("{:?}", order.warnings)
    };
    assert!(
        long.contains("valid for 24h, and a machine has 2h to join"),
        "{long}"
    );
    assert!(
        stranger.contains("bootstrap.requestors") && stranger.contains("machines/joiner"),
        "{stranger}"
    );
}
