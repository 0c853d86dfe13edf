//! The cluster to join, as configured in files: checked before anything is written or sent.

use std::path::PathBuf;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use crate::bootstrap::{Bootstrap, BootstrapError, Problem};
use crate::certificate;
use crate::console::Topic;
use crate::credential::Validity;
use crate::error::AgentError;
use crate::fault::Place;
use crate::join_key::JoinKey;
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use crate::words;

/// The cluster to join, and the CA of its client certificates.
pub(crate) struct Cluster {
    pub(crate) bootstrap: Bootstrap,
    /// The CA that must have signed the certificate, and its file, if `--client-ca` names one.
    pub(crate) client_authority: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
    pub(crate) join_key: Option<JoinKey>,
    pub(crate) place: Place,
}

/// Reads the bootstrap kubeconfig and its credential, and checks their validity periods.
pub(crate) fn prepare(
    settings: &Settings,
    around: &Surroundings,
    now: Timestamp,
) -> Result<Cluster, AgentError> {
    let bootstrap = Bootstrap::read(&settings.bootstrap_kubeconfig)?;
    check_program(settings, &bootstrap)?;
    let credential = bootstrap.credential()?;
    let place = Place {
        authority_name: bootstrap.authority_name.clone(),
        credential_name: credential.name.clone(),
        server: bootstrap.server.clone(),
    };
    around.console.say(
        Topic::Bootstrap,
        &format!("asking {} with {}", place.server, place.credential_name),
    );
    match credential.validity(now) {
        Validity::Expired(at) => {
            return Err(AgentError::ExpiredCredential {
                credential: credential.name,
                at,
                now,
            });
        }
        Validity::NotYet(at) => {
            let message = format!(
                "{} is valid from {} on, but this machine's clock says {}: it is probably wrong; going on",
                credential.name,
                words::moment(at),
                words::moment(now)
            );
            around.console.warn(Topic::Bootstrap, &message);
        }
        Validity::Usable => {}
    }
    let client_authority = client_authority(settings)?;
    let join_key = settings
        .join_key
        .as_deref()
        .map(JoinKey::read)
        .transpose()?;
    Ok(Cluster {
        bootstrap,
        client_authority,
        join_key,
        place,
    })
}

/// Refuses a credential program: a kubeconfig from user-data must not run programs as root without the machine owner's
/// consent.
///
/// # Errors
/// If it names a program and `--allow-exec` is not set.
pub(crate) fn check_program(
    settings: &Settings,
    bootstrap: &Bootstrap,
) -> Result<(), BootstrapError> {
    if settings.allow_exec || !bootstrap.runs_program() {
        return Ok(());
    }
    Err(BootstrapError {
        file: bootstrap.file.clone(),
        problem: Problem::Program,
    })
}

/// Reads the CA from `--client-ca` that must have signed the certificate, if set.
fn client_authority(
    settings: &Settings,
) -> Result<Option<(PathBuf, Vec<CertificateDer<'static>>)>, AgentError> {
    let Some(file) = settings.client_ca.clone() else {
        return Ok(None);
    };
    let refused = |why: String| AgentError::ClientAuthority {
        file: file.clone(),
        why,
    };
    let pem = std::fs::read(&file).map_err(|error| refused(format!("cannot be read: {error}")))?;
    let found = certificate::certificates(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(refused("holds no CA certificate in PEM".to_owned()));
    }
    Ok(Some((file, found)))
}
