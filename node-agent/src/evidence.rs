//! The evidence that this machine can add to its request: possession of the key of its previous certificate, or of its
//! join key (`docs/evidence.md`).
//!
//! An unusable previous certificate is logged and omitted; the request is still made. A join key was configured
//! explicitly, so an unusable one ends the run.

use std::path::Path;

use rollcall_csr::{
    Binding, ClusterId, Evidence, EvidenceError, KeyHash, Statement, request_name,
    request_name_with_evidence,
};
use rustls::pki_types::CertificateDer;

use crate::certificate::{self, CertificateError, Chain};
use crate::cluster::Cluster;
use crate::console::Topic;
use crate::error::AgentError;
use crate::identity::{self, Files};
use crate::join_key::JoinKey;
use crate::kubeconfig;
use crate::pending_key::PendingKey;
use crate::requests::NamedRequest;
use crate::settings::Settings;
use crate::signing_key::SigningKey;
use crate::surroundings::Surroundings;

/// The message for a cluster without a CA to identify it by.
const NO_CLUSTER: &str =
    "cannot be bound to a cluster, because the bootstrap kubeconfig names no certificate authority";

/// Creates the request for a key, with all available evidence.
///
/// # Errors
/// If the request cannot be created, or the join key is unusable.
pub(crate) fn add(
    settings: &Settings,
    around: &Surroundings,
    cluster: &Cluster,
    key: &PendingKey,
) -> Result<NamedRequest, AgentError> {
    let spki_der = key.spki_der();
    let asking = Asking {
        settings,
        around,
        cluster,
        request: key.certification_request(&settings.node)?,
        binding: cluster.bootstrap.authorities.first().map(|ca| Binding {
            request_key: KeyHash::of_spki(&spki_der),
            node: settings.node.clone(),
            cluster: ClusterId::of_ca(ca),
        }),
    };
    let mut statements: Vec<Statement> = asking.previous().into_iter().collect();
    if let Some(join_key) = &cluster.join_key {
        statements.push(asking.joining(join_key)?);
    }
    if statements.is_empty() {
        return Ok(NamedRequest {
            name: request_name(&spki_der, &settings.node),
            pem: asking.request,
        });
    }
    let evidence = Evidence::new(statements);
    let named = evidence.and_then(|evidence| {
        Ok(NamedRequest {
            name: request_name_with_evidence(&spki_der, &settings.node, &evidence),
            pem: evidence.append_to(&asking.request)?,
        })
    });
    named.map_err(|error| {
        AgentError::Rejected(format!(
            "the evidence of this machine cannot be sent: {error}"
        ))
    })
}

/// A request before its evidence is added.
struct Asking<'a> {
    settings: &'a Settings,
    around: &'a Surroundings,
    cluster: &'a Cluster,
    /// The certification request in PEM.
    request: String,
    /// The binding for statements; `None` if the cluster has no CA to identify it by.
    binding: Option<Binding>,
}

impl Asking<'_> {
    /// Returns the statement that this machine holds the key of an earlier certificate, if it has a usable one.
    fn previous(&self) -> Option<Statement> {
        let Settings {
            kubeconfig,
            cert_dir,
            node,
            ..
        } = self.settings;
        let console = &self.around.console;
        let mut failure = None;
        for found in identity::earlier(kubeconfig, cert_dir) {
            let stated = found.and_then(|files| {
                let path = files.path.display().to_string();
                match self.previous_in(&files) {
                    Ok(statement) => Ok((statement, path)),
                    Err(why) => Err(format!("{path} {why}")),
                }
            });
            match stated {
                Ok((statement, path)) => {
                    let message = format!(
                        "the request proves that this machine holds the key of its previous certificate in {path}"
                    );
                    console.say(Topic::Evidence, &message);
                    return Some(statement);
                }
                Err(why) => failure = Some(why),
            }
        }
        if let Some(why) = failure {
            let message = format!(
                "nothing proves that this machine was {node} before: {why}; asking without that"
            );
            console.warn(Topic::Evidence, &message);
        }
        None
    }

    /// Returns the statement for these files. The error text follows the name of the file.
    fn previous_in(&self, files: &Files) -> Result<Statement, String> {
        let wrong = |error: CertificateError| format!("holds a certificate that {error}");
        let chain = Chain::from_pem(&files.certificate).map_err(wrong)?;
        let key = SigningKey::from_pem(&files.key)
            .ok_or_else(|| "comes without a private key that can be used".to_owned())?;
        let now = self.around.clock.now();
        match chain.check(key.spki_der(), &self.settings.node, now) {
            // The validity period is checked last, and does not matter for possession of the key.
            Ok(_)
            | Err(CertificateError::Expired { .. } | CertificateError::NotYetValid { .. }) => {}
            Err(error) => return Err(wrong(error)),
        }
        if !self.is_of_cluster(&chain) {
            let server = &self.cluster.place.server;
            return Err(format!(
                "holds a certificate of another cluster than {server}"
            ));
        }
        let binding = self.binding.as_ref().ok_or_else(|| NO_CLUSTER.to_owned())?;
        let leaf = chain.certificates().next();
        let der = leaf.map(AsRef::as_ref).unwrap_or_default();
        let statement = Statement::previous_certificate(der, binding, |message| {
            key.sign(message).map_err(Failed::from)
        });
        let fits = |statement: &Statement| {
            Evidence::new(vec![statement.clone()])?.append_to(&self.request)?;
            Ok::<_, Failed>(())
        };
        statement
            .and_then(|statement| fits(&statement).map(|()| statement))
            .map_err(|error| format!("holds a certificate that cannot be shown: {error}"))
    }

    /// Returns true if an earlier certificate is from the current cluster. Clusters may sign client certificates with
    /// another CA than the API server's; then the kubeconfig beside the certificate decides.
    fn is_of_cluster(&self, chain: &Chain) -> bool {
        let Cluster {
            bootstrap,
            client_authority,
            ..
        } = self.cluster;
        let signers = client_authority.iter().flat_map(|(_, signers)| signers);
        let known: Vec<_> = signers.chain(&bootstrap.authorities).cloned().collect();
        chain.leads_to(&known, self.around.clock.now())
            || trusted_by(&self.settings.kubeconfig)
                .is_some_and(|trusted| trusted.iter().any(|ca| bootstrap.authorities.contains(ca)))
    }

    /// Returns the statement that this machine holds its join key.
    fn joining(&self, JoinKey { file, key }: &JoinKey) -> Result<Statement, AgentError> {
        let binding = self.binding.as_ref();
        let binding = binding.ok_or_else(|| JoinKey::unusable(file, NO_CLUSTER.to_owned()))?;
        let statement = Statement::join_key(key.spki_der(), binding, |message| {
            key.sign(message).map_err(Failed::from)
        });
        let statement = statement
            .map_err(|error| JoinKey::unusable(file, format!("cannot be used: {error}")))?;
        let message = format!(
            "the request proves that this machine holds the join key in {} ({})",
            file.display(),
            KeyHash::of_spki(key.spki_der())
        );
        self.around.console.say(Topic::Evidence, &message);
        Ok(statement)
    }
}

/// Returns the CA certificates of the API server in a kubeconfig.
fn trusted_by(kubeconfig: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let data = kubeconfig::read(kubeconfig).ok()?.certificate_authority();
    certificate::certificates(&data.ok()??.contents).ok()
}

/// The reason why a statement could not be created.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Format(#[from] EvidenceError),
    #[error("the key does not sign: {0}")]
    Signing(#[from] rustls::Error),
}
