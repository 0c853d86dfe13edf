//! All RBAC rights that the approver uses, in one list: the roles in `deploy/` are compared with it. At the start the API
//! server is asked for each, so that a missing right is logged before it is needed.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_approver_core::{Feed, Source};
use tracing::{debug, error};

use crate::claims_record;
use crate::errors::describe;
use crate::kubelet_ca::is_openshift;
use crate::kubelets::CaSource;
use crate::{node_lease, sources};

/// The scope in which a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In the whole cluster.
    Cluster,
    /// In the namespace `default`, where Events about cluster-scoped objects go.
    Default,
    /// In a system namespace that holds objects with the cluster's addresses.
    Addresses(&'static str),
    /// In the namespace of a kubelet CA, if the configuration names it.
    KubeletCa(&'static str),
    /// In the namespaces of the Machines.
    Machines,
    /// In the namespace of the Leases by which kubelets show that they run; only where leftover Nodes are replaced.
    NodeLeases,
    /// In the approver's own namespace.
    Own,
}

/// One right: some verbs on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The scope.
    pub scope: Scope,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, with a sub-resource after a slash.
    pub resource: &'static str,
    /// The names of the objects; none means all.
    pub names: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// True if the approver works without it.
    pub optional: bool,
}

/// The verbs that a feed needs.
pub(crate) const READ: &[&str] = &["list", "watch"];
const NAMED: &[&str] = &["get", "update"];

/// All rights of the approver, except those to read Machines.
pub const RIGHTS: &[Right] = &[
    Right::required(
        Scope::Cluster,
        "certificates.k8s.io",
        "certificatesigningrequests",
        READ,
    ),
    Right::required(
        Scope::Cluster,
        "certificates.k8s.io",
        "certificatesigningrequests/approval",
        &["update"],
    ),
    Right {
        names: &[
            "kubernetes.io/kube-apiserver-client-kubelet",
            "kubernetes.io/kubelet-serving",
        ],
        ..Right::required(
            Scope::Cluster,
            "certificates.k8s.io",
            "signers",
            &["approve"],
        )
    },
    Right::required(Scope::Cluster, "", "nodes", READ),
    Right {
        names: &["extension-apiserver-authentication"],
        optional: true,
        ..Right::required(Scope::KubeletCa("kube-system"), "", "configmaps", READ)
    },
    Right {
        names: &["csr-controller-ca"],
        optional: true,
        ..Right::required(
            Scope::KubeletCa("openshift-config-managed"),
            "",
            "configmaps",
            READ,
        )
    },
    Right::named(Scope::Addresses("default"), "", "services", &["kubernetes"]),
    Right::named(
        Scope::Addresses("default"),
        "discovery.k8s.io",
        "endpointslices",
        &["kubernetes"],
    ),
    Right::named(
        Scope::Addresses("kube-system"),
        "",
        "configmaps",
        &["kubeadm-config"],
    ),
    Right::optional(Scope::Cluster, "networking.k8s.io", "servicecidrs", READ),
    Right::named(
        Scope::Cluster,
        "config.openshift.io",
        "infrastructures",
        &["cluster"],
    ),
    Right::named(
        Scope::Cluster,
        "config.openshift.io",
        "networks",
        &["cluster"],
    ),
    Right::optional(Scope::Machines, "events.k8s.io", "events", &["create"]),
    Right::optional(Scope::Default, "events.k8s.io", "events", &["create"]),
    Right::optional(Scope::NodeLeases, "coordination.k8s.io", "leases", &["get"]),
    Right::required(Scope::Own, "", "configmaps", &["create"]),
    Right {
        names: claims_record::NAMES,
        ..Right::required(Scope::Own, "", "configmaps", NAMED)
    },
    Right::required(Scope::Own, "coordination.k8s.io", "leases", &["create"]),
    Right {
        names: &["rollcall-approver"],
        ..Right::required(Scope::Own, "coordination.k8s.io", "leases", NAMED)
    },
];

impl Right {
    /// A right without which the approver does not work.
    pub(crate) const fn required(
        scope: Scope,
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self {
            scope,
            group,
            resource,
            names: &[],
            verbs,
            optional: false,
        }
    }

    /// A right to read objects of these names that are optional.
    const fn named(
        scope: Scope,
        group: &'static str,
        resource: &'static str,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            names,
            ..Self::optional(scope, group, resource, READ)
        }
    }

    /// A right without which only some information is missing.
    pub(crate) const fn optional(
        scope: Scope,
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self {
            optional: true,
            ..Self::required(scope, group, resource, verbs)
        }
    }
}

/// The rights to mirror Auto Scaling Groups, in addition to those to read ExpectedMachines and write their status.
pub const AUTO_SCALING: &[Right] = &[
    Right::required(
        Scope::Machines,
        "rollcall.dev",
        "expectedmachines",
        &["create", "delete", "update"],
    ),
    Right::required(Scope::Cluster, "", "nodes", &["get"]),
];

