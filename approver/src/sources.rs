//! Where Machine records come from: one file for each source, and one list of them.
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

/// What the rest of the program knows of a source.
pub(crate) struct Description {
    /// Which one.
    pub(crate) source: Source,
    /// Its API group.
    pub(crate) group: &'static str,
    /// The versions of it that are understood, the best first.
    pub(crate) versions: &'static [&'static str],
    /// What it calls its records.
    pub(crate) kind: &'static str,
    /// Whether they are in namespaces.
    pub(crate) namespaced: bool,
    /// What is needed to read them.
    pub(crate) rights: &'static [Right],
    /// Reads one record out of an object of the API.
    pub(crate) read: fn(Value) -> Result<Machine, String>,
    /// Watches the records for ever.
    pub(crate) follow: Follow,
    /// Lists the records once: everything that a feed would tell.
    pub(crate) list: List,
    /// Its MachineHealthChecks, where it has such.
    pub(crate) health_checks: Option<Checks>,
    /// Watches for ever what its API says of the cluster's own addresses, where it says so.
    pub(crate) cluster: Option<Follow>,
    /// Where it names the bootstrap tokens that were made for one Machine each, where that is not in the Machines.
    pub(crate) tokens: Option<Tokens>,
}

/// What the rest of the program knows of where a source names bootstrap tokens.
pub(crate) struct Tokens {
    /// The API group.
    pub(crate) group: &'static str,
    /// The versions of it that are understood, the best first.
    pub(crate) versions: &'static [&'static str],
    /// What the objects are called.
    pub(crate) kind: &'static str,
    /// What is needed to read them.
    pub(crate) rights: &'static [Right],
    /// Reads one out of an object of the API.
    pub(crate) read: fn(Value) -> Result<KubeadmConfig, String>,
    /// Watches them for ever.
    pub(crate) follow: Follow,
    /// Lists them once.
    pub(crate) list: List,
}

/// What the rest of the program knows of the MachineHealthChecks of a source.
pub(crate) struct Checks {
    /// Reads one out of an object of the API; one that does nothing now tells nothing.
    pub(crate) read: fn(Value) -> Result<Option<Change>, String>,
    /// Lists them once.
    pub(crate) list: List,
}

/// Watches for ever what a scope covers.
type Follow = fn(Client, Scope, mpsc::Sender<Input>) -> BoxFuture<'static, ()>;
/// Lists once what a scope covers.
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

/// What an Event about a Machine points at.
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
