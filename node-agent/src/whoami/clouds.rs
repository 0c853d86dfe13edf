//! The metadata services: the query for the node's name, at a stable version of each service.

use std::fmt;

use serde_json::Value;

use super::http::{HttpError, Metadata, Reply};

/// The lifetime of a token of EC2's service, in seconds (1 to 21600): it is used at once.
const EC2_TOKEN_SECONDS: &str = "60";

/// Version of EC2's metadata: the first with instance tags, on every region and Nitro system.
const EC2: &str = "/2021-03-23";

/// GCE's metadata has one version.
const GCE: &str = "/computeMetadata/v1";

/// Version of Azure's service, of those that it lists as supported.
const AZURE: &str = "/metadata/instance/compute?api-version=2021-02-01&format=json";

/// Version of OpenStack's metadata: Rocky's.
const OPENSTACK: &str = "/openstack/2018-08-27/meta_data.json";

/// A cloud, and the source of a node's name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// The computer's name.
    Azure,
    /// The instance's id.
    Ec2InstanceId,
    /// The instance's private DNS name.
    Ec2PrivateDns,
    /// The instance's name.
    Gce,
    /// The server's name.
    OpenStack,
}

impl Cloud {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Ec2InstanceId => "ec2-instance-id",
            Self::Ec2PrivateDns => "ec2-private-dns",
            Self::Gce => "gce",
            Self::OpenStack => "openstack",
        }
    }

    /// Returns true if the service also has an IPv6 address.
    pub(super) fn has_ipv6(self) -> bool {
        matches!(self, Self::Ec2InstanceId | Self::Ec2PrivateDns)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Azure => "Azure",
            Self::Ec2InstanceId | Self::Ec2PrivateDns => "EC2",
            Self::Gce => "GCE",
            Self::OpenStack => "OpenStack",
        })
    }
}

/// Queries the name, once.
pub(super) async fn name(cloud: Cloud, metadata: &Metadata) -> Result<String, HttpError> {
    match cloud {
        Cloud::Azure => azure(metadata).await,
        Cloud::Ec2InstanceId => ec2(metadata, "instance-id").await,
        Cloud::Ec2PrivateDns => ec2(metadata, "local-hostname").await,
        Cloud::Gce => gce(metadata).await,
        Cloud::OpenStack => {
            let reply = metadata.get(OPENSTACK, &[]).await?.ok()?;
            text_at(&reply, &["/name", "/hostname"])
        }
    }
}

/// Queries EC2, with IMDSv2 only. There is no fallback to IMDSv1: an attacker who can make this machine send a request
/// could use that too.
async fn ec2(metadata: &Metadata, item: &str) -> Result<String, HttpError> {
    let ttl = ("x-aws-ec2-metadata-token-ttl-seconds", EC2_TOKEN_SECONDS);
    let token = metadata.put("/latest/api/token", &[ttl]).await?.ok()?;
    let token = ("x-aws-ec2-metadata-token", token.text()?);
    let path = format!("{EC2}/meta-data/{item}");
    metadata
        .get(&path, &[token])
        .await?
        .ok()?
        .text()
        .map(str::to_owned)
}

async fn gce(metadata: &Metadata) -> Result<String, HttpError> {
    /// Sent with every query, and by the service with every response.
    const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");
    let path = format!("{GCE}/instance/name");
    let reply = metadata.get(&path, &[FLAVOR]).await?;
    if reply.header(FLAVOR.0) != Some(FLAVOR.1) {
        return Err(HttpError::Foreign(
            "it does not say Metadata-Flavor: Google".to_owned(),
        ));
    }
    reply.ok()?.text().map(str::to_owned)
}

async fn azure(metadata: &Metadata) -> Result<String, HttpError> {
    let reply = metadata.get(AZURE, &[("metadata", "true")]).await?.ok()?;
    text_at(&reply, &["/osProfile/computerName", "/name"])
}

/// Returns the first of these fields that holds a string.
fn text_at(reply: &Reply, pointers: &[&str]) -> Result<String, HttpError> {
    let value: Value = serde_json::from_str(reply.text()?)
        .map_err(|error| HttpError::Foreign(format!("it is no JSON: {error}")))?;
    pointers
        .iter()
        .find_map(|pointer| {
            value
                .pointer(pointer)?
                .as_str()
                .filter(|text| !text.is_empty())
        })
        .map(str::to_owned)
        .ok_or_else(|| HttpError::Foreign(format!("there is no {} in it", pointers.join(" or "))))
}
