//! The part of the configuration file that is about serving certificates.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use rollcall_approver_core::{
    ExtraRange, IpRange, RenewWithoutAddresses, ServerName, ServingPolicy, SharedAddress,
};
use rollcall_csr::NodeName;
use serde::Deserialize;

use super::bootstrap::check_pool;
use crate::kubelets::{CaSource, Kubelets};

/// The shortest prefix of a range: that of the largest private networks (RFC 1918: 10.0.0.0/8, RFC 4193: fd00::/8).
const SHORTEST: u32 = 8;
/// The shortest prefixes of a range in which even the addresses of the cluster count: a network of one site (RFC 6177).
const SHORTEST_SHARED_V4: u32 = 16;
const SHORTEST_SHARED_V6: u32 = 48;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Serving {
    enabled: Option<bool>,
    cluster_domain: Option<String>,
    api_servers: Option<Vec<String>>,
    extra_ranges: Option<Vec<Extra>>,
    #[serde(rename = "kubeletCA")]
    kubelet_ca: Option<Vec<Ca>>,
    port: Option<NonZeroU16>,
    renew_without_addresses: Option<Renew>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Renew {
    Adopted,
    All,
    Never,
}

impl From<Renew> for RenewWithoutAddresses {
    fn from(renew: Renew) -> Self {
        match renew {
            Renew::Adopted => Self::Adopted,
            Renew::All => Self::All,
            Renew::Never => Self::Never,
        }
    }
}

/// One place with CA certificates.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ca {
    config_map: Option<ConfigMapKey>,
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigMapKey {
    namespace: String,
    name: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extra {
    pool: String,
    cidrs: Vec<String>,
    #[serde(default)]
    shared: bool,
}

impl Serving {
    pub(super) fn apply(
        self,
        policy: &mut ServingPolicy,
        kubelets: &mut Kubelets,
    ) -> Result<(), String> {
        let Self {
            enabled,
            cluster_domain,
            api_servers,
            extra_ranges,
            kubelet_ca,
            port,
            renew_without_addresses,
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
        if let Some(sources) = kubelet_ca {
            kubelets.ca = sources
                .into_iter()
                .map(Ca::read)
                .collect::<Result<_, _>>()?;
        }
        if let Some(port) = port {
            kubelets.port = port.get();
        }
        if let Some(renew) = renew_without_addresses {
            policy.renew_without_addresses = renew.into();
        }
        Ok(())
    }
}

impl Ca {
    fn read(self) -> Result<CaSource, String> {
        let source = match self {
            Self {
                config_map:
                    Some(ConfigMapKey {
                        namespace,
                        name,
                        key,
                    }),
                file: None,
            } if ![&namespace, &name, &key].into_iter().any(String::is_empty) => {
                CaSource::ConfigMap {
                    namespace,
                    name,
                    key,
                }
            }
            Self {
                config_map: None,
                file: Some(path),
            } if !path.as_os_str().is_empty() => CaSource::File(path),
            Self { .. } => {
                return Err(
                    "serving.kubeletCA: each entry is either configMap, with namespace, name and key, or file, with a path"
                        .to_owned(),
                );
            }
        };
        Ok(source)
    }
}

impl Extra {
    fn read(self) -> Result<ExtraRange, String> {
        let Self {
            pool,
            cidrs,
            shared,
        } = self;
        check_pool(&pool).map_err(|wrong| format!("serving.extraRanges: {wrong}"))?;
        if cidrs.is_empty() {
            return Err(format!("serving.extraRanges: {pool} has no cidrs"));
        }
        let read = |text: &String| {
            let range: IpRange = text
                .parse()
                .map_err(|error| format!("serving.extraRanges: {text:?} is no range: {error}"))?;
            check_range(&range, &pool, shared)?;
            Ok(range)
        };
        let ranges = cidrs.iter().map(read).collect::<Result<_, String>>()?;
        Ok(ExtraRange {
            pool,
            ranges,
            shared,
        })
    }
}

/// Whether a range says what was meant: not nearly every address, and not one that has no effect.
fn check_range(range: &IpRange, pool: &str, shared: bool) -> Result<(), String> {
    let (first, last) = range.ends();
    let class = SharedAddress::of(first).filter(|class| SharedAddress::of(last) == Some(*class));
    let shortest = match (shared, first) {
        // A whole class, such as all link-local addresses, may be named.
        (true, _) if class.is_some() => 0,
        (true, IpAddr::V4(_)) => SHORTEST_SHARED_V4,
        (true, IpAddr::V6(_)) => SHORTEST_SHARED_V6,
        (false, _) => SHORTEST,
    };
    if range.length() < shortest {
        let shared = if shared {
            ", which shares addresses"
        } else {
            ""
        };
        return Err(format!(
            "serving.extraRanges: {range} covers the addresses of others; name the network of pool {pool}{shared} (/{shortest} is the \
             widest)"
        ));
    }
    match class {
        Some(class) if !shared => Err(format!(
            "serving.extraRanges: {range} has no effect: each address in it is {class}; shared: true allows it all the same"
        )),
        Some(_) | None => Ok(()),
    }
}
