//! Conversion between Kubernetes types and those of the core: the only place that knows both.

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
use crate::object_name::segment;
use crate::text::escaped;

/// The longest message of a condition, note of an Event or annotation that is written, in bytes (Kubernetes limits an
/// Event's note to 1 kB: `pkg/apis/core/validation/events.go`).
pub(crate) const MAX_MESSAGE: usize = 1000;

/// The bytes of metadata kept for a request until it is decided: a kubelet's request has none. One credential can create
/// very many requests.
const MAX_KEPT: usize = 1024;
/// The limit for the metadata of a request that is decided: what `kubectl apply` records of the largest request, with a
/// margin.
const MAX_CARRIED: usize = 64 * 1024;

/// The annotations for the reason of a hold on a request.
const TOLD: [&str; 2] = [REASON_ANNOTATION, MESSAGE_ANNOTATION];
/// The annotation that changes the version of a request that a former leader may still be approving.
const MARK_ANNOTATION: &str = "rollcall.dev/seen-by";

/// The reasons why an object cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("metadata.{0} is missing")]
    Missing(&'static str),
    #[error(
        "its metadata hold some {0} bytes besides its name; more than {MAX_CARRIED} are not carried along"
    )]
    Large(usize),
    #[error("its name cannot be sent, so nothing can be written to it")]
    Name,
    #[error("the node name is not one: {0}")]
    NodeName(rollcall_csr::NodeNameError),
    #[error(transparent)]
    Signer(#[from] rollcall_csr::UnknownSigner),
}

/// The part of a request object that a write needs and the core does not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    signer: Signer,
    /// The reason of the hold that the request's annotations contain now.
    told: [Option<String>; 2],
    /// The metadata that a write has to send back, unless it is too large to be kept for each request: then it is read
    /// again.
    carried: Option<Box<Carried>>,
    conditions: Vec<CertificateSigningRequestCondition>,
}

/// Metadata that the approval sub-resource overwrites with what is sent, so that the present values have to be sent back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Carried {
    annotations: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl Carried {
    /// Returns those of an object.
    pub(crate) fn of(metadata: ObjectMeta) -> Self {
        Self {
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            labels: metadata.labels,
            owner_references: metadata.owner_references,
        }
    }

    /// Their approximate size in bytes.
    fn size(&self) -> usize {
        let maps = [&self.annotations, &self.labels];
        let pairs = maps.into_iter().flatten().flatten();
        let finalizers = self.finalizers.iter().flatten();
        let owners = self.owner_references.iter().flatten();
        pairs
            .flat_map(|(key, value)| [key.len(), value.len()])
            .chain(finalizers.map(String::len))
            .chain(owners.map(|owner| {
                let texts = [&owner.api_version, &owner.kind, &owner.name, &owner.uid];
                texts.map(|text| text.len()).iter().sum()
            }))
            .fold(0, usize::saturating_add)
    }
}

impl Target {
    /// The metadata that a write has to send back, if it is kept.
    pub(crate) fn carried(&self) -> Option<&Carried> {
        self.carried.as_deref()
    }

    /// The condition by which the request was decided, if it was. A failed request was usually approved before: then the
    /// approval counts.
    pub(crate) fn decided(&self) -> Option<&CertificateSigningRequestCondition> {
        let find = |type_| {
            let mut conditions = self.conditions.iter();
            conditions.find(|condition| condition.type_ == type_)
        };
        ["Denied", "Approved", "Failed"].into_iter().find_map(find)
    }

    /// Returns true if the annotations of the request match its hold, or its absence. They are not trusted for anything
    /// else.
    pub(crate) fn tells(&self, hold: Option<&Hold>) -> bool {
        let [reason, message] = &self.told;
        reason.as_deref() == hold.map(|hold| hold.reason)
            && message.as_deref() == hold.map(|hold| hold.message.as_str())
    }
}

/// The reason of a hold, as in the annotations of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    reason: &'static str,
    message: String,
}

impl Hold {
    /// The text of a decision to hold, the same as in the Event.
    pub(crate) fn new(reason: core::Reason, message: &str) -> Self {
        Self {
            reason: reason.as_str(),
            message: shorten(message),
        }
    }
}

/// The content of `spec.request`, or the error of reading it.
pub(crate) type Content = Result<CertificationRequest, ParseError>;

/// Converts a request object to the input of the core and the input of a write.
pub(crate) fn to_request(object: CertificateSigningRequest) -> Result<(Request, Target), Unusable> {
    to_request_with(object, None)
}

/// Converts a request object to the input of the core and the input of a write. Its content is parsed unless it is known.
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
        standing: standing_now(&conditions, metadata.deletion_timestamp.is_some()),
        issued: status.certificate.is_some(),
        content: known.unwrap_or_else(|| CertificationRequest::from_pem(&spec.request.0)),
    };
    let mut carried = Carried {
        annotations: metadata.annotations,
        finalizers: metadata.finalizers,
        labels: metadata.labels,
        owner_references: metadata.owner_references,
    };
    let told = TOLD.map(|key| {
        let annotations = carried.annotations.as_mut()?;
        annotations.remove(key).map(cut)
    });
    let size = carried.size();
    if request.is_pending() && size > MAX_CARRIED {
        return Err(Unusable::Large(size));
    }
    if request.is_pending() && segment(&name).is_err() {
        return Err(Unusable::Name);
    }
    let target = Target {
        name,
        uid,
        resource_version: metadata
            .resource_version
            .ok_or(Unusable::Missing("resourceVersion"))?,
        signer,
        told,
        carried: (size <= MAX_KEPT).then(|| Box::new(carried)),
        conditions,
    };
    Ok((request, target))
}

