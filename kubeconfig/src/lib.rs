//! Kubeconfigs, read as client-go reads them, for both programs: only the entries that the current context selects.
//!
//! Whatever client-go refuses is refused with an error that names the field. Whatever client-go tolerates, such as a byte
//! order mark, line ends within base64 or further YAML documents, is normalized to a form that every library accepts. No
//! error repeats the content of the file, which may be a secret.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use kube::config::{
    AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

mod error;
mod text;

pub use error::Unusable;

/// Base64 as Go's `base64.StdEncoding` reads it: bits behind the last byte are ignored.
const GO_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The entries that the current context of a kubeconfig selects.
#[derive(Clone, Debug)]
pub struct Selected {
    /// A kubeconfig of the selected entries only, with its paths made absolute.
    pub all: Kubeconfig,
    /// The API server and its CA.
    pub cluster: Cluster,
    /// The name of the cluster entry.
    pub cluster_name: String,
    /// The credential; empty when the context names no user.
    pub user: AuthInfo,
    /// The name of the user entry; empty when the context names none.
    pub user_name: String,
}

/// A bearer token that is valid in a header.
pub struct Token {
    /// The token.
    pub text: Zeroizing<String>,
    /// The file of the token, unless that is the kubeconfig itself.
    pub file: Option<PathBuf>,
}

/// Data in a kubeconfig or in a file that it references.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    /// The data, decoded.
    pub contents: Zeroizing<Vec<u8>>,
    /// The file of the data, unless that is the kubeconfig itself.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Reads a kubeconfig and follows its current context.
///
/// # Errors
/// The first entry that is missing or invalid.
pub fn read(file: &Path) -> Result<Selected, Unusable> {
    select(&read_all(file)?)
}

/// Reads every entry of a kubeconfig, without following its context.
///
/// # Errors
/// If the file cannot be read, or is not a kubeconfig.
pub fn read_all(file: &Path) -> Result<Kubeconfig, Unusable> {
    let bytes = Zeroizing::new(std::fs::read(file).map_err(Unusable::from_io)?);
    parse(&bytes, file.parent().unwrap_or_else(|| Path::new("")))
}

/// Parses every entry of a kubeconfig. Relative paths in it are resolved against `folder`.
///
/// # Errors
/// If the bytes are not a kubeconfig.
pub fn parse(bytes: &[u8], folder: &Path) -> Result<Kubeconfig, Unusable> {
    let text = Zeroizing::new(text::decode(bytes)?);
    let options = serde_saphyr::options! { with_snippet: false };
    let document = text::first_document(&text);
    let read: Option<Kubeconfig> = serde_saphyr::from_str_with_options(document, options)
        .map_err(|error| Unusable::not_yaml(&error))?;
    let mut all = read.unwrap_or_default();
    check_kind(&all)?;
    let clusters = all.clusters.iter().map(|named| named.name.as_str());
    let contexts = all.contexts.iter().map(|named| named.name.as_str());
    let users = all.auth_infos.iter().map(|named| named.name.as_str());
    check_names("clusters", clusters)?;
    check_names("contexts", contexts)?;
    check_names("users", users)?;
    make_absolute(&mut all, folder);
    Ok(all)
}

/// Checks the kind: client-go decodes `v1` `Config` only, and both fields are optional
/// (`tools/clientcmd/client_config.go`, `Load`).
fn check_kind(all: &Kubeconfig) -> Result<(), Unusable> {
    let version = all.api_version.as_deref().filter(|word| !word.is_empty());
    let kind = all.kind.as_deref().filter(|word| !word.is_empty());
    if version.is_none_or(|word| word == "v1") && kind.is_none_or(|word| word == "Config") {
        return Ok(());
    }
    Err(Unusable::AnotherKind {
        version: version.unwrap_or("v1").to_owned(),
        kind: kind.unwrap_or("Config").to_owned(),
    })
}

/// Checks for duplicate names: client-go refuses them (`tools/clientcmd/api/v1/conversion.go`), other parsers use the
/// first or the last.
fn check_names<'a>(
    list: &'static str,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), Unusable> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.to_owned();
            return Err(Unusable::Twice { list, name });
        }
    }
    Ok(())
}

fn make_absolute(all: &mut Kubeconfig, folder: &Path) {
    let join = |path: &mut Option<String>| {
        if let Some(text) = path.as_mut().filter(|text| !text.is_empty()) {
            *text = folder.join(&*text).to_string_lossy().into_owned();
        }
    };
    for cluster in all
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        join(&mut cluster.certificate_authority);
    }
    for user in all
        .auth_infos
        .iter_mut()
        .filter_map(|named| named.auth_info.as_mut())
    {
        join(&mut user.client_certificate);
        join(&mut user.client_key);
        join(&mut user.token_file);
        if let Some(exec) = &mut user.exec {
            // A program without a folder is searched on the path.
            let has_folder = |command: &String| command.contains(std::path::MAIN_SEPARATOR);
            if exec.command.as_ref().is_some_and(has_folder) {
                join(&mut exec.command);
            }
        }
    }
}

