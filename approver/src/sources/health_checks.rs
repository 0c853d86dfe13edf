//! The MachineHealthChecks of any source, for the commands that print when a Machine will be given up. Decisions do not
//! depend on them: the controller does not watch them, and their kind is optional.

use std::collections::HashSet;
use std::fmt::Debug;
use std::marker::PhantomData;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{
    Change, Feed, HealthCheck, Limit, MachineReference, Requirement, Scope, Selector,
    UnhealthyCondition,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;

use super::fields::NotARecord;
use super::machines::{MachineApi, locate};
use super::object::Object;
use crate::engine::Input;
use crate::feed::Watched;
use crate::guard::Guarded;

/// The name of the kind in every API that has MachineHealthChecks.
pub(crate) const KIND: &str = "MachineHealthCheck";
const PLURAL: &str = "machinehealthchecks";
/// The time that a Machine has to get a Node, unless a check sets another (openshift/api `machine/v1beta1`, cluster-api
/// `api/core`: 10 minutes in both).
const STARTUP_TIMEOUT: SignedDuration = SignedDuration::from_mins(10);
/// The annotation of a paused check (machine-api-operator, cluster-api).
const PAUSED: &str = "cluster.x-k8s.io/paused";

/// A Machine API that has MachineHealthChecks.
pub(crate) trait HealthCheckApi: MachineApi {
    /// The fields of their spec that are read.
    type CheckSpec: Clone + Debug + DeserializeOwned + Send + Sync + 'static;

    /// The selector of a check, its time limits and the number that may be unhealthy.
    ///
    /// # Errors
    /// If a field is invalid.
    fn terms(spec: Self::CheckSpec) -> Result<Terms, NotARecord>;
}

/// The terms of a MachineHealthCheck.
pub(super) struct Terms {
    pub(super) selector: Selector,
    pub(super) startup_timeout: Option<SignedDuration>,
    pub(super) conditions: Vec<UnhealthyCondition>,
    pub(super) limit: Limit,
}

/// A status of a Node's condition that makes it unhealthy, with the fields of all versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unhealthy {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    /// A duration in Go's format.
    timeout: Option<String>,
    /// In `v1beta2` of Cluster API.
    timeout_seconds: Option<u32>,
}

/// Reads the conditions that make a Node unhealthy.
pub(super) fn conditions(
    unhealthy: Option<Vec<Unhealthy>>,
) -> Result<Vec<UnhealthyCondition>, NotARecord> {
    let read = |condition: Unhealthy| {
        let seconds = condition.timeout_seconds.map(i64::from);
        let timeout = match (condition.timeout, seconds) {
            (Some(text), _) => text.parse().map_err(|_| NotARecord::Duration(text))?,
            (None, Some(seconds)) => SignedDuration::from_secs(seconds),
            (None, None) => return Err(NotARecord::NoTimeout(condition.type_)),
        };
        Ok(UnhealthyCondition {
            kind: condition.type_,
            status: condition.status,
            timeout,
        })
    };
    unhealthy.into_iter().flatten().map(read).collect()
}

/// The MachineHealthChecks of one source in one scope.
pub(crate) struct HealthChecks<A> {
    scope: Scope,
    api: PhantomData<A>,
}

impl<A: HealthCheckApi> HealthChecks<A> {
    /// The checks of a scope.
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            api: PhantomData,
        }
    }
}

type Record<A> = Object<<A as HealthCheckApi>::CheckSpec, Value>;

/// Converts an object; returns `None` while it is paused.
fn read<A: HealthCheckApi>(object: Record<A>) -> Result<Option<HealthCheck>, NotARecord> {
    let reference = reference(&object.metadata).ok_or(NotARecord::Missing("name"))?;
    let annotations = object.metadata.annotations.unwrap_or_default();
    if annotations.contains_key(PAUSED) {
        return Ok(None);
    }
    let Terms {
        selector,
        startup_timeout,
        conditions,
        limit,
    } = A::terms(object.spec.ok_or(NotARecord::NoSpec)?)?;
    Ok(Some(HealthCheck {
        source: A::SOURCE,
        reference,
        selector,
        startup_timeout,
        conditions,
        limit,
    }))
}

