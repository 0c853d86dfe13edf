//! Credentials: from the environment, for a web identity (IAM roles for service accounts), from the instance. Kept until
//! shortly before they expire.

pub(super) mod instance_metadata;
mod web_identity;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::instance_metadata::InstanceMetadata;
use super::http::Http;
use super::{Environment, Error};

/// Credentials are replaced this long before they expire. AWS provides new ones at least five minutes before (EC2 User
/// Guide, "Retrieve security credentials from instance metadata").
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Gets credentials and keeps them.
#[derive(Debug)]
pub(super) struct CredentialsCache {
    http: Http,
    environment: Environment,
    region: Arc<str>,
    kept: Mutex<Option<Credentials>>,
}

impl CredentialsCache {
    pub(super) fn new(http: Http, environment: Environment, region: Arc<str>) -> Self {
        Self {
            http,
            environment,
            region,
            kept: Mutex::new(None),
        }
    }

    /// Credentials that are valid now.
    ///
    /// # Errors
    /// If there are none to be had.
    pub(super) async fn get(&self) -> Result<Credentials, Error> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(credentials) = kept.as_ref().filter(|kept| !ends_within(kept, now, EARLY)) {
            return Ok(credentials.clone());
        }
        match (self.fetch().await, kept.as_ref()) {
            (Ok(credentials), _) => Ok(kept.insert(credentials).clone()),
            (Err(error), Some(old)) if !ends_within(old, now, Duration::ZERO) => {
                warn!(%error, "AWS credentials cannot be renewed; the ones at hand are still valid");
                Ok(old.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Asks the sources in the order of AWS's own tools (AWS SDKs and Tools Reference Guide, "Credential provider
    /// chain").
    async fn fetch(&self) -> Result<Credentials, Error> {
        if let Some(credentials) = from_environment(&self.environment)? {
            return Ok(credentials);
        }
        let (source, credentials) = match web_identity::Settings::of(&self.environment)? {
            Some(settings) => {
                let fetched =
                    web_identity::fetch(&self.http, &self.environment, &self.region, &settings);
                ("web identity", fetched.await?)
            }
            None => {
                let metadata = InstanceMetadata::new(self.http.clone(), &self.environment)?;
                ("instance metadata", metadata.credentials().await?)
            }
        };
        info!(source, "got credentials for AWS");
        Ok(credentials)
    }
}

/// Returns true if credentials expire within this time. Those of the environment do not expire.
fn ends_within(credentials: &Credentials, now: SystemTime, time: Duration) -> bool {
    match (credentials.expiry(), now.checked_add(time)) {
        (Some(end), Some(limit)) => end <= limit,
        _ => false,
    }
}

fn from_environment(environment: &Environment) -> Result<Option<Credentials>, Error> {
    let key = environment.get("AWS_ACCESS_KEY_ID");
    let secret = environment.get("AWS_SECRET_ACCESS_KEY");
    match (key, secret) {
        (Some(key), Some(secret)) => Ok(Some(Credentials::new(
            key,
            secret,
            environment.get("AWS_SESSION_TOKEN"),
            None,
            "environment",
        ))),
        (None, None) => Ok(None),
        _ => Err(Error::Credentials(
            "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set".to_owned(),
        )),
    }
}

/// The end of credentials as AWS writes it: RFC 3339.
fn expiry(text: &str) -> Result<SystemTime, Error> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| Error::Credentials(format!("their expiration {text:?} is no time")))?;
    Ok(time.into())
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
