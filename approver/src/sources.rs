//! The sources of Machine records: one file for each source, and one list of them.
//!
//! To add a source: a file in this folder with its API and a conversion to [`Machine`], a line in [`ALL`], an entry in
//! `sources/entry.rs` for the configuration, and a variant of [`Source`] in the core.

pub(crate) mod cluster_addresses;
mod cluster_api;
mod entry;
mod expected_machines;
mod fields;
mod gardener;
mod health_checks;
pub(crate) mod instances;
mod karpenter;
mod kubeadm_configs;
mod machines;
mod object;
mod openshift;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use rollcall_approver_core::{Change, KubeadmConfig, Machine, Scope, Source};
use serde_json::Value;
use tokio::sync::mpsc;

pub(crate) use self::entry::{Entry, Reading, default, everything};
pub(crate) use self::health_checks::KIND as HEALTH_CHECK;
use self::health_checks::{HealthCheckApi, HealthChecks};
use self::kubeadm_configs::KubeadmConfigs;
use self::machines::{MachineApi, Machines};
use crate::engine::Input;
use crate::rights::Right;
use crate::{feed, listing};

/// The description of a source for the rest of the program.
pub(crate) struct Description {
    /// The source.
    pub(crate) source: Source,
    /// Its API group.
    pub(crate) group: &'static str,
    /// The supported versions, the best first.
    pub(crate) versions: &'static [&'static str],
    /// The kind of its records.
    pub(crate) kind: &'static str,
    /// True if they are namespaced.
    pub(crate) namespaced: bool,
    /// The rights to read them.
    pub(crate) rights: &'static [Right],
    /// Converts one object of the API to a record.
    pub(crate) read: fn(Value) -> Result<Machine, String>,
    /// Watches the records without end.
    pub(crate) follow: Follow,
    /// Lists the records once: everything that a feed would send.
    pub(crate) list: List,
    /// Its MachineHealthChecks, if it has any.
    pub(crate) health_checks: Option<Checks>,
    /// Watches the objects of its API that state the cluster's own addresses, if there are any.
    pub(crate) cluster: Option<Follow>,
    /// The objects that name bootstrap tokens made for one Machine each, if the Machines do not name them.
    pub(crate) tokens: Option<Tokens>,
}

/// The description of the objects in which a source names bootstrap tokens.
pub(crate) struct Tokens {
    /// The API group.
    pub(crate) group: &'static str,
    /// The supported versions, the best first.
    pub(crate) versions: &'static [&'static str],
    /// The kind of the objects.
    pub(crate) kind: &'static str,
    /// The rights to read them.
    pub(crate) rights: &'static [Right],
    /// Converts one object of the API.
    pub(crate) read: fn(Value) -> Result<KubeadmConfig, String>,
    /// Watches them without end.
    pub(crate) follow: Follow,
    /// Lists them once.
    pub(crate) list: List,
}

/// The description of the MachineHealthChecks of a source.
pub(crate) struct Checks {
    /// Converts one object of the API; `None` if the check is paused.
    pub(crate) read: fn(Value) -> Result<Option<Change>, String>,
    /// Lists them once.
    pub(crate) list: List,
}

/// Watches the objects of a scope without end.
type Follow = fn(Client, Scope, mpsc::Sender<Input>) -> BoxFuture<'static, ()>;
/// Lists the objects of a scope once.
type List = fn(Client, Scope) -> BoxFuture<'static, anyhow::Result<Vec<Change>>>;

/// Every source of Machine records.
pub(crate) const ALL: &[Description] = &[
    Description {
        cluster: Some(|client, scope, news| {
            Box::pin(cluster_addresses::follow(client, scope, news))
        }),
        tokens: Some(KUBEADM_CONFIGS),
        ..with_checks::<cluster_api::ClusterApi>()
    },
    describe::<expected_machines::ExpectedMachines>(),
    describe::<gardener::Gardener>(),
    describe::<karpenter::Karpenter>(),
    with_checks::<openshift::OpenShift>(),
];

const KUBEADM_CONFIGS: Tokens = Tokens {
    group: kubeadm_configs::GROUP,
    versions: kubeadm_configs::VERSIONS,
    kind: kubeadm_configs::KIND,
    rights: kubeadm_configs::RIGHTS,
    read: kubeadm_configs::read_value,
    follow: |client, scope, sink| Box::pin(feed::run(KubeadmConfigs(scope), client, sink)),
    list: |client, scope| {
        Box::pin(async move { listing::everything(&KubeadmConfigs(scope), &client).await })
    },
};

/// The description of a source.
pub(crate) fn of(source: Source) -> Option<&'static Description> {
    ALL.iter().find(|known| known.source == source)
}

/// The reference to a Machine for an Event.
pub(crate) fn to_reference(machine: &Machine) -> ObjectReference {
    let description = of(machine.source);
    let api_version = description.and_then(|source| {
        let version = source.versions.first()?;
        Some(format!("{}/{version}", source.group))
    });
    let reference = machine.reference.clone();
    ObjectReference {
        api_version,
        kind: description.map(|source| source.kind.to_owned()),
        name: Some(reference.name),
        namespace: Some(reference.namespace).filter(|namespace| !namespace.is_empty()),
        uid: Some(machine.uid.0.clone()),
        ..ObjectReference::default()
    }
}

const fn describe<A: MachineApi>() -> Description {
    Description {
        source: A::SOURCE,
        group: A::GROUP,
        versions: A::VERSIONS,
        kind: A::KIND,
        namespaced: A::NAMESPACED,
        rights: A::RIGHTS,
        read: machines::read_value::<A>,
        follow: |client, scope, sink| Box::pin(feed::run(Machines::<A>::new(scope), client, sink)),
        list: |client, scope| {
            Box::pin(async move { listing::everything(&Machines::<A>::new(scope), &client).await })
        },
        health_checks: None,
        cluster: None,
        tokens: None,
    }
}

const fn with_checks<A: HealthCheckApi>() -> Description {
    Description {
        health_checks: Some(Checks {
            read: health_checks::read_value::<A>,
            list: |client, scope| {
                Box::pin(async move {
                    listing::everything(&HealthChecks::<A>::new(scope), &client).await
                })
            },
        }),
        ..describe::<A>()
    }
}
