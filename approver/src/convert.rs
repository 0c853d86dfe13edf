//! Kubernetes types to the core's, and back: the only place that knows both.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use rollcall_approver_core as core;
use rollcall_approver_core::{Request, RequestUid, Requestor, Standing};
use rollcall_csr::{
    CertificationRequest, MESSAGE_ANNOTATION, NodeName, ParseError, REASON_ANNOTATION, Signer,
};

use crate::node::Node;
use crate::text::escaped;

/// The longest message of a condition, note of an Event or annotation that is written, in bytes (Kubernetes limits an Event's note
/// to 1 kB: `pkg/apis/core/validation/events.go`).
pub(crate) const MAX_MESSAGE: usize = 1000;

/// Why an object cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("metadata.{0} is missing")]
    Missing(&'static str),
    #[error("the node name is not one: {0}")]
    NodeName(rollcall_csr::NodeNameError),
    #[error(transparent)]
    Signer(#[from] rollcall_csr::UnknownSigner),
}

/// What a write to a request needs to know of the object, and the core does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    signer_name: String,
    // The approval sub-resource takes metadata as it is sent, so what is there has to be sent back.
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    conditions: Vec<CertificateSigningRequestCondition>,
}

impl Target {
    /// The condition by which the request was decided, if it was. A request that failed was approved before, as a rule:
    /// then that counts.
    pub(crate) fn decided(&self) -> Option<&CertificateSigningRequestCondition> {
        let find = |type_| {
            let mut conditions = self.conditions.iter();
            conditions.find(|condition| condition.type_ == type_)
        };
        ["Denied", "Approved", "Failed"].into_iter().find_map(find)
    }

    /// Whether the request says itself what it is held for, or nothing if it is not held. What it says is not believed.
    pub(crate) fn tells(&self, hold: Option<&Hold>) -> bool {
        let text = |key| {
            let annotations = self.annotations.as_ref()?;
            annotations.get(key).map(String::as_str)
        };
        text(REASON_ANNOTATION) == hold.map(|hold| hold.reason)
            && text(MESSAGE_ANNOTATION) == hold.map(|hold| hold.message.as_str())
    }
}

/// Why a request is held, as the request itself tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    reason: &'static str,
    message: String,
}

impl Hold {
    /// What a decision to hold says, with what the Event says too.
    pub(crate) fn new(reason: core::Reason, message: &str) -> Self {
        Self {
            reason: reason.as_str(),
            message: shorten(message),
        }
    }
}

/// What `spec.request` asks for, or why that could not be read.
pub(crate) type Content = Result<CertificationRequest, ParseError>;

/// Reads a request object: what the core judges, and what a write needs.
pub(crate) fn to_request(object: CertificateSigningRequest) -> Result<(Request, Target), Unusable> {
    to_request_with(object, None)
}

/// Reads a request object: what the core judges, and what a write needs. What it asks for is read unless it is known.
pub(crate) fn to_request_with(
    object: CertificateSigningRequest,
    known: Option<Content>,
) -> Result<(Request, Target), Unusable> {
    let CertificateSigningRequest {
        metadata,
        spec,
        status,
    } = object;
    let uid = metadata.uid.ok_or(Unusable::Missing("uid"))?;
    let name = metadata.name.ok_or(Unusable::Missing("name"))?;
    let signer: Signer = spec.signer_name.parse()?;
    let status = status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let request = Request {
        uid: RequestUid(uid.clone()),
        name: name.clone(),
        signer,
        requestor: Requestor {
            username: spec.username.unwrap_or_default(),
            groups: spec.groups.unwrap_or_default(),
        },
        usages: spec.usages.unwrap_or_default(),
        created_at: metadata
            .creation_timestamp
            .ok_or(Unusable::Missing("creationTimestamp"))?
            .0,
        standing: standing(&conditions),
        issued: status.certificate.is_some(),
        content: known.unwrap_or_else(|| CertificationRequest::from_pem(&spec.request.0)),
    };
    let target = Target {
        name,
        uid,
        resource_version: metadata
            .resource_version
            .ok_or(Unusable::Missing("resourceVersion"))?,
        signer_name: spec.signer_name,
        annotations: metadata.annotations,
        finalizers: metadata.finalizers,
        labels: metadata.labels,
        owner_references: metadata.owner_references,
        conditions,
    };
    Ok((request, target))
}

/// Whether nothing more happens to a request before it is removed: it has its certificate, or will never get one.
pub(crate) fn is_over(object: &CertificateSigningRequest) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.certificate.is_some())
        || standing(conditions(object)) == Standing::Closed
}