fn reference(metadata: &ObjectMeta) -> Option<MachineReference> {
    Some(MachineReference {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone()?,
    })
}

/// Converts a check from JSON.
pub(super) fn read_value<A: HealthCheckApi>(value: Value) -> Result<Option<Change>, String> {
    let object: Record<A> = serde_json::from_value(value)
        .map_err(|error| format!("a field is not what its kind says: {error}"))?;
    let check = read::<A>(object).map_err(|error| error.to_string())?;
    Ok(check.map(|check| Change::HealthCheck(Box::new(check))))
}

/// Reads a label selector.
pub(super) fn selector(selector: LabelSelector) -> Result<Selector, NotARecord> {
    let labels = selector.match_labels.unwrap_or_default().into_iter();
    let labels = labels.map(|(key, value)| Ok(Requirement::In(key, vec![value])));
    let expressions = selector.match_expressions.unwrap_or_default().into_iter();
    let expressions = expressions.map(|expression| {
        let (key, values) = (expression.key, expression.values.unwrap_or_default());
        match expression.operator.as_str() {
            "DoesNotExist" => Ok(Requirement::Absent(key)),
            "Exists" => Ok(Requirement::Present(key)),
            "In" => Ok(Requirement::In(key, values)),
            "NotIn" => Ok(Requirement::NotIn(key, values)),
            other => Err(NotARecord::Selector(other.to_owned())),
        }
    });
    labels
        .chain(expressions)
        .collect::<Result<_, _>>()
        .map(Selector)
}

/// Reads the number that may be unhealthy; all, if it is not set.
pub(super) fn limit(limit: Option<IntOrString>) -> Result<Limit, NotARecord> {
    let text = match limit {
        None => return Ok(Limit::Percent(100)),
        Some(IntOrString::Int(count)) => count.to_string(),
        Some(IntOrString::String(text)) => text,
    };
    Ok(text.parse()?)
}

/// Reads the startup timeout in Go's format (`10m0s`); the default is ten minutes, and zero means no limit.
pub(super) fn startup_timeout(text: Option<&str>) -> Result<Option<SignedDuration>, NotARecord> {
    let timeout = match text {
        None => STARTUP_TIMEOUT,
        Some("0") => SignedDuration::ZERO,
        Some(text) => text
            .parse()
            .map_err(|_| NotARecord::Duration(text.to_owned()))?,
    };
    Ok((timeout > SignedDuration::ZERO).then_some(timeout))
}

impl<A: HealthCheckApi> Watched for HealthChecks<A> {
    type Resource = Guarded<Record<A>>;
    type Key = MachineReference;
    type Memory = ();

    fn feed(&self) -> Feed {
        Feed::HealthChecks(self.scope.clone())
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<Self::Resource>> {
        let kind = (A::GROUP, A::VERSIONS, KIND, PLURAL);
        locate(client, kind, &self.scope.namespace).await
    }

    fn put(&self, (): &mut (), object: Self::Resource) -> Option<(MachineReference, Input)> {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let known = MachineReference { namespace, name };
        let guarded = object.0.map_err(|error| error.to_string());
        let read = guarded.and_then(|object| read::<A>(object).map_err(|error| error.to_string()));
        let change = match read {
            Ok(Some(check)) => Change::HealthCheck(Box::new(check)),
            Ok(None) => Change::HealthCheckGone(A::SOURCE, known.clone()),
            Err(error) => {
                warn!(
                    source = A::SOURCE.as_str(),
                    check = %known,
                    error,
                    "this MachineHealthCheck cannot be read and is left out"
                );
                Change::HealthCheckGone(A::SOURCE, known.clone())
            }
        };
        Some((known, Input::Change(change)))
    }

    fn gone(&self, (): &mut (), object: &Self::Resource) -> Option<Change> {
        let name = object.name_any();
        let namespace = object.namespace().unwrap_or_default();
        Some(Change::HealthCheckGone(
            A::SOURCE,
            MachineReference { namespace, name },
        ))
    }

    fn all(&self, (): &mut (), present: HashSet<MachineReference>) -> Change {
        Change::HealthCheckList(self.scope.clone(), present)
    }
}

#[cfg(test)]
#[path = "health_checks_tests.rs"]
mod tests;
