//! What the holder of the credential may do: ask for certificates, and nothing that approves.

use std::fmt;

use anyhow::bail;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::call::{explain, failed, limited};

/// The ClusterRole that lets its holder create and read requests (Kubernetes
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`).
const ROLE: &str = "system:node-bootstrapper";
/// The API group of requests.
const CERTIFICATES: &str = "certificates.k8s.io";
/// What that role allows.
const ASKING: [&str; 4] = ["create", "get", "list", "watch"];

/// Who asks with a credential.
#[derive(Clone, Debug)]
pub(super) struct Requestor {
    /// Who, for sentences.
    pub(super) name: String,
    /// The user name; none where it is known only afterwards, and rights come from groups.
    pub(super) username: Option<String>,
    pub(super) groups: Vec<String>,
    /// Whom a right would be given to.
    pub(super) subject: Subject,
}

/// One thing to do.
pub(in crate::cli) struct Deed {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
}

impl Deed {
    /// What is asked about it.
    pub(in crate::cli) fn attributes(&self) -> ResourceAttributes {
        ResourceAttributes {
            group: Some(self.group.to_owned()),
            resource: Some(self.resource.to_owned()),
            subresource: self.subresource.map(str::to_owned),
            verb: Some(self.verb.to_owned()),
            ..ResourceAttributes::default()
        }
    }

    /// Whether it is every verb on everything.
    pub(in crate::cli) fn is_everything(&self) -> bool {
        (self.verb, self.group, self.resource) == ("*", "*", "*")
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.subresource
            .map_or(Ok(()), |subresource| write!(f, "/{subresource}"))
    }
}

/// What a requestor must not be able to do, and what follows if it can.
pub(in crate::cli) const TOO_MUCH: [(Deed, &str); 3] = [
    (
        Deed {
            verb: "create",
            group: CERTIFICATES,
            resource: "certificatesigningrequests",
            subresource: Some("nodeclient"),
        },
        "so kube-controller-manager approves every request of theirs by itself, before Rollcall can judge it; delete the \
         binding to the ClusterRole system:certificates.k8s.io:certificatesigningrequests:nodeclient, which is \
         kubeadm:node-autoapprove-bootstrap on a kubeadm cluster",
    ),
    (
        Deed {
            verb: "update",
            group: CERTIFICATES,
            resource: "certificatesigningrequests",
            subresource: Some("approval"),
        },
        "which is part of what it takes to approve; a machine must only ask",
    ),
    (
        Deed {
            verb: "*",
            group: "*",
            resource: "*",
            subresource: None,
        },
        "which is everything; a machine must only ask",
    ),
];

/// Makes sure that the requestor may ask, and warns of what it may do besides.
pub(super) async fn ensure(
    client: &Client,
    requestor: &Requestor,
    create: bool,
) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut missing = Vec::new();
    for verb in ASKING {
        let deed = Deed {
            verb,
            group: CERTIFICATES,
            resource: "certificatesigningrequests",
            subresource: None,
        };
        match may(client, requestor, &deed).await? {
            Ok(true) => {}
            Ok(false) => missing.push(verb),
            Err(trouble) => {
                warnings.push(format!(
                    "what {} may do cannot be checked: {trouble}",
                    requestor.name
                ));
                if create {
                    bind(client, requestor).await?;
                }
                return Ok(warnings);
            }
        }
    }
    if !missing.is_empty() {
        if !create {
            bail!(
                "{} may not {} certificatesigningrequests, so a machine could not ask; use --create-rights, or bind it to the \
                 ClusterRole {ROLE}",
                requestor.name,
                missing.join(", ")
            );
        }
        bind(client, requestor).await?;
    }
    for (deed, consequence) in &TOO_MUCH {
        if may(client, requestor, deed).await? == Ok(true) {
            warnings.push(format!("{} may {deed}, {consequence}", requestor.name));
        }
    }
    Ok(warnings)
}

/// Whether the requestor may do this; else why nobody says.
async fn may(
    client: &Client,
    requestor: &Requestor,
    deed: &Deed,
) -> anyhow::Result<Result<bool, String>> {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let question = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: requestor.username.clone(),
            groups: Some(requestor.groups.clone()),
            resource_attributes: Some(deed.attributes()),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let params = PostParams::default();
    let answer = limited(reviews.create(&params, &question)).await?;
    Ok(answer
        .map(|review| review.status.is_some_and(|status| status.allowed))
        .map_err(|error| explain(&error)))
}

/// Gives the right to ask, and no other.
async fn bind(client: &Client, requestor: &Requestor) -> anyhow::Result<()> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let binding = binding(requestor);
    let name = binding.metadata.name.clone().unwrap_or_default();
    let what = format!("create the ClusterRoleBinding {name}");
    match limited(bindings.create(&PostParams::default(), &binding)).await? {
        Ok(_) => Ok(()),
        // Perhaps it is too new for the answer before.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let there = limited(bindings.get(&name))
                .await?
                .map_err(|error| failed(&what, &error))?;
            let ours = there.role_ref == binding.role_ref
                && there
                    .subjects
                    .is_some_and(|subjects| subjects.contains(&requestor.subject));
            if !ours {
                bail!(
                    "there is a ClusterRoleBinding {name} that binds something else; delete or rename it"
                );
            }
            Ok(())
        }
        Err(error) => Err(failed(&what, &error)),
    }
}

fn binding(requestor: &Requestor) -> ClusterRoleBinding {
    let Subject {
        name, namespace, ..
    } = &requestor.subject;
    let whom = namespace.as_ref().map_or_else(
        || name.clone(),
        |namespace| format!("system:serviceaccount:{namespace}:{name}"),
    );
    ClusterRoleBinding {
        metadata: ObjectMeta {
            name: Some(format!("rollcall:node-bootstrapper:{whom}")),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: ROLE.to_owned(),
        },
        subjects: Some(vec![requestor.subject.clone()]),
    }
}