/// Whether a request was denied. Then it never was approved either (Kubernetes: `pkg/apis/certificates/validation`, the two
/// exclude each other).
pub(crate) fn is_denied(object: &CertificateSigningRequest) -> bool {
    let mut conditions = conditions(object).iter();
    conditions.any(|condition| condition.type_ == "Denied")
}

fn conditions(object: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    let status = object.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default()
}

/// Denied and Failed outweigh Approved: such a request never gets a certificate.
fn standing(conditions: &[CertificateSigningRequestCondition]) -> Standing {
    let find = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    if find("Denied").or_else(|| find("Failed")).is_some() {
        return Standing::Closed;
    }
    find("Approved").map_or(Standing::Pending, |condition| {
        // The API server fills the time in; without it the claim counts as the oldest there can be, and still counts.
        Standing::Approved(
            condition
                .last_update_time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        )
    })
}

/// The body of a write that decides: one more condition. What the request was held for no longer stands on it then.
pub(crate) fn to_approval(
    target: &Target,
    type_: &str,
    finding: &core::Finding,
    now: Timestamp,
) -> CertificateSigningRequest {
    let mut conditions = target.conditions.clone();
    conditions.push(CertificateSigningRequestCondition {
        last_transition_time: Some(Time(now)),
        last_update_time: Some(Time(now)),
        message: Some(shorten(&finding.message)),
        reason: Some(finding.reason.as_str().to_owned()),
        status: "True".to_owned(),
        type_: type_.to_owned(),
    });
    to_update(target, conditions, None)
}

/// The body of a write that decides nothing: it only has the request tell what it is held for.
pub(crate) fn to_annotated(target: &Target, hold: Option<&Hold>) -> CertificateSigningRequest {
    to_update(target, target.conditions.clone(), hold)
}

/// The body of a write to the approval sub-resource: conditions and what it is held for, everything else as it was. The API
/// server keeps its own spec (Kubernetes: `pkg/registry/certificates/certificates/strategy.go`), so the request itself is not
/// sent back.
fn to_update(
    target: &Target,
    conditions: Vec<CertificateSigningRequestCondition>,
    hold: Option<&Hold>,
) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            uid: Some(target.uid.clone()),
            resource_version: Some(target.resource_version.clone()),
            annotations: Some(annotations(target, hold)),
            finalizers: target.finalizers.clone(),
            labels: target.labels.clone(),
            owner_references: target.owner_references.clone(),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            signer_name: target.signer_name.clone(),
            ..CertificateSigningRequestSpec::default()
        },
        status: Some(CertificateSigningRequestStatus {
            conditions: Some(conditions),
            certificate: None,
        }),
    }
}

/// The annotations of a request, with what it is held for in place of what stood there.
fn annotations(target: &Target, hold: Option<&Hold>) -> BTreeMap<String, String> {
    let mut annotations = target.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| ![REASON_ANNOTATION, MESSAGE_ANNOTATION].contains(&key.as_str()));
    if let Some(Hold { reason, message }) = hold {
        annotations.insert(REASON_ANNOTATION.to_owned(), (*reason).to_owned());
        annotations.insert(MESSAGE_ANNOTATION.to_owned(), message.clone());
    }
    annotations
}

/// What an Event about a request points at.
pub(crate) fn to_reference(target: &Target) -> ObjectReference {
    ObjectReference {
        api_version: Some("certificates.k8s.io/v1".to_owned()),
        kind: Some("CertificateSigningRequest".to_owned()),
        name: Some(target.name.clone()),
        uid: Some(target.uid.clone()),
        ..ObjectReference::default()
    }
}

/// Reads a Node, and, where they are asked for, its conditions.
pub(crate) fn to_node(
    mut object: Node,
    with_conditions: bool,
) -> Result<(NodeName, core::Node), Unusable> {
    let metadata = std::mem::take(&mut object.metadata);
    let name = metadata
        .name
        .ok_or(Unusable::Missing("name"))?
        .parse()
        .map_err(Unusable::NodeName)?;
    let uid = metadata.uid.ok_or(Unusable::Missing("uid"))?;
    let created_at = metadata
        .creation_timestamp
        .ok_or(Unusable::Missing("creationTimestamp"))?
        .0;
    let mut node = object.take(uid, created_at);
    if with_conditions {
        node.conditions = object.take_conditions();
    }
    Ok((name, node))
}

/// Escapes what could steer a terminal or forge a line, and cuts the message to [`MAX_MESSAGE`] bytes, between characters.
pub(crate) fn shorten(message: &str) -> String {
    let message = escaped(message);
    message
        .get(..message.floor_char_boundary(MAX_MESSAGE))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