/// Follows the current context, and normalizes the entries that it selects to a form that every library accepts.
///
/// # Errors
/// The first entry that is missing or invalid.
pub fn select(all: &Kubeconfig) -> Result<Selected, Unusable> {
    let context_name = filled(all.current_context.clone()).ok_or(Unusable::NoCurrentContext)?;
    let mut contexts = all.contexts.iter();
    let context = contexts
        .find(|named| named.name == context_name)
        .and_then(|named| named.context.clone())
        .ok_or_else(|| Unusable::NoSuchContext(context_name.clone()))?;
    let cluster_name = context.cluster.clone();
    let mut clusters = all.clusters.iter();
    let mut cluster = clusters
        .find(|named| named.name == cluster_name)
        .and_then(|named| named.cluster.clone())
        .ok_or_else(|| Unusable::NoSuchCluster {
            context: context_name.clone(),
            cluster: cluster_name.clone(),
        })?;
    let user_name = filled(context.user.clone()).unwrap_or_default();
    let mut users = all.auth_infos.iter();
    let mut user = if user_name.is_empty() {
        AuthInfo::default()
    } else {
        users
            .find(|named| named.name == user_name)
            .and_then(|named| named.auth_info.clone())
            .ok_or_else(|| Unusable::NoSuchUser {
                context: context_name.clone(),
                user: user_name.clone(),
            })?
    };
    normalise_cluster(&mut cluster, &cluster_name)?;
    normalise_user(&mut user, &user_name)?;
    Ok(Selected {
        all: only(
            &context_name,
            context,
            (&cluster_name, &cluster),
            (&user_name, &user),
        ),
        cluster,
        cluster_name,
        user,
        user_name,
    })
}

