//! Which region: the configuration's, the environment's, the instance's.

use super::credentials::instance_metadata::InstanceMetadata;
use super::http::Http;
use super::{Environment, Error};

/// Finds the region.
///
/// # Errors
/// If no source names a region, or the name is invalid.
pub(super) async fn find(
    http: &Http,
    environment: &Environment,
    configured: Option<&str>,
) -> Result<String, Error> {
    let named = configured
        .map(str::to_owned)
        .or_else(|| environment.get("AWS_REGION"))
        .or_else(|| environment.get("AWS_DEFAULT_REGION"));
    let region = match named {
        Some(region) => region,
        None => InstanceMetadata::new(http.clone(), environment)?
            .region()
            .await
            .map_err(|error| {
                Error::Setting(format!(
                    "no AWS region is named: set `region` in the configuration or AWS_REGION ({error})"
                ))
            })?,
    };
    if !is_region(&region) {
        return Err(Error::Setting(format!("{region:?} is no AWS region")));
    }
    Ok(region)
}

/// Returns true if this can be the name of a region. It becomes part of a host name.
pub(crate) fn is_region(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(is_plain)
}
