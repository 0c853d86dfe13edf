//! Reading the bootstrap kubeconfig that somebody has: only what its current context stands for, whole and safe to use.

use std::path::Path;

use jiff::Timestamp;
use rollcall_kubeconfig::Selected;

use super::{Bootstrap, Credential};
use crate::cli::certificates::Authority;
use crate::cli::flag::{self, FlagError};
use crate::connect;

/// Reads the kubeconfig that a flag names. `ca` overrides the CA in it.
pub(in crate::cli) fn read(
    flag: &str,
    path: &Path,
    ca: Option<Authority>,
    now: Timestamp,
) -> Result<Bootstrap, FlagError> {
    let bytes = flag::read(flag, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    parse(&bytes, folder, ca, now).map_err(|message| FlagError::file(flag, path, message))
}

/// A URL that a machine may send a credential to.
pub(in crate::cli) fn check_server(server: &str) -> Result<(), String> {
    let url: http::Uri = server
        .parse()
        .map_err(|_| format!("{server:?} is no URL; write https://HOST:PORT"))?;
    if url.scheme_str() != Some("https") || url.host().is_none_or(str::is_empty) {
        return Err(format!(
            "{server:?} is no https URL; a credential must not be sent to a server that does not prove who it is"
        ));
    }
    Ok(())
}

fn parse(
    bytes: &[u8],
    folder: &Path,
    ca: Option<Authority>,
    now: Timestamp,
) -> Result<Bootstrap, String> {
    let selected = rollcall_kubeconfig::parse(bytes, folder)
        .and_then(|all| rollcall_kubeconfig::select(&all))
        .map_err(|error| error.to_string())?;
    // What the machine's agent would refuse is of no use to it.
    connect::check_cluster(&selected)?;
    let server = selected.cluster.server.clone().unwrap_or_default();
    check_server(&server)
        .map_err(|error| format!("{}: {error}", selected.cluster_field("server")))?;
    let authority = match ca {
        Some(ca) => ca,
        None => authority(&selected, now)?,
    };
    Ok(Bootstrap {
        server,
        authority,
        tls_server_name: selected.cluster.tls_server_name.clone(),
        credential: credential(&selected)?,
    })
}

fn authority(selected: &Selected, now: Timestamp) -> Result<Authority, String> {
    let data = selected
        .certificate_authority()
        .map_err(|error| error.to_string())?;
    let data = data.ok_or_else(|| {
        let field = selected.cluster_field("certificate-authority-data");
        format!("{field}: is missing; add it, or name the CA with --ca")
    })?;
    let field = selected.cluster_field("certificate-authority");
    Authority::from_pem(&data.contents, now).map_err(|error| format!("{field}: {error}"))
}

fn credential(selected: &Selected) -> Result<Credential, String> {
    let user = &selected.user;
    for (field, there) in [
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
        ("username", user.username.is_some()),
        ("as", user.impersonate.is_some()),
    ] {
        if there {
            return Err(format!(
                "{}: cannot go to a machine; use a token or a client certificate",
                selected.user_field(field)
            ));
        }
    }
    let unusable = |error: rollcall_kubeconfig::Unusable| error.to_string();
    let missing =
        |field, message| move || format!("{}: is missing{message}", selected.user_field(field));
    // The order in which client-go lets one credential win over another.
    if let Some(token) = selected.token().map_err(unusable)? {
        return Ok(Credential::of_token(token.text.to_string()));
    }
    let certificate = selected.client_certificate().map_err(unusable)?;
    let message = ", and so is client-certificate-data: there is no credential";
    let certificate = certificate.ok_or_else(missing("token", message))?.contents;
    let key = selected.client_key().map_err(unusable)?;
    let message = "; a client certificate is of no use without its key";
    let key = key
        .ok_or_else(missing("client-key-data", message))?
        .contents;
    Credential::of_certificate(certificate.to_vec(), key.to_vec())
        .map_err(|message| format!("{}{message}", selected.user_field("")))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
