//! The users of the control plane: users with certificates, ServiceAccounts, and the two kinds of bootstrappers.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ControlPlane;
use crate::kubeconfig::{self, Credentials};
use crate::pki::CertificateProfile;

/// The validity of ServiceAccount tokens: longer than any test or kept demo (seconds).
const TOKEN_SECONDS: i64 = 24 * 3600;

/// The namespace and ServiceAccount that OpenShift 4 machines bootstrap with (machine-config-operator).
const OPENSHIFT_BOOTSTRAPPER: (&str, &str) =
    ("openshift-machine-config-operator", "node-bootstrapper");

/// The ClusterRole that allows creating and reading requests, unbound by default (Kubernetes,
/// `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`).
const BOOTSTRAPPER_ROLE: &str = "system:node-bootstrapper";

/// The group of all bootstrap tokens (`k8s.io/cluster-bootstrap/token/api`).
const BOOTSTRAP_GROUP: &str = "system:bootstrappers";

/// The additional group of kubeadm's tokens.
const KUBEADM_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// The namespace of bootstrap token Secrets.
const TOKEN_NAMESPACE: &str = "kube-system";

impl ControlPlane {
    /// A client that is `user` in `groups`, by a certificate of the cluster's authority.
    ///
    /// # Errors
    /// If there are more than two groups.
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<kube::Client> {
        kubeconfig::client(
            self.config(&self.server(), &self.certificate_credentials(user, groups)?),
        )
        .await
    }

    /// A kubeconfig of `user` in `groups`, by a certificate of the cluster's authority.
    ///
    /// # Errors
    /// If there are more than two groups, or the file cannot be written.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let config = self.config(&self.server(), &self.certificate_credentials(user, groups)?);
        self.save(user, &config)
    }

    /// A client for one kubeconfig of this control plane.
    ///
    /// # Errors
    /// If the file is not a kubeconfig.
    pub async fn client_from(&self, kubeconfig: &Path) -> Result<kube::Client> {
        let config = kube::config::Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        kubeconfig::client(config).await
    }

    /// A kubeconfig (0600) with a token of a ServiceAccount. Namespace and ServiceAccount are created if absent.
    ///
    /// # Errors
    /// If the API server refuses, or the file cannot be written.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let config = self.config(&self.server(), &Credentials::Token(token));
        self.save(&format!("{namespace}-{name}"), &config)
    }

    /// Writes the kubeconfig that an OpenShift 4 machine finds in its user-data: a token of the node-bootstrapper
    /// ServiceAccount, which may only create requests.
    ///
    /// # Errors
    /// If the API server refuses, or the file cannot be written.
    pub async fn bootstrap_kubeconfig(&self) -> Result<PathBuf> {
        let (namespace, name) = OPENSHIFT_BOOTSTRAPPER;
        let token = self.service_account_token(namespace, name).await?;
        let subject = json!({"kind": "ServiceAccount", "namespace": namespace, "name": name});
        self.bind_cluster_role(
            "system-bootstrap-node-bootstrapper",
            BOOTSTRAPPER_ROLE,
            &subject,
        )
        .await?;
        self.save(
            "bootstrap",
            &self.config(&self.machine_server(), &Credentials::Token(token)),
        )
    }

    /// Writes a kubeconfig with a bootstrap token as kubeadm creates them, valid for `ttl`.
    ///
    /// # Errors
    /// If the API server refuses, or the file cannot be written.
    pub async fn bootstrap_token_kubeconfig(&self, ttl: Duration) -> Result<PathBuf> {
        let (id, secret) = new_bootstrap_token()?;
        self.save_bootstrap_token(&id, &secret, ttl).await
    }

    /// Writes a kubeconfig with a bootstrap token of this id: six lower-case letters and digits.
    ///
    /// # Errors
    /// If the API server refuses, or the file cannot be written.
    pub async fn bootstrap_token_kubeconfig_of(&self, id: &str, ttl: Duration) -> Result<PathBuf> {
        let (_, secret) = new_bootstrap_token()?;
        self.save_bootstrap_token(id, &secret, ttl).await
    }

    async fn save_bootstrap_token(&self, id: &str, secret: &str, ttl: Duration) -> Result<PathBuf> {
        let expiration = Timestamp::now()
            .checked_add(ttl)
            .context("the life of the bootstrap token is too long")?;
        let object = json!({
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": TOKEN_NAMESPACE},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {
                "token-id": id,
                "token-secret": secret,
                "expiration": expiration.to_string(),
                "usage-bootstrap-authentication": "true",
                "auth-extra-groups": KUBEADM_GROUP,
            },
        });
        let secrets: Api<Secret> = Api::namespaced(self.admin(), TOKEN_NAMESPACE);
        create(&secrets, object).await?;
        let subject = json!({"kind": "Group", "name": BOOTSTRAP_GROUP, "apiGroup": "rbac.authorization.k8s.io"});
        self.bind_cluster_role("kubeadm:kubelet-bootstrap", BOOTSTRAPPER_ROLE, &subject)
            .await?;
        let config = self.config(
            &self.machine_server(),
            &Credentials::Token(format!("{id}.{secret}")),
        );
        self.save(&format!("bootstrap-token-{id}"), &config)
    }

    /// Writes a kubeconfig (0600) with any credentials and any server, for tests of refusals.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn custom_kubeconfig(
        &self,
        name: &str,
        server: &str,
        ca_pem: &str,
        credentials: &Credentials,
    ) -> Result<PathBuf> {
        self.save(name, &kubeconfig::kubeconfig(server, ca_pem, credentials))
    }

    /// Binds a ClusterRole to one subject (`{"kind", "name", "namespace" | "apiGroup"}`); an existing binding of that
    /// name is not changed.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn bind_cluster_role(
        &self,
        binding: &str,
        role: &str,
        subject: &Value,
    ) -> Result<()> {
        let object = json!({
            "metadata": {"name": binding},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        });
        create::<ClusterRoleBinding>(&Api::all(self.admin()), object).await
    }

    /// Creates a namespace unless it exists.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn ensure_namespace(&self, name: &str) -> Result<()> {
        create::<Namespace>(&Api::all(self.admin()), json!({"metadata": {"name": name}})).await
    }

    /// A token of a ServiceAccount. Namespace and ServiceAccount are created if absent.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        self.ensure_namespace(namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        create(
            &accounts,
            json!({"metadata": {"name": name, "namespace": namespace}}),
        )
        .await?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| {
                format!("cannot get a token for the ServiceAccount {namespace}/{name}")
            })?;
        answer.status.map(|status| status.token).with_context(|| {
            format!("the API server gave no token for the ServiceAccount {namespace}/{name}")
        })
    }

    fn certificate_credentials(&self, user: &str, groups: &[&str]) -> Result<Credentials> {
        Ok(Credentials::Certificate(self.issue_certificate(
            &CertificateProfile::client(user, groups),
        )?))
    }

    fn config(&self, server: &str, credentials: &Credentials) -> kube::config::Kubeconfig {
        kubeconfig::kubeconfig(server, self.ca_pem(), credentials)
    }

    /// Writes a kubeconfig under a file name derived from `name`, for any characters in it.
    fn save(&self, name: &str, config: &kube::config::Kubeconfig) -> Result<PathBuf> {
        let file: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let path = self.dir().join("kubeconfigs").join(file);
        kubeconfig::write(&path, config)?;
        Ok(path)
    }
}

