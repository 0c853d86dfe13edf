//! Amazon Web Services, the few calls that the roll needs: which instances an Auto Scaling Group has, and what an
//! instance is called.
//!
//! The SDK crates for EC2 take ten minutes and eight gigabytes to build, so the calls are made by hand: AWS's query
//! protocol (a form goes in, XML comes back), signed by AWS's own `aws-sigv4`.

mod auto_scaling;
mod credentials;
mod ec2;
mod environment;
mod error;
mod http;
mod query;
mod region;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

pub(crate) use self::auto_scaling::{Member, Selection};
use self::credentials::CredentialsCache;
pub(crate) use self::ec2::{INSTANCES_PER_CALL, Instance, InstanceState, instance_id};
pub(crate) use self::environment::Environment;
pub(crate) use self::error::Error;
use self::http::Http;
pub(crate) use self::region::is_region;

/// A connection to the AWS APIs of one region. Cheap to clone: all clones share credentials and connections.
#[derive(Clone, Debug)]
pub(crate) struct Aws {
    http: Http,
    region: Arc<str>,
    environment: Environment,
    credentials: Arc<CredentialsCache>,
}

impl Aws {
    /// Connects as AWS's own tools do: settings and credentials from the environment, else from the instance.
    ///
    /// # Errors
    /// If no region is named anywhere, or a setting in the environment is wrong.
    pub(crate) async fn connect(
        environment: Environment,
        region: Option<&str>,
    ) -> Result<Self, Error> {
        let http = Http::new(&environment)?;
        let region: Arc<str> = region::find(&http, &environment, region).await?.into();
        let credentials = CredentialsCache::new(http.clone(), environment.clone(), region.clone());
        Ok(Self {
            http,
            region,
            environment,
            credentials: Arc::new(credentials),
        })
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}
