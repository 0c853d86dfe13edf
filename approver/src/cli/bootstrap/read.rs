//! Reading the bootstrap kubeconfig that somebody has: only what its current context stands for, whole and safe to use.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Bootstrap, Credential};
use crate::cli::certificates::Authority;
use crate::cli::flag::{self, FlagError};

/// Reads the kubeconfig that a flag names. `ca` overrides the CA in it.
pub(in crate::cli) fn read(
    flag: &str,
    path: &Path,
    ca: Option<Authority>,
    now: Timestamp,
) -> Result<Bootstrap, FlagError> {
    let text = flag::read_text(flag, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    parse(&text, folder, ca, now).map_err(|message| FlagError::file(flag, path, message))
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
    text: &str,
    folder: &Path,
    ca: Option<Authority>,
    now: Timestamp,
) -> Result<Bootstrap, String> {
    let file: File = flag::parse_yaml(text)?;
    let name = file
        .current_context
        .as_deref()
        .filter(|name| !name.is_empty())
        .ok_or("current-context: is missing; set it with kubectl config use-context")?;
    let context: &Context = find(&file.contexts, name)
        .ok_or_else(|| format!("contexts: has no {name:?}, which current-context names"))?
        .context
        .as_ref()
        .ok_or_else(|| format!("contexts[{name}].context: is missing"))?;
    let cluster = find(&file.clusters, &context.cluster)
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| format!("clusters: has no {:?}", context.cluster))?;
    let user_name = context.user.as_deref().unwrap_or_default();
    let user = find(&file.users, user_name)
        .and_then(|named| named.user.as_ref())
        .ok_or_else(|| format!("users: has no {user_name:?}"))?;
    let in_cluster = |message| format!("clusters[{}].cluster.{message}", context.cluster);
    let (server, authority) = cluster.check(folder, ca, now).map_err(in_cluster)?;
    let credential = user
        .credential(folder)
        .map_err(|message| format!("users[{user_name}].user.{message}"))?;
    Ok(Bootstrap {
        server,
        authority,
        tls_server_name: filled(cluster.tls_server_name.as_ref()),
        proxy_url: filled(cluster.proxy_url.as_ref()),
        credential,
    })
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn find<'a, T: HasName>(entries: &'a [T], name: &str) -> Option<&'a T> {
    entries.iter().find(|entry| entry.name() == name)
}

/// An entry of one of a kubeconfig's lists.
trait HasName {
    fn name(&self) -> &str;
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    current_context: Option<String>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

impl HasName for NamedCluster {
    fn name(&self) -> &str {
        &self.name
    }
}

impl HasName for NamedContext {
    fn name(&self) -> &str {
        &self.name
    }
}

impl HasName for NamedUser {
    fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

impl Cluster {
    fn check(
        &self,
        folder: &Path,
        ca: Option<Authority>,
        now: Timestamp,
    ) -> Result<(String, Authority), String> {
        if self.insecure_skip_tls_verify == Some(true) {
            return Err(
                "insecure-skip-tls-verify: is true, so a machine would hand its credential to anybody who answers; \
                 remove it and name the CA"
                    .to_owned(),
            );
        }
        let server = self.server.as_deref().unwrap_or_default();
        check_server(server).map_err(|error| format!("server: {error}"))?;
        let authority = match ca {
            Some(ca) => ca,
            None => {
                let field = "certificate-authority";
                let pem = data_or_file(
                    field,
                    self.certificate_authority_data.as_deref(),
                    self.certificate_authority.as_deref(),
                    folder,
                )?
                .ok_or(
                    "certificate-authority-data: is missing; add it, or name the CA with --ca",
                )?;
                Authority::from_pem(&pem, now).map_err(|error| format!("{field}: {error}"))?
            }
        };
        Ok((server.to_owned(), authority))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
}

impl User {
    fn credential(&self, folder: &Path) -> Result<Credential, String> {
        for (field, there) in [
            ("exec", self.exec.is_some()),
            ("auth-provider", self.auth_provider.is_some()),
            ("username", self.username.is_some()),
            ("as", self.impersonate.is_some()),
        ] {
            if there {
                return Err(format!(
                    "{field}: cannot go to a machine; use a token or a client certificate"
                ));
            }
        }
        // The order in which client-go lets one credential win over another.
        if let Some(token) = self.token(folder)? {
            return Ok(Credential::of_token(token));
        }
        let certificate = data_or_file(
            "client-certificate",
            self.client_certificate_data.as_deref(),
            self.client_certificate.as_deref(),
            folder,
        )?
        .ok_or("token: is missing, and so is client-certificate-data: there is no credential")?;
        let key = data_or_file(
            "client-key",
            self.client_key_data.as_deref(),
            self.client_key.as_deref(),
            folder,
        )?
        .ok_or("client-key-data: is missing; a client certificate is of no use without its key")?;
        Credential::of_certificate(certificate, key)
    }

    fn token(&self, folder: &Path) -> Result<Option<String>, String> {
        let token = match (filled(self.token.as_ref()), &self.token_file) {
            (Some(token), _) => token,
            (None, Some(file)) => {
                let bytes = read_referenced("tokenFile", folder, file)?;
                String::from_utf8(bytes).map_err(|_| "tokenFile: holds no token".to_owned())?
            }
            (None, None) => return Ok(None),
        };
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("token: is empty or holds a blank, so it is no token".to_owned());
        }
        Ok(Some(token.to_owned()))
    }
}

/// What stands in `FIELD-data` in base64, or in the file that `FIELD` names.
fn data_or_file(
    field: &str,
    data: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        // Block scalars keep the line ends, and base64 tools write some.
        let data: String = data.split_ascii_whitespace().collect();
        let decoded = STANDARD
            .decode(data)
            .map_err(|_| format!("{field}-data: is not base64"))?;
        return Ok(Some(decoded));
    }
    file.filter(|file| !file.as_os_str().is_empty())
        .map(|file| read_referenced(field, folder, file))
        .transpose()
}

/// Reads a file that the kubeconfig names; a relative path begins where the kubeconfig is.
fn read_referenced(field: &str, folder: &Path, file: &Path) -> Result<Vec<u8>, String> {
    let path = folder.join(file);
    std::fs::read(&path)
        .map_err(|error| format!("{field}: {} cannot be read: {error}", path.display()))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