/// Creates an object; an existing one is not changed.
async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let kind = K::kind(&());
    let object: K =
        serde_json::from_value(object).with_context(|| format!("this is not a {kind}"))?;
    let name = object.meta().name.clone().unwrap_or_default();
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot create the {kind} {name}")),
    }
}

/// Id and secret of a bootstrap token: 6 and 16 characters of `[a-z0-9]`
/// (`k8s.io/cluster-bootstrap/token/api`, `BootstrapTokenPattern`).
fn new_bootstrap_token() -> Result<(String, String)> {
    const LENGTHS: (usize, usize) = (6, 16);
    // The bytes of a fresh private key serve as randomness; in hexadecimal they match the pattern.
    let key = rcgen::KeyPair::generate().context("cannot make a bootstrap token")?;
    let digits: String = key
        .public_key_raw()
        .iter()
        .skip(1)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (id, rest) = digits
        .split_at_checked(LENGTHS.0)
        .context("cannot make the id of a bootstrap token")?;
    let (secret, _) = rest
        .split_at_checked(LENGTHS.1)
        .context("cannot make the secret of a bootstrap token")?;
    Ok((id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_token_has_the_form_that_kubernetes_asks_for() {
        let (id, secret) = new_bootstrap_token().unwrap();
        let fits = |text: &str| {
            text.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        assert_eq!((id.len(), secret.len()), (6, 16));
        assert!(fits(&id) && fits(&secret), "{id}.{secret}");
        assert_ne!(new_bootstrap_token().unwrap(), (id, secret));
    }
}