/// A kubeconfig with only these entries.
fn only(
    context_name: &str,
    context: Context,
    (cluster_name, cluster): (&str, &Cluster),
    (user_name, user): (&str, &AuthInfo),
) -> Kubeconfig {
    Kubeconfig {
        current_context: Some(context_name.to_owned()),
        contexts: vec![NamedContext {
            name: context_name.to_owned(),
            context: Some(Context {
                user: Some(user_name.to_owned()),
                ..context
            }),
            ..NamedContext::default()
        }],
        clusters: vec![NamedCluster {
            name: cluster_name.to_owned(),
            cluster: Some(cluster.clone()),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: user_name.to_owned(),
            auth_info: Some(user.clone()),
            ..NamedAuthInfo::default()
        }],
        ..Kubeconfig::default()
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn normalise_cluster(cluster: &mut Cluster, name: &str) -> Result<(), Unusable> {
    let field = |field: &str| format!("clusters[{name}].cluster.{field}");
    let data = cluster.certificate_authority_data.take();
    cluster.certificate_authority_data = recoded(data, || field("certificate-authority-data"))?;
    cluster.certificate_authority = filled(cluster.certificate_authority.take());
    cluster.proxy_url = filled(cluster.proxy_url.take());
    cluster.server = filled(cluster.server.take());
    cluster.tls_server_name = filled(cluster.tls_server_name.take());
    Ok(())
}

fn normalise_user(user: &mut AuthInfo, name: &str) -> Result<(), Unusable> {
    let field = |field: &str| format!("users[{name}].user.{field}");
    let data = user.client_certificate_data.take();
    user.client_certificate_data = recoded(data, || field("client-certificate-data"))?;
    let key = user.client_key_data.take();
    let key = key.map(|key| key.expose_secret().to_owned());
    user.client_key_data = recoded(key, || field("client-key-data"))?.map(SecretString::from);
    user.client_certificate = filled(user.client_certificate.take());
    user.client_key = filled(user.client_key.take());
    user.token_file = filled(user.token_file.take());
    user.token = match user.token.take() {
        Some(token) if !token.expose_secret().is_empty() => {
            let token = header_text(token.expose_secret())
                .ok_or_else(|| Unusable::Token(field("token")))?;
            Some(SecretString::from(token.to_owned()))
        }
        Some(_) | None => None,
    };
    if let Some(file) = user.token_file.clone() {
        match (
            token_in(Path::new(&file), || field("tokenFile")),
            &user.token,
        ) {
            // The file takes precedence while it is readable (client-go `transport/token_source.go`). kube re-reads it
            // periodically, but sends its white space too: then the current token replaces the file.
            (Ok(token), _) => {
                let plain = std::fs::read(&file).is_ok_and(|text| text == token.as_bytes());
                user.token = (!plain).then(|| SecretString::from(token.to_string()));
            }
            (Err(_), Some(_)) => user.token_file = None,
            (Err(error), None) => return Err(error),
        }
    }
    Ok(())
}

/// Re-encodes base64 without line ends; `None` for `None`.
fn recoded(
    data: Option<String>,
    field: impl FnOnce() -> String,
) -> Result<Option<String>, Unusable> {
    let Some(data) = data else { return Ok(None) };
    let mut data = Zeroizing::new(data);
    // Go's decoder skips these two characters only.
    data.retain(|character| !matches!(character, '\r' | '\n'));
    if data.is_empty() {
        return Ok(None);
    }
    let decoded = GO_BASE64.decode(data.as_bytes());
    let decoded = Zeroizing::new(decoded.map_err(|_| Unusable::NotBase64(field()))?);
    Ok(Some(STANDARD.encode(&*decoded)))
}

/// Trims white space from a token; `None` if the rest is not valid in a header. Tokens are visible ASCII (RFC 6750
/// section 2.1), and a blank within one would end it.
fn header_text(token: &str) -> Option<&str> {
    let token = token.trim();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(token)
}

fn token_in(file: &Path, field: impl Fn() -> String) -> Result<Zeroizing<String>, Unusable> {
    let bytes = std::fs::read(file).map_err(|source| Unusable::Reference {
        field: field(),
        file: file.to_owned(),
        source,
    })?;
    let bytes = Zeroizing::new(bytes);
    let text = str::from_utf8(&bytes).unwrap_or("\u{0}");
    if text.trim().is_empty() {
        return Err(Unusable::EmptyToken {
            field: field(),
            file: file.to_owned(),
        });
    }
    let token = header_text(text).ok_or_else(|| Unusable::TokenFile {
        field: field(),
        file: file.to_owned(),
    })?;
    Ok(Zeroizing::new(token.to_owned()))
}

impl Selected {
    /// The bearer token, if there is one.
    ///
    /// # Errors
    /// If its file is no longer readable, or has no token.
    pub fn token(&self) -> Result<Option<Token>, Unusable> {
        if let Some(file) = self.user.token_file.as_deref().map(PathBuf::from) {
            let text = token_in(&file, || self.user_field("tokenFile"))?;
            let file = Some(file);
            return Ok(Some(Token { text, file }));
        }
        Ok(self.user.token.as_ref().map(|token| Token {
            text: Zeroizing::new(token.expose_secret().to_owned()),
            file: None,
        }))
    }

    /// The CA certificates of the API server, in PEM, if the file names any.
    ///
    /// # Errors
    /// If their file cannot be read.
    pub fn certificate_authority(&self) -> Result<Option<Data>, Unusable> {
        let Cluster {
            certificate_authority,
            certificate_authority_data,
            ..
        } = &self.cluster;
        let field = || self.cluster_field("certificate-authority");
        data_or_file(
            certificate_authority_data.as_deref(),
            certificate_authority.as_deref(),
            field,
        )
    }

    /// The client certificate, in PEM, if there is one.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn client_certificate(&self) -> Result<Option<Data>, Unusable> {
        let AuthInfo {
            client_certificate,
            client_certificate_data,
            ..
        } = &self.user;
        let field = || self.user_field("client-certificate");
        data_or_file(
            client_certificate_data.as_deref(),
            client_certificate.as_deref(),
            field,
        )
    }

    /// The key of the client certificate, in PEM, if there is one.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn client_key(&self) -> Result<Option<Data>, Unusable> {
        let AuthInfo {
            client_key,
            client_key_data,
            ..
        } = &self.user;
        let data = client_key_data.as_ref().map(|key| key.expose_secret());
        data_or_file(data, client_key.as_deref(), || {
            self.user_field("client-key")
        })
    }

    /// The name of a field of the cluster entry, for errors.
    #[must_use]
    pub fn cluster_field(&self, field: &str) -> String {
        format!("clusters[{}].cluster.{field}", self.cluster_name)
    }

    /// The name of a field of the user entry, for errors.
    #[must_use]
    pub fn user_field(&self, field: &str) -> String {
        format!("users[{}].user.{field}", self.user_name)
    }
}

/// Returns data from the kubeconfig itself, which takes precedence, or from a file that it references.
fn data_or_file(
    data: Option<&str>,
    file: Option<&str>,
    field: impl Fn() -> String,
) -> Result<Option<Data>, Unusable> {
    if let Some(data) = data {
        let decoded = STANDARD.decode(data);
        let contents = decoded.map_err(|_| Unusable::NotBase64(format!("{}-data", field())))?;
        let contents = Zeroizing::new(contents);
        return Ok(Some(Data {
            contents,
            file: None,
        }));
    }
    let Some(file) = file.map(PathBuf::from) else {
        return Ok(None);
    };
    let contents = std::fs::read(&file).map_err(|source| Unusable::Reference {
        field: field(),
        file: file.clone(),
        source,
    })?;
    let contents = Zeroizing::new(contents);
    let file = Some(file);
    Ok(Some(Data { contents, file }))
}

#[cfg(test)]
mod tests;