/// Returns true if nothing more happens to a request before it is removed: it has its certificate, or will never get one.
pub(crate) fn is_over(object: &CertificateSigningRequest) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.certificate.is_some())
        || standing(conditions(object)) == Standing::Closed
}

/// Returns true if a request was denied. Then it was never approved either (Kubernetes: `pkg/apis/certificates/validation`,
/// the two exclude each other).
pub(crate) fn is_denied(object: &CertificateSigningRequest) -> bool {
    let mut conditions = conditions(object).iter();
    conditions.any(|condition| condition.type_ == "Denied")
}

fn conditions(object: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    let status = object.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default()
}

/// A request that is being deleted is not approved, even if a finalizer keeps it for a while.
fn standing_now(conditions: &[CertificateSigningRequestCondition], terminating: bool) -> Standing {
    let standing = standing(conditions);
    if terminating && standing == Standing::Pending {
        return Standing::Closed;
    }
    standing
}

/// Denied and Failed override Approved: such a request never gets a certificate.
fn standing(conditions: &[CertificateSigningRequestCondition]) -> Standing {
    let find = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    if find("Denied").or_else(|| find("Failed")).is_some() {
        return Standing::Closed;
    }
    find("Approved").map_or(Standing::Pending, |condition| {
        // The API server fills in the time; without it the claim counts as the oldest possible, and still counts.
        Standing::Approved(
            condition
                .last_update_time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        )
    })
}

/// The condition that records the decision on a request.
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

/// The body of a write that decides: one more condition, without the annotations of a hold.
pub(crate) fn to_approval(
    target: &Target,
    carried: Carried,
    condition: CertificateSigningRequestCondition,
) -> CertificateSigningRequest {
    let mut conditions = target.conditions.clone();
    conditions.push(condition);
    to_update(target, carried, conditions, None)
}

/// The body of a write that only annotates the request with the reason of its hold.
pub(crate) fn to_annotated(
    target: &Target,
    carried: Carried,
    hold: Option<&Hold>,
) -> CertificateSigningRequest {
    to_update(target, carried, target.conditions.clone(), hold)
}

/// The body of a write that only changes the version of the request.
pub(crate) fn to_marked(
    target: &Target,
    carried: Carried,
    mark: &str,
) -> CertificateSigningRequest {
    let told = carried.annotations.clone().unwrap_or_default();
    let mut body = to_update(target, carried, target.conditions.clone(), None);
    let annotations = body.metadata.annotations.get_or_insert_default();
    annotations.extend(told);
    annotations.insert(MARK_ANNOTATION.to_owned(), mark.to_owned());
    body
}

/// The body of a write to the approval sub-resource: conditions and annotations of the hold, everything else unchanged. The
/// API server keeps its own spec (Kubernetes: `pkg/registry/certificates/certificates/strategy.go`), so the request itself
/// is not sent back.
fn to_update(
    target: &Target,
    carried: Carried,
    conditions: Vec<CertificateSigningRequestCondition>,
    hold: Option<&Hold>,
) -> CertificateSigningRequest {
    let mut annotations = carried.annotations.unwrap_or_default();
    annotations.retain(|key, _| !TOLD.contains(&key.as_str()));
    if let Some(Hold { reason, message }) = hold {
        annotations.insert(REASON_ANNOTATION.to_owned(), (*reason).to_owned());
        annotations.insert(MESSAGE_ANNOTATION.to_owned(), message.clone());
    }
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(target.name.clone()),
            uid: Some(target.uid.clone()),
            resource_version: Some(target.resource_version.clone()),
            annotations: Some(annotations),
            finalizers: carried.finalizers,
            labels: carried.labels,
            owner_references: carried.owner_references,
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            signer_name: target.signer.name().to_owned(),
            ..CertificateSigningRequestSpec::default()
        },
        status: Some(CertificateSigningRequestStatus {
            conditions: Some(conditions),
            certificate: None,
        }),
    }
}

/// Cuts text that another client wrote in place of our message: anything longer than ours is already known to differ.
fn cut(text: String) -> String {
    if text.len() <= MAX_MESSAGE {
        return text;
    }
    let end = text.ceil_char_boundary(MAX_MESSAGE.saturating_add(1));
    text.get(..end).unwrap_or_default().to_owned()
}

/// The reference to a request for an Event.
pub(crate) fn to_reference(target: &Target) -> ObjectReference {
    ObjectReference {
        api_version: Some("certificates.k8s.io/v1".to_owned()),
        kind: Some("CertificateSigningRequest".to_owned()),
        name: Some(target.name.clone()),
        uid: Some(target.uid.clone()),
        ..ObjectReference::default()
    }
}

/// Converts a Node, with its conditions if they are requested.
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
    // Only the control-plane labels are parsed.
    node.control_plane = metadata.labels.is_some();
    if with_conditions {
        node.conditions = object.take_conditions();
    }
    Ok((name, node))
}

/// Escapes characters that could control a terminal or forge a line, and cuts the message to [`MAX_MESSAGE`] bytes, between
/// characters.
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
