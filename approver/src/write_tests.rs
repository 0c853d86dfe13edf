//! The single write of a decision: its body, and the meaning of each answer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use proptest::prelude::*;
use rollcall_approver_core::{Change, Cluster, Policy, Reason, Source, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::convert::to_request;
use crate::fixtures::{Call, csr, machine, read, server};
use crate::sources;

const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-0/approval";

fn finding() -> Finding {
    Finding::new(Reason::FirstCertificate, "expected")
}

/// Writes an approval of an object, and lets the server answer it.
async fn approve(object: Value, answer: impl FnOnce(Call)) -> Outcome {
    let (client, mut server) = server();
    let (_, target) = to_request(read(&object)).unwrap();
    let writing =
        tokio::spawn(
            async move { write(Api::all(client), &target, Side::Approved, &finding()).await },
        );
    answer(server.expect("PUT", PATH).await);
    let outcome = writing.await.unwrap();
    server.expect_none(Duration::from_secs(1)).await;
    outcome
}

fn object() -> Value {
    csr("csr-0", "worker-0")
}

#[tokio::test(start_paused = true)]
async fn an_approval_sends_one_more_condition_and_everything_else_as_it_was() {
    let mut object = object();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Any".to_owned(),
        name: "owner".to_owned(),
        uid: "o".to_owned(),
        ..OwnerReference::default()
    };
    let earlier = json!({
        "type": "Custom", "status": "True", "reason": "Seen", "message": "by somebody",
        "lastUpdateTime": "2026-11-01T00:00:00Z", "lastTransitionTime": "2026-11-01T00:00:00Z",
    });
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.insert("labels".to_owned(), json!({"a": "b"}));
    metadata.insert("annotations".to_owned(), json!({"c": "d"}));
    metadata.insert("finalizers".to_owned(), json!(["example.com/keep"]));
    metadata.insert("ownerReferences".to_owned(), json!([owner]));
    object["status"] = json!({"conditions": [earlier]});
    let answered = object.clone();
    let outcome = approve(object, |call| {
        let body = &call.body;
        let mut expected = json!({
            "name": "csr-0", "uid": "csr-0", "resourceVersion": "7", "labels": {"a": "b"},
            "annotations": {"c": "d"}, "finalizers": ["example.com/keep"],
        });
        expected["ownerReferences"] = json!([owner]);
        assert_eq!(body["metadata"], expected);
        assert_eq!(body["spec"]["request"], "");
        assert_eq!(
            body["spec"]["signerName"],
            "kubernetes.io/kube-apiserver-client-kubelet"
        );
        let conditions = body["status"]["conditions"].as_array().unwrap();
        assert_eq!(conditions.len(), 2);
        assert_eq!(conditions[0], earlier);
        let condition = &conditions[1];
        assert_eq!(condition["type"], "Approved");
        assert_eq!(condition["status"], "True");
        assert_eq!(condition["reason"], "FirstCertificate");
        assert_eq!(condition["message"], "expected");
        let when: Timestamp = condition["lastUpdateTime"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(Timestamp::now().duration_since(when).as_secs().abs() < 60);
        assert_eq!(body["status"].get("certificate"), None);
        call.answer(&answered);
    });
    let written = Outcome {
        settlement: Settlement::Written,
        trouble: None,
        again: false,
    };
    assert_eq!(outcome.await, written);
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_a_condition_of_that_type() {
    let (client, mut server) = server();
    let (_, target) = to_request(read(&object())).unwrap();
    let finding = Finding::new(Reason::NamesNotAllowed, "names".repeat(1000));
    let writing =
        tokio::spawn(async move { write(Api::all(client), &target, Side::Denied, &finding).await });
    let call = server.expect("PUT", PATH).await;
    let condition = &call.body["status"]["conditions"][0];
    assert_eq!(condition["type"], "Denied");
    assert_eq!(condition["reason"], "NamesNotAllowed");
    assert_eq!(condition["message"].as_str().unwrap().len(), 1000);
    call.answer(&object());
    assert_eq!(writing.await.unwrap().settlement, Settlement::Written);
}

/// The outcome of a failure with this code and message: settlement, error, retry.
async fn refused(code: u16, message: &str) -> (Settlement, Option<String>, bool) {
    let outcome = approve(object(), |call| call.fail(code, message)).await;
    (outcome.settlement, outcome.trouble, outcome.again)
}

#[tokio::test(start_paused = true)]
async fn somebody_else_s_change_is_no_trouble() {
    let conflict = "Operation cannot be fulfilled: the object has been modified";
    assert_eq!(
        refused(409, conflict).await,
        (Settlement::Undone, None, true)
    );
    assert_eq!(
        refused(404, "csr-0 not found").await,
        (Settlement::Undone, None, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named_and_tried_again() {
    let plain = "certificatesigningrequests.certificates.k8s.io \"csr-0\" is forbidden: User \"u\" cannot update \
                 resource \"certificatesigningrequests/approval\" in API group \"certificates.k8s.io\" at the cluster scope";
    let (settlement, trouble, again) = refused(403, plain).await;
    assert_eq!((settlement, again), (Settlement::Undone, true));
    let trouble = trouble.unwrap();
    assert!(
        trouble.contains("cannot update resource \"certificatesigningrequests/approval\""),
        "{trouble}"
    );

    let signer = "certificatesigningrequests.certificates.k8s.io \"csr-0\" is forbidden: user not permitted to approve \
                  requests with signerName \"kubernetes.io/kube-apiserver-client-kubelet\"";
    let (settlement, trouble, again) = refused(403, signer).await;
    assert_eq!((settlement, again), (Settlement::Undone, true));
    let trouble = trouble.unwrap();
    assert!(
        trouble.contains("verb approve on resource signers"),
        "{trouble}"
    );
    let (settlement, trouble, again) = refused(401, "Unauthorized").await;
    assert_eq!((settlement, again), (Settlement::Undone, true));
    assert!(trouble.unwrap().contains("does not accept the credentials"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_did_nothing() {
    for code in [429, 503] {
        let (settlement, trouble, again) = refused(code, "try again later").await;
        assert_eq!((settlement, again), (Settlement::Undone, true), "{code}");
        assert_eq!(trouble, Some(format!("try again later ({code})")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_bears_on_nobody_and_is_tried_again() {
    let (settlement, trouble, again) = refused(422, "status.conditions: Invalid value").await;
    assert_eq!((settlement, again), (Settlement::Refused, true));
    assert_eq!(
        trouble,
        Some("status.conditions: Invalid value (422)".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_server_or_a_broken_connection_nobody_knows() {
    for code in [500, 504] {
        let (settlement, trouble, again) = refused(code, "etcdserver: request timed out").await;
        assert_eq!((settlement, again), (Settlement::Unknown, true), "{code}");
        assert!(trouble.unwrap().contains("etcdserver"));
    }
    let outcome = approve(object(), Call::break_off).await;
    assert_eq!(
        (outcome.settlement, outcome.again),
        (Settlement::Unknown, true)
    );
    let trouble = outcome.trouble.unwrap();
    assert!(trouble.contains("connection reset by peer"), "{trouble}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up() {
    let (client, mut server) = server();
    let (_, target) = to_request(read(&object())).unwrap();
    let writing =
        tokio::spawn(
            async move { write(Api::all(client), &target, Side::Approved, &finding()).await },
        );
    let _unanswered = server.expect("PUT", PATH).await;
    let outcome = writing.await.unwrap();
    assert_eq!(outcome.settlement, Settlement::Unknown);
    assert_eq!(outcome.trouble, Some("no answer for 20 s".to_owned()));
    assert!(outcome.again);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_one_segment_of_the_path_and_itself_in_the_body() {
    for (name, segment) in [
        ("zz evil", "zz%20evil"),
        ("X?dryRun=All", "X%3FdryRun%3DAll"),
        ("X#y", "X%23y"),
        ("a\nb\u{1b}\u{202e}", "a%0Ab%1B%E2%80%AE"),
    ] {
        let (client, mut server) = server();
        let (_, target) = to_request(read(&csr(name, "worker-0"))).unwrap();
        let writing = tokio::spawn(async move {
            write(Api::all(client), &target, Side::Approved, &finding()).await
        });
        let call = server.expect("PUT", &PATH.replace("csr-0", segment)).await;
        assert_eq!(call.query, "");
        assert_eq!(call.body["metadata"]["name"], name);
        call.answer(&csr(name, "worker-0"));
        assert_eq!(writing.await.unwrap(), Outcome::written());
    }
}

#[test]
fn what_cannot_be_sent_is_not_done_and_not_tried_again() {
    let outcome = failed(&segment("a/b").unwrap_err());
    assert_eq!(
        (outcome.settlement, outcome.again),
        (Settlement::Refused, false)
    );
    let refused = to_request(read(&csr(&" ".repeat(4000), "worker-0"))).unwrap_err();
    assert!(refused.to_string().contains("cannot be sent"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn large_metadata_are_not_kept_but_read_again_and_sent_back() {
    let mut object = csr("a=b,c\\d", "worker-0");
    let large = json!({"large": "x".repeat(2000)});
    object["metadata"]["annotations"] = large.clone();
    for (version, settlement) in [("7", Settlement::Written), ("8", Settlement::Undone)] {
        let (client, mut server) = server();
        let (_, target) = to_request(read(&object)).unwrap();
        assert_eq!(target.carried(), None);
        let writing = tokio::spawn(async move {
            write(Api::all(client), &target, Side::Approved, &finding()).await
        });
        let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let call = server.expect("GET", all).await;
        let selector = "fieldSelector=metadata.name%3Da%5C%3Db%5C%2Cc%5C%5Cd";
        assert!(call.query.contains(selector), "{}", call.query);
        let mut now = object.clone();
        now["metadata"]["resourceVersion"] = json!(version);
        call.answer(&json!({"metadata": {}, "items": [now]}));
        if settlement == Settlement::Written {
            let path = PATH.replace("csr-0", "a%3Db%2Cc%5Cd");
            let call = server.expect("PUT", &path).await;
            assert_eq!(call.body["metadata"]["annotations"], large);
            call.answer(&object);
        }
        assert_eq!(writing.await.unwrap().settlement, settlement);
        server.expect_none(Duration::from_secs(1)).await;
    }
}

#[test]
fn a_request_with_very_large_metadata_is_left_alone_while_it_waits() {
    let mut object = csr("csr-0", "worker-0");
    object["metadata"]["annotations"] = json!({"large": "x".repeat(65_537)});
    let refused = to_request(read(&object)).unwrap_err().to_string();
    assert!(refused.contains("more than 65536"), "{refused}");
    // Once it is approved, by any client, it may have spent a Machine.
    object["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    assert!(to_request(read(&object)).is_ok());
}

/// The ways in which a write may fail.
#[derive(Clone, Copy, Debug)]
enum End {
    Answered(u16),
    BrokenOff,
    Unsent,
    Written,
}

impl End {
    /// Returns true if the API server may have accepted it.
    fn is_maybe_done(self) -> bool {
        match self {
            Self::Answered(code) => code >= 500 && code != 503,
            Self::BrokenOff | Self::Written => true,
            Self::Unsent => false,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Answered(code) => {
                let status = Status::failure("no", "No").with_code(code);
                failed(&kube::Error::Api(Box::new(status)))
            }
            Self::BrokenOff => failed(&kube::Error::Service("reset by peer".into())),
            Self::Unsent => failed(&segment("a/b").unwrap_err()),
            Self::Written => Outcome::written(),
        }
    }
}

fn ends() -> impl Strategy<Value = End> {
    let codes = prop::sample::select(vec![
        400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504,
    ]);
    prop_oneof![
        codes.prop_map(End::Answered),
        Just(End::BrokenOff),
        Just(End::Unsent),
        Just(End::Written),
    ]
}

proptest! {
    /// Regardless of the results of the writes of several requests for one Machine: it is spent exactly if the API server
    /// may have accepted one of them, and while none was accepted, each request is approved in its turn.
    #[test]
    fn a_claim_is_there_only_if_a_write_was_sent(
        tries in prop::collection::vec((0_usize..3, ends()), 1..12),
    ) {
        let now = Timestamp::now();
        let mut cluster = Cluster::new(Policy::default(), []);
        let openshift = sources::of(Source::OpenShift).unwrap();
        let machine = (openshift.read)(machine("m-0", "worker-0")).unwrap();
        cluster.apply(Change::Machine(Box::new(machine)), now);
        let objects: Vec<Value> = ["zz evil", "X?y", "csr-2"].iter().map(|name| csr(name, "worker-0")).collect();
        let later = now.checked_add(jiff::SignedDuration::from_hours(1)).unwrap();
        let mut spent = false;
        for (number, end) in tries {
            let (request, _) = to_request(read(&objects[number])).unwrap();
            let uid = request.uid.clone();
            cluster.apply(Change::Request(Box::new(request)), now);
            let decision = cluster.judge(&uid, now);
            let approves = decision.is_some_and(|one| matches!(one.verdict(), Verdict::Approve(_)));
            prop_assert!(approves || spent, "{end:?}");
            if approves {
                spent |= end.is_maybe_done();
                cluster.settle(&uid, end.outcome().settlement);
            }
            prop_assert_eq!(!cluster.claims_to_record(later).is_empty(), spent, "{:?}", end);
            if spent {
                break;
            }
            cluster.apply(Change::RequestGone(uid), now);
        }
    }
}