/// The right to detect other approvers.
pub const OTHER_APPROVERS: &[Right] = &[Right::optional(
    Scope::Cluster,
    "authorization.k8s.io",
    "subjectaccessreviews",
    &["create"],
)];

/// The rights to read the Machines of a source.
pub fn of_source(source: Source) -> &'static [Right] {
    sources::of(source).map_or(&[], |known| known.rights)
}

/// The rights to read the bootstrap tokens that were made for single Machines of a source.
pub fn of_tokens(source: Source) -> &'static [Right] {
    let tokens = sources::of(source).and_then(|known| known.tokens.as_ref());
    tokens.map_or(&[], |tokens| tokens.rights)
}

/// Checks the rights that a feed of Machines or of their bootstrap tokens needs.
async fn check_feed(management: &Client, feed: &Feed) {
    let is_on_machines = |right: &&Right| right.scope == Scope::Machines;
    let (scope, rights) = match feed {
        Feed::KubeadmConfigs(scope) => (scope, of_tokens(scope.source)),
        Feed::Machines(scope) => (scope, of_source(scope.source)),
        Feed::Claims
        | Feed::ClusterAddresses(_)
        | Feed::HealthChecks(_)
        | Feed::Instances(_)
        | Feed::KubeletCa(_)
        | Feed::Nodes
        | Feed::Requests(_) => return,
    };
    let namespace = Some(scope.namespace.as_str()).filter(|name| !name.is_empty());
    for right in rights {
        ask_all(management, right, namespace).await;
    }
    if !matches!(feed, Feed::Machines(_)) {
        return;
    }
    // Events about cluster-scoped Machines go to the namespace `default`.
    let namespaced = sources::of(scope.source).is_none_or(|known| known.namespaced);
    let of_events = if namespaced {
        namespace
    } else {
        Some("default")
    };
    for right in RIGHTS.iter().filter(is_on_machines) {
        ask_all(management, right, of_events).await;
    }
}

/// Checks every right and logs the missing ones. Nothing stops: roles may be created later than the approver. The Machines
/// are in the cluster of the second client.
pub(crate) async fn check(
    client: Client,
    own: String,
    management: Client,
    named: BTreeSet<Feed>,
    kubelet_ca: Vec<CaSource>,
    mirrors: bool,
    replaces_leftovers: bool,
) {
    let openshift = kubelet_ca.iter().any(CaSource::is_openshifts) && is_openshift(&client).await;
    let is_on_machines = |right: &&Right| right.scope == Scope::Machines;
    for right in RIGHTS.iter().filter(|right| !is_on_machines(right)) {
        let namespace = match right.scope {
            Scope::Cluster | Scope::Machines => None,
            Scope::Addresses(namespace) => Some(namespace),
            Scope::Default => Some("default"),
            Scope::KubeletCa(namespace) => {
                let reads = |source: &CaSource| {
                    source.is_config_map(namespace, right.names)
                        && (openshift || !source.is_openshifts())
                };
                if !kubelet_ca.iter().any(reads) {
                    continue;
                }
                Some(namespace)
            }
            Scope::NodeLeases if !replaces_leftovers => continue,
            Scope::NodeLeases => Some(node_lease::NAMESPACE),
            Scope::Own => Some(own.as_str()),
        };
        ask_all(&client, right, namespace).await;
    }
    for feed in &named {
        check_feed(&management, feed).await;
    }
    if mirrors {
        ask_mirror(&client, &management).await;
    }
}

/// Checks the rights to mirror Auto Scaling Groups.
async fn ask_mirror(client: &Client, management: &Client) {
    for right in AUTO_SCALING {
        let cluster = if right.scope == Scope::Machines {
            management
        } else {
            client
        };
        ask_all(cluster, right, None).await;
    }
}

async fn ask_all(client: &Client, right: &Right, namespace: Option<&str>) {
    let names: Vec<Option<&str>> = match right.names {
        [] => vec![None],
        names => names.iter().copied().map(Some).collect(),
    };
    for name in names {
        for verb in right.verbs {
            ask(client, right, verb, namespace, name).await;
        }
    }
}

async fn ask(
    client: &Client,
    right: &Right,
    verb: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                name: name.map(str::to_owned),
                namespace: namespace.map(str::to_owned),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    match api.create(&PostParams::default(), &review).await {
        Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
        Ok(_) => error!(
            verb,
            resource = right.resource,
            group = right.group,
            namespace = namespace.unwrap_or("(all)"),
            name = name.unwrap_or("(all)"),
            "a right is missing; add it to the role that deploy/ gives the approver"
        ),
        // The calls themselves will report errors of the connection.
        Err(error) => debug!(error = describe(&error), "rights cannot be checked now"),
    }
}

#[cfg(test)]
mod tests {
    use rollcall_csr::Signer;

    use super::*;

    #[test]
    fn signers_are_the_ones_the_csr_crate_knows() {
        let signers: Vec<&str> = Signer::ALL.iter().map(|signer| signer.name()).collect();
        let right = RIGHTS
            .iter()
            .find(|right| right.resource == "signers")
            .unwrap();
        assert_eq!(right.names, signers);
    }
}
