//! The part of the configuration file that is about serving certificates.

use rollcall_approver_core::{ExtraRange, IpRange, ServerName, ServingPolicy};
use rollcall_csr::NodeName;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Serving {
    enabled: Option<bool>,
    cluster_domain: Option<String>,
    api_servers: Option<Vec<String>>,
    extra_ranges: Option<Vec<Extra>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extra {
    pool: String,
    cidrs: Vec<String>,
}

impl Serving {
    pub(super) fn apply(self, policy: &mut ServingPolicy) -> Result<(), String> {
        let Self {
            enabled,
            cluster_domain,
            api_servers,
            extra_ranges,
        } = self;
        if let Some(enabled) = enabled {
            policy.enabled = enabled;
        }
        if let Some(domain) = cluster_domain {
            let name = NodeName::from_dns_name(&domain).map_err(|_| {
                format!("serving.clusterDomain: {domain:?} is no DNS name, like cluster.local")
            })?;
            name.as_str().clone_into(&mut policy.cluster_domain);
        }
        for text in api_servers.unwrap_or_default() {
            let name = ServerName::read(&text).ok_or_else(|| {
                format!("serving.apiServers: {text:?} is no DNS name and no IP address")
            })?;
            policy.api_servers.insert(name);
        }
        let extra_ranges = extra_ranges.unwrap_or_default().into_iter();
        policy.extra_ranges = extra_ranges.map(Extra::read).collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Extra {
    fn read(self) -> Result<ExtraRange, String> {
        let Self { pool, cidrs } = self;
        if pool.is_empty() || cidrs.is_empty() {
            return Err(
                "serving.extraRanges: each entry names a pool and at least one of its cidrs"
                    .to_owned(),
            );
        }
        let read = |text: &String| {
            text.parse()
                .map_err(|error| format!("serving.extraRanges: {text:?} is no range: {error}"))
        };
        Ok(ExtraRange {
            pool,
            ranges: cidrs
                .iter()
                .map(read)
                .collect::<Result<Vec<IpRange>, _>>()?,
        })
    }
}
