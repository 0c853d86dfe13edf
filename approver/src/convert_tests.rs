//! The conversion of Kubernetes objects to the core's types, and the objects that cannot be decided.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{csr, read};

fn request(change: impl FnOnce(&mut Value)) -> Result<(Request, Target), Unusable> {
    let mut object = csr("csr-0", "worker-0");
    change(&mut object);
    to_request(read(&object))
}

fn condition(type_: &str) -> Value {
    json!({"type": type_, "status": "True", "reason": "R", "lastUpdateTime": "2026-11-01T00:00:00Z"})
}

#[test]
fn a_request_is_read_whole() {
    let object = csr("csr-0", "worker-0");
    let (request, target) = to_request(read(&object)).unwrap();
    assert_eq!(request.uid, RequestUid("csr-0".to_owned()));
    assert_eq!(request.name, "csr-0");
    assert_eq!(request.signer, Signer::KubeApiserverClientKubelet);
    assert_eq!(
        request.requestor.username,
        object["spec"]["username"].as_str().unwrap()
    );
    assert_eq!(request.requestor.groups, ["system:authenticated"]);
    assert_eq!(request.usages, ["digital signature", "client auth"]);
    assert_eq!(
        request.created_at.to_string(),
        object["metadata"]["creationTimestamp"].as_str().unwrap()
    );
    assert_eq!(request.node_name().unwrap().as_str(), "worker-0");
    assert!(request.is_pending());
    assert_eq!(
        (target.name, target.resource_version),
        ("csr-0".to_owned(), "7".to_owned())
    );
}

#[test]
fn a_request_that_is_being_deleted_is_never_approved() {
    for (conditions, expected) in [
        (json!([]), Standing::Closed),
        (json!([condition("Denied")]), Standing::Closed),
        // An approval remains one, and its claim with it.
        (
            json!([condition("Approved")]),
            Standing::Approved("2026-11-01T00:00:00Z".parse().unwrap()),
        ),
    ] {
        let (request, _) = request(|object| {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-01T00:00:00Z");
            object["metadata"]["finalizers"] = json!(["example.com/kept"]);
            object["status"]["conditions"] = conditions;
        })
        .unwrap();
        assert_eq!(request.standing, expected);
    }
}

#[test]
fn a_request_stands_as_its_conditions_say() {
    let approved = Standing::Approved("2026-11-01T00:00:00Z".parse().unwrap());
    let unknown = json!({"type": "Approved", "status": "True"});
    for (conditions, expected) in [
        (json!([]), Standing::Pending),
        (json!([condition("Custom")]), Standing::Pending),
        (json!([condition("Approved")]), approved),
        (json!([condition("Denied")]), Standing::Closed),
        (json!([condition("Failed")]), Standing::Closed),
        (
            json!([condition("Approved"), condition("Failed")]),
            Standing::Closed,
        ),
        // Without a time the approval still spends the Machine.
        (json!([unknown]), Standing::Approved(Timestamp::UNIX_EPOCH)),
    ] {
        let (request, _) = request(|object| {
            object["status"] = json!({"conditions": conditions.clone()});
        })
        .unwrap();
        assert_eq!(request.standing, expected, "{conditions}");
    }
}

#[test]
fn a_request_that_cannot_be_parsed_is_still_a_request() {
    let (request, _) = request(|object| object["spec"]["request"] = json!("bm90aGluZw==")).unwrap();
    assert_eq!(request.content.unwrap_err().as_str(), "NotPem");
    // A missing requestor counts as unknown, and missing usages or groups as empty.
    let (request, _) = self::request(|object| {
        let spec = object["spec"].as_object_mut().unwrap();
        for field in ["username", "groups", "usages"] {
            spec.remove(field);
        }
    })
    .unwrap();
    assert_eq!(request.requestor, Requestor::default());
    assert!(request.usages.is_empty());
}

#[test]
fn what_tells_requests_apart_must_be_there() {
    for field in ["uid", "name", "creationTimestamp", "resourceVersion"] {
        let error = request(|object| {
            object["metadata"].as_object_mut().unwrap().remove(field);
        });
        assert_eq!(error.unwrap_err(), Unusable::Missing(field));
    }
    let error = request(|object| object["spec"]["signerName"] = json!("example.com/other"));
    assert_eq!(
        error.unwrap_err().to_string(),
        "example.com/other is not a signer of kubelet certificates"
    );
}

fn whole(metadata: &Value) -> Node {
    let conditions = json!([
        {"type": "DiskPressure", "status": "False", "lastHeartbeatTime": "2026-11-02T00:00:07Z"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T00:00:09Z",
         "lastHeartbeatTime": "2026-11-02T00:00:00Z"},
        {"type": "PIDPressure", "status": "False", "lastHeartbeatTime": null},
    ]);
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"providerID": "aws:///a/i-0"},
        "status": {
            "conditions": conditions,
            "nodeInfo": {"machineID": "", "systemUUID": "ec2-0", "kubeletVersion": "v1.36.3"},
        },
    }))
    .unwrap()
}

#[test]
fn of_a_node_little_is_kept() {
    let created = "2026-11-01T00:00:00Z";
    let read = |metadata: &Value| to_node(whole(metadata), false);
    let (name, node) =
        read(&json!({"name": "worker-0", "uid": "n", "creationTimestamp": created})).unwrap();
    assert_eq!(name.as_str(), "worker-0");
    let expected = core::Node {
        ready: true,
        ready_since: "2026-11-01T00:00:09Z".parse().ok(),
        last_heartbeat: "2026-11-02T00:00:07Z".parse().ok(),
        provider_id: Some("aws:///a/i-0".to_owned()),
        system_uuid: Some("ec2-0".to_owned()),
        ..core::Node::new("n", created.parse().unwrap())
    };
    assert_eq!(node, expected);
    assert_eq!(
        read(&json!({"name": "worker-0", "creationTimestamp": created})),
        Err(Unusable::Missing("uid"))
    );
    assert!(matches!(
        read(&json!({"name": "Worker", "uid": "n", "creationTimestamp": created})),
        Err(Unusable::NodeName(_))
    ));
}

#[test]
fn messages_are_cut_between_characters() {
    assert_eq!(shorten("short"), "short");
    assert_eq!(shorten(&"a".repeat(1001)), "a".repeat(1000));
    // The character that does not fit completely is left out.
    let long = format!("{}é", "a".repeat(999));
    assert_eq!(shorten(&long), "a".repeat(999));
}

#[test]
fn an_event_points_at_the_request() {
    let (_, target) = request(|_| {}).unwrap();
    let reference = to_reference(&target);
    assert_eq!(reference.kind.as_deref(), Some("CertificateSigningRequest"));
    assert_eq!(
        reference.api_version.as_deref(),
        Some("certificates.k8s.io/v1")
    );
    assert_eq!(reference.name.as_deref(), Some("csr-0"));
    assert_eq!(reference.uid.as_deref(), Some("csr-0"));
    assert_eq!(reference.namespace, None);
}
