//! The feed of Machines of any source: the common part of the sources.

use std::collections::HashSet;
use std::fmt::Debug;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope, GroupVersionKind};
use kube::{Api, Client, Resource, ResourceExt as _};
use rollcall_approver_core::{Change, Feed, Machine, MachineReference, MachineUid, Scope, Source};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;

use super::fields::{NotARecord, is_control_plane, join_key};
use super::object::Object;
use crate::engine::Input;
use crate::feed::Watched;
use crate::guard::Guarded;
use crate::rights::Right;

/// One API with Machine records: its resource, and the conversion of its objects.
pub(crate) trait MachineApi: Send + Sync + 'static {
    /// The source.
    const SOURCE: Source;
    /// Its API group.
    const GROUP: &'static str;
    /// The supported versions, the best first.
    const VERSIONS: &'static [&'static str];
    /// The kind of its records.
    const KIND: &'static str;
    /// The resource.
    const PLURAL: &'static str;
    /// True if its records are namespaced.
    const NAMESPACED: bool = true;
    /// The rights to read them.
    const RIGHTS: &'static [Right];
    /// The fields of its spec that are read.
    type Spec: Clone + Debug + Default + DeserializeOwned + Send + Sync + 'static;
    /// The fields of its status that are read.
    type Status: Clone + Debug + Default + DeserializeOwned + Send + Sync + 'static;

    /// Adds an object's facts to a Machine, which already has those of the metadata: identity, creation time, deletion, and
    /// the pinned key.
    ///
    /// # Errors
    /// If the object is not plausible.
    fn fill(
        machine: &mut Machine,
        metadata: &ObjectMeta,
        spec: Self::Spec,
        status: Self::Status,
    ) -> Result<(), NotARecord>;
}

/// The Machines of one source in one scope.
pub(crate) struct Machines<A> {
    scope: Scope,
    api: PhantomData<A>,
}

impl<A: MachineApi> Machines<A> {
    /// The Machines of a scope.
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            api: PhantomData,
        }
    }
}

type Record<A> = Object<<A as MachineApi>::Spec, <A as MachineApi>::Status>;

/// Converts an object to a record.
fn read<A: MachineApi>(object: Record<A>) -> Result<Machine, NotARecord> {
    let Object {
        metadata,
        spec,
        status,
    } = object;
    let text = |field: &Option<String>, name| field.clone().ok_or(NotARecord::Missing(name));
    let created_at = metadata.creation_timestamp.as_ref();
    let reference = MachineReference {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: text(&metadata.name, "name")?,
    };
    let mut machine = Machine {
        deleting: metadata.deletion_timestamp.is_some(),
        join_key: metadata.annotations.as_ref().and_then(join_key),
        control_plane: metadata.labels.as_ref().is_some_and(is_control_plane),
        ..Machine::new(
            A::SOURCE,
            MachineUid(text(&metadata.uid, "uid")?),
            reference,
            created_at
                .ok_or(NotARecord::Missing("creationTimestamp"))?
                .0,
        )
    };
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    A::fill(&mut machine, &metadata, spec, status)?;
    Ok(machine)
}

/// Converts an object in JSON to a record.
pub(super) fn read_value<A: MachineApi>(value: Value) -> Result<Machine, String> {
    let object: Record<A> = serde_json::from_value(value)
        .map_err(|error| format!("a field is not what its kind says: {error}"))?;
    read::<A>(object).map_err(|error| error.to_string())
}

/// A kind: its group, its supported versions, the best first, its name and that of its resource.
pub(super) type Kind = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

/// The API for the objects of a kind, in a namespace or in all, in the best of the versions that the API server has.
pub(super) async fn locate<K>(client: &Client, kind: Kind, namespace: &str) -> kube::Result<Api<K>>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    let (group, _, name, plural) = kind;
    let version = version(client, kind).await?;
    let kind = GroupVersionKind::gvk(group, version, name);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Ok(match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    })
}

/// The best version that the API server has; the last one if it has none, so that its answer to a list names what is
/// missing.
async fn version(
    client: &Client,
    (group, versions, _, plural): Kind,
) -> kube::Result<&'static str> {
    let (last, better) = match versions {
        [better @ .., last] => (*last, better),
        [] => ("", &[][..]),
    };
    for version in better {
        let group_version = format!("{group}/{version}");
        match client.list_api_group_resources(&group_version).await {
            Ok(list) if list.resources.iter().any(|one| one.name == plural) => {
                return Ok(version);
            }
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

/// The label selector for the records of the scope.
pub(super) fn label_selector(scope: &Scope) -> Option<String> {
    let label = scope.label.as_ref();
    label.map(|(key, value)| format!("{key}={value}"))
}

impl<A: MachineApi> Watched for Machines<A> {
    type Resource = Guarded<Record<A>>;
    type Key = MachineUid;
    type Memory = ();

    fn feed(&self) -> Feed {
        Feed::Machines(self.scope.clone())
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<Self::Resource>> {
        let kind = (A::GROUP, A::VERSIONS, A::KIND, A::PLURAL);
        locate(client, kind, &self.scope.namespace).await
    }

    fn labels(&self) -> Option<String> {
        label_selector(&self.scope)
    }

    fn put(&self, (): &mut (), object: Self::Resource) -> Option<(MachineUid, Input)> {
        let (name, uid) = (object.name_any(), object.uid().map(MachineUid));
        let guarded = object.0.map_err(|error| error.to_string());
        match guarded.and_then(|object| read::<A>(object).map_err(|error| error.to_string())) {
            Ok(machine) => Some((
                machine.uid.clone(),
                Input::Change(Change::Machine(Box::new(machine))),
            )),
            Err(error) => {
                warn!(
                    source = A::SOURCE.as_str(),
                    machine = name,
                    error,
                    "this Machine cannot be read and is taken off the roll"
                );
                let uid = uid?;
                Some((uid.clone(), Input::Change(Change::MachineGone(uid))))
            }
        }
    }

    fn gone(&self, (): &mut (), object: &Self::Resource) -> Option<Change> {
        object.uid().map(|uid| Change::MachineGone(MachineUid(uid)))
    }

    fn all(&self, (): &mut (), present: HashSet<MachineUid>) -> Change {
        Change::MachineList(self.scope.clone(), present)
    }
}
