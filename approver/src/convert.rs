//! Kubernetes types to the core's, and back: the only place that knows both.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::Patch;
use rollcall_approver_core as core;
use rollcall_approver_core::{Request, RequestUid, Requestor, Standing};
use rollcall_csr::{
    CertificationRequest, MESSAGE_ANNOTATION, NodeName, ParseError, REASON_ANNOTATION, Signer,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::node::Node;
use crate::text::escaped;

/// The longest message of a condition, note of an Event or annotation that is written, in bytes (Kubernetes limits an Event's note
/// to 1 kB: `pkg/apis/core/validation/events.go`).
pub(crate) const MAX_MESSAGE: usize = 1000;

/// The annotations by which a request tells what it is held for.
const TOLD: [&str; 2] = [REASON_ANNOTATION, MESSAGE_ANNOTATION];

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
    /// What the request says that it is held for. Nothing else is kept of its metadata, which may be large.
    told: [Option<String>; 2],
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
        let [reason, message] = &self.told;
        reason.as_deref() == hold.map(|hold| hold.reason)
            && message.as_deref() == hold.map(|hold| hold.message.as_str())
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
    let mut annotations = metadata.annotations.unwrap_or_default();
    let told = TOLD.map(|key| annotations.remove(key).map(cut));
    let target = Target {
        name,
        uid,
        resource_version: metadata
            .resource_version
            .ok_or(Unusable::Missing("resourceVersion"))?,
        told,
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

/// The condition that says how a request was decided.
pub(crate) fn to_condition(
    type_: &str,
    finding: &core::Finding,
    now: Timestamp,
) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        last_transition_time: Some(Time(now)),
        last_update_time: Some(Time(now)),
        message: Some(shorten(&finding.message)),
        reason: Some(finding.reason.as_str().to_owned()),
        status: "True".to_owned(),
        type_: type_.to_owned(),
    }
}

/// The body of a write that decides: one more condition. What the request was held for no longer stands on it then.
pub(crate) fn to_approval(
    target: &Target,
    condition: CertificateSigningRequestCondition,
) -> Patch<Value> {
    let mut conditions = target.conditions.clone();
    conditions.push(condition);
    let mut change = to_annotated_value(target, None);
    if let Some(change) = change.as_object_mut() {
        change.insert("status".to_owned(), json!({"conditions": conditions}));
    }
    Patch::Merge(change)
}

/// The body of a write that decides nothing: it only has the request tell what it is held for.
pub(crate) fn to_annotated(target: &Target, hold: Option<&Hold>) -> Patch<Value> {
    Patch::Merge(to_annotated_value(target, hold))
}

/// A change of what a request is held for, as a merge patch (RFC 7396): what is not named stays as it is, so nothing of the
/// request has to be kept and sent back. Name, uid and resource version have to be those of the request that was judged: for
/// another one, or after any change, the API server answers with a conflict.
fn to_annotated_value(target: &Target, hold: Option<&Hold>) -> Value {
    let texts = hold.map(|hold| [hold.reason, hold.message.as_str()]);
    let tells = texts.is_some() || target.told.iter().any(Option::is_some);
    let [reason, message] = texts.map_or([None, None], |texts| texts.map(Some));
    let annotations =
        tells.then(|| json!({REASON_ANNOTATION: reason, MESSAGE_ANNOTATION: message}));
    let metadata = Metadata {
        name: &target.name,
        uid: &target.uid,
        resource_version: &target.resource_version,
        annotations,
    };
    json!({"metadata": metadata})
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    uid: &'a str,
    resource_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
}

/// Cuts what somebody else wrote in place of a message of ours: longer than any of those is enough to tell that it is none.
fn cut(text: String) -> String {
    if text.len() <= MAX_MESSAGE {
        return text;
    }
    let end = text.ceil_char_boundary(MAX_MESSAGE.saturating_add(1));
    text.get(..end).unwrap_or_default().to_owned()
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
