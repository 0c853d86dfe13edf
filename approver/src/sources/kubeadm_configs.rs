//! KubeadmConfigs of Cluster API, for the id of the bootstrap token that each names: no other object records for which
//! Machine a token was made. The token's secret is beside the id. It is dropped during parsing, and an error does not
//! contain the text that failed to parse.

use std::collections::HashSet;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, Resource as _};
use rollcall_approver_core::{Change, Feed, JoinToken, KubeadmConfig, MachineReference, Scope};
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tracing::warn;

use super::machines::{label_selector, locate};
use super::object::Object;
use crate::engine::Input;
use crate::feed::Watched;
use crate::guard::Guarded;
use crate::rights::{self, READ, Right};

/// Their API group.
pub(super) const GROUP: &str = "bootstrap.cluster.x-k8s.io";
/// The supported versions, the best first. They do not differ in the fields read here.
pub(super) const VERSIONS: &[&str] = &["v1beta2", "v1beta1"];
/// Their kind.
pub(super) const KIND: &str = "KubeadmConfig";
const PLURAL: &str = "kubeadmconfigs";
/// The rights to read them.
pub(super) const RIGHTS: &[Right] = &[Right::required(
    rights::Scope::Machines,
    GROUP,
    PLURAL,
    READ,
)];

/// The KubeadmConfigs of a scope.
pub(super) struct KubeadmConfigs(pub(super) Scope);

pub(super) type Record = Object<Spec, IgnoredAny>;

/// The fields of its spec with the credentials for the join. Everything else in it, which may be secret too, is skipped.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    join_configuration: Option<JoinConfiguration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct JoinConfiguration {
    discovery: Option<Discovery>,
}

/// The discovery of the cluster, and the credential of its kubelet (kubeadm, `JoinConfiguration`): the token of the
/// discovery, unless there is another one for that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    bootstrap_token: Option<BootstrapToken>,
    file: Option<IgnoredAny>,
    tls_bootstrap_token: Option<TokenId>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct BootstrapToken {
    token: Option<TokenId>,
}

/// The id of a bootstrap token; the secret part after it is never kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenId(String);

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOnly;
        impl de::Visitor<'_> for IdOnly {
            type Value = TokenId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bootstrap token")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenId, E> {
                let id = text.split_once('.').map(|(id, _)| id);
                let id = id.filter(|id| is_id(id));
                // The text is not part of the message.
                let id = id.ok_or_else(|| E::custom("a text is no bootstrap token"))?;
                Ok(TokenId(id.to_owned()))
            }
        }
        deserializer.deserialize_str(IdOnly)
    }
}

/// Returns true if a text is the id of a bootstrap token (Kubernetes: `staging/src/k8s.io/cluster-bootstrap/token/api`,
/// `BootstrapTokenIDPattern`).
fn is_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() == 6 && text.chars().all(fits)
}

impl Spec {
    /// The token that the machine joins with. Until its controller has made one, the object names none.
    fn token(self) -> JoinToken {
        let join = self.join_configuration.unwrap_or_default();
        let Discovery {
            bootstrap_token,
            file,
            tls_bootstrap_token,
        } = join.discovery.unwrap_or_default();
        let discovery = bootstrap_token.and_then(|token| token.token);
        match (tls_bootstrap_token.or(discovery), file) {
            (Some(TokenId(id)), _) => JoinToken::Id(id),
            (None, Some(_)) => JoinToken::Unused,
            (None, None) => JoinToken::Awaited,
        }
    }
}

fn reference(metadata: &ObjectMeta) -> MachineReference {
    MachineReference {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

fn read(object: Record) -> KubeadmConfig {
    KubeadmConfig {
        reference: reference(&object.metadata),
        token: object.spec.unwrap_or_default().token(),
    }
}

/// Converts a KubeadmConfig from JSON.
pub(super) fn read_value(value: Value) -> Result<KubeadmConfig, String> {
    let object: Record = serde_json::from_value(value)
        // The error is dropped: it may contain a secret.
        .map_err(|_| "a field is not what its kind says, or holds no bootstrap token".to_owned())?;
    Ok(read(object))
}

impl Watched for KubeadmConfigs {
    type Resource = Guarded<Record>;
    type Key = MachineReference;
    type Memory = ();
    /// They contain the files of the user-data.
    const PAGE: u32 = 100;

    fn feed(&self) -> Feed {
        Feed::KubeadmConfigs(self.0.clone())
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<Self::Resource>> {
        locate(client, (GROUP, VERSIONS, KIND, PLURAL), &self.0.namespace).await
    }

    fn labels(&self) -> Option<String> {
        label_selector(&self.0)
    }

    fn put(&self, (): &mut (), object: Self::Resource) -> Option<(MachineReference, Input)> {
        let known = reference(object.meta());
        let change = match object.0 {
            Ok(object) => Change::KubeadmConfig(read(object)),
            // The error is dropped: it may contain a secret.
            Err(_) => {
                warn!(
                    config = %known,
                    "this KubeadmConfig cannot be read, or holds no bootstrap token where one should be; who asks for its \
                     Machine with a bootstrap token waits"
                );
                Change::KubeadmConfigGone(known.clone())
            }
        };
        Some((known, Input::Change(change)))
    }

    fn gone(&self, (): &mut (), object: &Self::Resource) -> Option<Change> {
        Some(Change::KubeadmConfigGone(reference(object.meta())))
    }

    fn all(&self, (): &mut (), present: HashSet<MachineReference>) -> Change {
        Change::KubeadmConfigList(self.0.clone(), present)
    }
}

#[cfg(test)]
#[path = "kubeadm_configs_tests.rs"]
mod tests;
