//! The instance metadata service, version 2 only: a session token first, then every request with it. Version 1 gives
//! credentials to any caller that can make this machine fetch a URL.

use std::time::Duration;

use ::http::{Method, Request, StatusCode, Uri};
use aws_credential_types::Credentials;
use axum::body::Bytes;
use serde::Deserialize;

use super::super::environment::url;
use super::super::http::{Answer, Http};
use super::super::{Environment, Error};
use super::expiry;

/// The address of the service (EC2 User Guide, "Access instance metadata").
const ADDRESS: &str = "http://169.254.169.254";
/// The lifetime of a session token, in seconds. It is used for a few requests only.
const SESSION_SECONDS: &str = "300";
/// The limit of one call; the service is on the same host.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// The attempts per call: the service drops requests when it has too many.
const ATTEMPTS: usize = 3;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

const TOKEN: &str = "/latest/api/token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const REGION: &str = "/latest/meta-data/placement/region";

/// The metadata service of this machine.
#[derive(Debug)]
pub(in super::super) struct InstanceMetadata {
    http: Http,
    base: String,
}

impl InstanceMetadata {
    /// The service at the address in the environment, or else at its usual address.
    ///
    /// # Errors
    /// If the environment forbids its use, or its address is invalid.
    pub(in super::super) fn new(http: Http, environment: &Environment) -> Result<Self, Error> {
        const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
        const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        if environment.is_true(DISABLED) {
            return Err(Error::Credentials(format!(
                "the environment names none, and {DISABLED} forbids to ask the instance"
            )));
        }
        let base = environment
            .get(ENDPOINT)
            .unwrap_or_else(|| ADDRESS.to_owned());
        url(ENDPOINT, &base)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// The region that the instance runs in.
    pub(in super::super) async fn region(&self) -> Result<String, Error> {
        let session = self.session().await?;
        let answer = self.ask(&session, REGION).await?;
        Ok(text(&answer).trim().to_owned())
    }

    /// Credentials of the role that is attached to the instance.
    pub(super) async fn credentials(&self) -> Result<Credentials, Error> {
        let session = self.session().await?;
        let roles = self.ask(&session, ROLES).await?;
        let roles = text(&roles);
        let role = roles.lines().map(str::trim).find(|line| !line.is_empty());
        let role = role.ok_or_else(|| failed("the instance has no IAM role"))?;
        let answer = self.ask(&session, &format!("{ROLES}{role}")).await?;
        let given: Given = serde_json::from_slice(&answer.body)
            .map_err(|error| failed(&format!("its credentials cannot be understood: {error}")))?;
        if given.code != "Success" {
            return Err(failed(&format!(
                "it has no credentials for role {role}: {}",
                given.code
            )));
        }
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.token),
            Some(expiry(&given.expiration)?),
            "instance metadata",
        ))
    }

    /// Opens a session.
    async fn session(&self) -> Result<String, Error> {
        let header = ("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
        let answer = self.persist(&Method::PUT, TOKEN, header).await?;
        match answer.status {
            StatusCode::OK => Ok(text(&answer)),
            StatusCode::FORBIDDEN => Err(failed(
                "it is switched off for this instance (403 to a PUT)",
            )),
            status => Err(failed(&format!(
                "it opens no session: HTTP status {status}"
            ))),
        }
    }

    async fn ask(&self, session: &str, path: &str) -> Result<Answer, Error> {
        let header = ("x-aws-ec2-metadata-token", session);
        let answer = self.persist(&Method::GET, path, header).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND if path == ROLES => Err(failed("the instance has no IAM role")),
            StatusCode::UNAUTHORIZED => Err(failed("it does not accept its own session token")),
            status => Err(failed(&format!("{path}: HTTP status {status}"))),
        }
    }

    /// Asks until there is an answer that is not a failure of the service itself.
    async fn persist(
        &self,
        method: &Method,
        path: &str,
        (name, value): (&str, &str),
    ) -> Result<Answer, Error> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| failed(&format!("{}{path} is no URL", self.base)))?;
        let mut last = failed("it was not asked");
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let request = Request::builder()
                .method(method)
                .uri(uri.clone())
                .header(name, value)
                .body(Bytes::new())
                .map_err(|error| failed(&error.to_string()))?;
            match self.http.send(request, CALL_LIMIT).await {
                Ok(answer) if !answer.status.is_server_error() => return Ok(answer),
                Ok(answer) => last = failed(&format!("HTTP status {}", answer.status)),
                // An answer to a PUT is dropped by a hop limit of 1 on its way into a container.
                Err(error) => {
                    last = failed(&format!(
                        "{error}; from a pod, the instance's hop limit (HttpPutResponseHopLimit) must be 2"
                    ));
                }
            }
        }
        Err(last)
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn failed(message: &str) -> Error {
    Error::Credentials(format!(
        "the environment names none, and the instance metadata service gives none: {message}"
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    code: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    secret_access_key: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    expiration: String,
}
