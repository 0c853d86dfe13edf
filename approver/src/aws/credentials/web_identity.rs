//! A token of the pod's ServiceAccount for credentials of an IAM role (EKS: "IAM roles for service accounts").

use aws_credential_types::Credentials;
use serde::Deserialize;

use super::super::environment::Service;
use super::super::http::Http;
use super::super::query::{Action, Parameters, persist, post};
use super::super::{Environment, Error};
use super::expiry;

const ACTION: Action = Action {
    service: Service::Sts,
    name: "AssumeRoleWithWebIdentity",
};

/// The name of the session, where none is given: AWS's logs show it.
const SESSION: &str = "rollcall-approver";

/// The settings of the role, from the environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    role: String,
    token_file: String,
    session: String,
}

impl Settings {
    /// Reads them from the environment; returns `None` if it names no role.
    pub(super) fn of(environment: &Environment) -> Result<Option<Self>, Error> {
        let token_file = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE");
        match (token_file, environment.get("AWS_ROLE_ARN")) {
            (Some(token_file), Some(role)) => Ok(Some(Self {
                role,
                token_file,
                session: environment
                    .get("AWS_ROLE_SESSION_NAME")
                    .unwrap_or_else(|| SESSION.to_owned()),
            })),
            (Some(_), None) => Err(Error::Credentials(
                "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not".to_owned(),
            )),
            (None, _) => Ok(None),
        }
    }
}

/// Exchanges the token. It is read each time, because kubelet replaces it.
pub(super) async fn fetch(
    http: &Http,
    environment: &Environment,
    region: &str,
    settings: &Settings,
) -> Result<Credentials, Error> {
    let Settings {
        role,
        token_file,
        session,
    } = settings;
    let token = tokio::fs::read_to_string(token_file)
        .await
        .map_err(|error| {
            Error::Credentials(format!("the token {token_file} cannot be read: {error}"))
        })?;
    let parameters: Parameters = [
        ("RoleArn", role.as_str()),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.trim()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let endpoint = environment.endpoint(Service::Sts, region)?;
    let form = ACTION.form(&parameters);
    let answer: Response = persist(http, ACTION, || async { post(&endpoint, form.clone()) })
        .await
        .map_err(|error| {
            if error.is_transient() {
                return error;
            }
            Error::Credentials(format!("for role {role}: {error}"))
        })?;
    let Issued {
        access_key_id,
        secret_access_key,
        session_token,
        expiration,
    } = answer.result.credentials;
    Ok(Credentials::new(
        access_key_id,
        secret_access_key,
        Some(session_token),
        Some(expiry(&expiration)?),
        "web identity",
    ))
}

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    credentials: Issued,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}
